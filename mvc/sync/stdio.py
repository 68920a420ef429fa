"""Standard input and output as a carrier: the client's side (docs/protocol.md, "Carriers")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mvc.base.errors import FormatError, NetworkError
from mvc.sync.child import Child
from mvc.sync.frames import CutOffError, frames, read_message
from mvc.sync.link import Answer, FutileError, refused
from mvc.sync.messages import Refusal, Request, decode_reply, encode_request
from mvc.sync.pace import Pace, Paced, SlowError
from mvc.sync.pipes import SilenceError
from mvc.sync.ssh import ended

IDLE_SECONDS = 60.0


class StdioLink:
    """A link to a program that answers on its standard streams, started when it is first asked.

    `host` is what the other side is called in errors. `told` hears what the program prints on
    standard error. Where nothing moves for `idle` seconds, or less than the `pace` of a request
    asks for, the program is ended.
    """

    def __init__(
        self,
        command: Sequence[str],
        host: str,
        *,
        idle: float = IDLE_SECONDS,
        pace: Callable[[], Pace] = Pace,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._command = tuple(command)
        self._host = host
        self._idle = idle
        self._pace = pace
        self._told = told
        self._child: Child | None = None
        # Whether the child can answer nothing more: a body was not read, or not sent, to its end.
        self._over = False

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        """See Link."""
        if self._over:
            self._drop()
        child = self._child = self._child or Child(self._command, self._idle, self._remark)
        try:
            pace = self._pace()
            whole = self._send(child, request, body, pace)
            reading = Paced(child.read, pace)
            with self._translated(child):
                message, rest = read_message(reading)
                reading.active = True
                first = next(rest, None)
            child.answered = True
            reply = decode_reply(message, type(request))
        except BaseException:
            self._drop()
            raise
        self._over = first is not None or not whole
        if self._over and (first is None or isinstance(reply, Refusal)):
            self._drop()
        if isinstance(reply, Refusal):
            raise refused(reply)
        return Answer(
            reply, iter(()) if first is None else self._body(child, first, rest, whole=whole)
        )

    def close(self) -> None:
        """See Link."""
        child, self._child = self._child, None
        if child is not None and not self._over:
            child.close()
        elif child is not None:
            child.kill()

    def _drop(self) -> None:
        self._over = True
        self.close()
        self._over = False

    def _remark(self, line: str) -> None:
        """Tell a line, as what the other side says; what it ends with becomes an error."""
        if not line.startswith(("error: ", "hint: ")):
            self._told(f"{self._host}: {line}")

    def _send(self, child: Child, request: Request, body: Iterable[bytes], pace: Pace) -> bool:
        """Send a request; False where an answer, or the end, came before all was sent."""
        try:
            data = pace.passing(frames(encode_request(request), body))
            return all(child.write_unanswered(piece) for piece in data)
        except SilenceError as error:
            raise self._silent() from error

    def _body(
        self, child: Child, first: bytes, rest: Iterator[bytes], *, whole: bool
    ) -> Iterator[bytes]:
        complete = False
        try:
            yield first
            with self._translated(child):
                yield from rest
            complete = whole
        finally:
            if child is self._child:
                self._over = not complete
                if not complete:
                    self._drop()

    @contextmanager
    def _translated(self, child: Child) -> Iterator[None]:
        """Raise what a failure to read means."""
        try:
            yield
        except SilenceError as error:
            raise self._silent() from error
        except SlowError as error:
            raise NetworkError(f"{self._host} is too slow: {error.message}") from error
        except (EOFError, CutOffError):
            raise ended(self._host, child.end(), child.lines, begun=child.answered) from None
        except FormatError as error:
            raise FutileError(
                f"{self._host} answered with something else than mvc's protocol",
                hint="a login shell there must print nothing when it runs a command",
            ) from error

    def _silent(self) -> NetworkError:
        return NetworkError(f"{self._host} was silent for {self._idle:g} seconds")
