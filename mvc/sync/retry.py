"""Asking again where asking again may help (docs/protocol.md, "Requests and replies")."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

from xxhash import xxh3_128

from mvc.base import fileio
from mvc.base.errors import NetworkError
from mvc.sync.link import Answer, FutileError, LaterError, Link, UnreachableError
from mvc.sync.messages import Request

TRIES = 8
FIRST_TRIES = 4
"""As long as nothing was ever answered, the address is as likely to be wrong as the network."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
MOST_PATIENCE = 120.0
"""Seconds of a pause that a server may ask for."""
LARGE = 1 << 16
"""A body that broke off behind so many bytes may have done so because of its size."""


class ShortLivedError(NetworkError):
    """Connections break off before a body is over; `passed` is how much of it passed at most."""

    def __init__(self, error: NetworkError, passed: int) -> None:
        super().__init__(error.message, hint=error.hint)
        self.passed = passed


class PatientLink:
    """A link that asks again, each time through a new link, as long as that may help.

    A reply's body that breaks off is asked for again and goes on where it was, if it begins as it
    did before. `told` hears why there is a pause. What failed last is raised after `tries` failures
    without progress, or FIRST_TRIES where nobody ever answered; ShortLivedError after `large_tries`
    of them where large bodies broke off, since smaller ones may pass. FutileError and refusals are
    raised at once.
    """

    def __init__(
        self,
        make: Callable[[], Link],
        *,
        tries: int = TRIES,
        large_tries: int = TRIES,
        pause: Callable[[float], None] = fileio.pause,
        chance: Callable[[], float] = random.random,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.large_tries = large_tries
        self._make = make
        self._tries = tries
        self._pause = pause
        self._chance = chance
        self._told = told
        self._link: Link | None = None
        self._reached = False

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        """See Link."""
        run = _Run(self, request, body)
        answer = run.answer()
        return Answer(answer.reply, run.received(answer))

    def close(self) -> None:
        """See Link."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def once(self, request: Request, body: Iterable[bytes]) -> Answer:
        """Ask through the link there is, or a new one; what fails closes it."""
        if self._link is None:
            self._link = self._make()
        try:
            answer = self._link.ask(request, body)
        except BaseException:
            self.close()
            raise
        self._reached = True
        return answer

    def wait(self, failures: int, error: NetworkError) -> None:
        """Pause after so many failures in a row, or raise the error if that was enough."""
        self.close()
        never = isinstance(error, UnreachableError) and not self._reached
        tries = min(self._tries, FIRST_TRIES) if never else self._tries
        if isinstance(error, FutileError) or failures >= tries:
            raise error
        longest = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
        seconds = longest * (1 + self._chance()) / 2
        if isinstance(error, LaterError):
            # Not at the very second: others were told the same.
            seconds += min(error.after, MOST_PATIENCE)
        self._told(f"trying again in {round(seconds, 1):g} s: {error.message}")
        self._pause(seconds)


class _Run:
    """One request until it is answered to the end."""

    def __init__(self, link: PatientLink, request: Request, body: Iterable[bytes]) -> None:
        self._link = link
        self._request = request
        self._body = body
        self._failures = 0
        self._broken = 0
        self._passed = 0

    def answer(self) -> Answer:
        """Return the first answer that comes."""
        while True:
            sent = _Counted(self._body)
            try:
                return self._link.once(self._request, sent)
            except NetworkError as error:
                if sent.bytes and isinstance(self._body, Iterator):
                    # Half of it is used up.
                    raise
                self._failed(error, sent.bytes)

    def received(self, first: Answer) -> Iterator[bytes]:
        """Yield the body of an answer, through as many answers as it takes."""
        given = _Given()
        answer, best = first, 0
        while True:
            passed = 0
            try:
                for piece in answer.body:
                    passed += len(piece)
                    fresh = given.fresh(piece)
                    if fresh:
                        yield fresh
                given.end()
                return
            except NetworkError as error:
                if passed > best:
                    best, self._failures, self._broken = passed, 0, 0
                self._failed(error, passed)
            except GeneratorExit:
                self._link.close()
                raise
            answer = self.answer()
            if answer.reply != first.reply:
                self._link.close()
                raise _changed()
            given.rewind()

    def _failed(self, error: NetworkError, passed: int) -> None:
        self._failures += 1
        if passed >= LARGE:
            self._broken += 1
            self._passed = max(self._passed, passed)
            if self._broken >= self._link.large_tries:
                self._link.close()
                raise ShortLivedError(error, self._passed)
        self._link.wait(self._failures, error)


class _Counted:
    """A body that counts what is taken of it."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self.bytes += len(piece)
            yield piece


class _Given:
    """What was given of a body, so that the next one goes on behind it.

    Whoever means to deceive could as well have sent other bytes the first time, so a quick hash
    will do.
    """

    def __init__(self) -> None:
        self._all = xxh3_128()
        self._again = xxh3_128()
        self._bytes = 0
        self._left = 0

    def rewind(self) -> None:
        """Expect the body from its beginning."""
        self._again = xxh3_128()
        self._left = self._bytes

    def fresh(self, piece: bytes) -> bytes:
        """Return what of a piece was not given before; FutileError where it is another body."""
        if self._left:
            known, piece = piece[: self._left], piece[self._left :]
            self._again.update(known)
            self._left -= len(known)
            if not self._left and self._again.digest() != self._all.digest():
                raise _changed()
        self._all.update(piece)
        self._bytes += len(piece)
        return piece

    def end(self) -> None:
        """Raise FutileError where a body is over before what was given of it."""
        if self._left:
            raise _changed()


def _changed() -> FutileError:
    return FutileError(
        "the server answers otherwise than before the connection broke off", hint="run it again"
    )
