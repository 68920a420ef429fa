"""Standard input and output as a carrier: the server's side (docs/protocol.md, "Carriers")."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mvc.base.errors import FormatError, LimitError, MvcError, NetworkError
from mvc.sync.frames import WAITING, CutOffError, frames, read_message
from mvc.sync.limits import MAX_PART, WAIT_SECONDS
from mvc.sync.link import Server, refusal
from mvc.sync.messages import (
    Refusal,
    VersionError,
    decode_request,
    encode_reply,
)
from mvc.sync.pace import LEAST_RATE, WINDOW_SECONDS, Pace
from mvc.sync.pipes import Pipes

IDLE_WITHIN = 300.0
IDLE_BETWEEN = 3600.0
FAILED = Refusal("internal", "the server has failed", None, again=True)


@dataclass(frozen=True, slots=True)
class Served:
    """One request that was answered: `code` is `ok`, that of a refusal, or `cut-off`."""

    verb: str
    code: str
    received: int
    sent: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that nothing may move within and between requests, and between signs of life.

    `rate` is how many bytes a second are to move at least while the client is waited for, on the
    average of `window` seconds; 0 for any.
    """

    within: float = IDLE_WITHIN
    between: float = IDLE_BETWEEN
    sign: float = WAIT_SECONDS
    rate: float = LEAST_RATE
    window: float = WINDOW_SECONDS


def answer_all(
    server: Server,
    source: int,
    target: int,
    *,
    patience: Patience | None = None,
    log: Callable[[Served], None] = lambda _: None,
) -> None:
    """Answer the requests that come from a descriptor until it ends, or says nothing sensible."""
    pipes = Pipes(source, target, 0)
    patience = patience or Patience()
    try:
        while _Exchange(server, pipes, patience).run(log):
            pass
    finally:
        pipes.restore()


class _Exchange:
    """One request and its answer."""

    def __init__(self, server: Server, pipes: Pipes, patience: Patience) -> None:
        self._server = server
        self._pipes = pipes
        self._patience = patience
        self._pace = Pace(patience.rate, patience.window)
        self._body = _Body(iter(()))
        self._verb = "unknown"
        self._sent = 0

    def run(self, log: Callable[[Served], None]) -> bool:
        """Answer a request; False where no other can follow."""
        self._pipes.idle = self._patience.between
        try:
            message, pieces = read_message(self._read)
        except (EOFError, CutOffError, NetworkError):
            return False
        except FormatError as error:
            self._send(encode_reply(_not_understood(error)), iter(()))
            return False
        begun = time.monotonic()
        self._body = _Body(pieces)
        with self._signs_of_life():
            code, data, rest = self._answer(message)
            self._body.finish()
        if not self._send(data, rest):
            code = "cut-off"
        log(Served(self._verb, code, self._body.bytes, self._sent, time.monotonic() - begun))
        return code != "cut-off" and self._verb != "unknown" and self._body.drain()

    def _read(self, most: int) -> bytes:
        # What comes between two requests has no hurry.
        begun = None if self._pipes.idle == self._patience.between else time.monotonic()
        found = self._pipes.read(most)
        self._pipes.idle = self._patience.within
        if begun is not None:
            self._pace.note(time.monotonic() - begun, len(found))
        return found

    def _answer(self, message: bytes) -> tuple[str, bytes, Iterator[bytes]]:
        """Return a code, the reply to a message, and its body."""
        try:
            request = decode_request(message)
        except FormatError as error:
            refused = _not_understood(error)
            return refused.error, encode_reply(refused), iter(())
        self._verb = request.VERB
        try:
            reply, rest = self._server.answer(request, self._body)
            return "ok", encode_reply(reply), rest
        except MvcError as error:
            refused = refusal(error)
        except Exception:  # noqa: BLE001 - what failed is told to nobody but the log
            refused = FAILED
        return refused.error, encode_reply(refused), iter(())

    def _send(self, message: bytes, rest: Iterator[bytes]) -> bool:
        """Send a reply; False where the stream cannot go on behind it."""
        try:
            for data in self._pace.passing(frames(message, rest)):
                if not self._pipes.write(data):
                    break
                self._sent += len(data)
            else:
                return True
            # A generator that was never entered would let go of nothing when it is closed.
            next(rest, None)
        except Exception:  # noqa: BLE001 - a reply that has begun cannot become a refusal
            return False
        finally:
            close = getattr(rest, "close", None)
            if close is not None:
                close()
        return False

    @contextmanager
    def _signs_of_life(self) -> Iterator[None]:
        """Let the client know every now and then that its request is being worked on."""
        over = threading.Event()
        thread = threading.Thread(target=self._wait, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _wait(self, over: threading.Event) -> None:
        try:
            while not over.wait(self._patience.sign) and self._pipes.write(WAITING):
                pass
        except NetworkError:
            return


class _Body:
    """The body of a request, and how much of it was read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._broken = False
        self._over = False
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._over = not self._broken
            raise
        except BaseException:
            self._broken = True
            raise
        self.bytes += len(piece)
        return piece

    def finish(self) -> None:
        """Read the end of a body of which all was read before it."""
        if not self._over and not self._broken:
            self._skip(1)

    def drain(self) -> bool:
        """Read what nobody wanted; False where it is too much, or the stream has failed."""
        if not self._over and not self._broken:
            self._skip(MAX_PART)
        return self._over

    def _skip(self, most: int) -> None:
        until = self.bytes + most
        try:
            while self.bytes < until and next(self, None) is not None:
                pass
        except MvcError:
            return


def _not_understood(error: FormatError) -> Refusal:
    known = refusal(error)
    if isinstance(error, LimitError | VersionError):
        return known
    return Refusal("usage", known.message, known.hint, again=False)
