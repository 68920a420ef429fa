"""Peers that drip: whoever sends or takes a byte now and then keeps a place from others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mvc.base.errors import NetworkError
from mvc.sync.frames import Read

LEAST_RATE = 1000
WINDOW_SECONDS = 60.0


class SlowError(NetworkError):
    """The other side brings, or takes, fewer bytes a second than are asked for."""


@dataclass(slots=True)
class Pace:
    """Bytes that moved in the time that was spent waiting for a peer; `rate` 0 asks for nothing.

    An average over `window` seconds of waiting counts, so a silence is made up for by what follows.
    """

    rate: float = LEAST_RATE
    window: float = WINDOW_SECONDS
    _waited: float = field(default=0.0, init=False)
    _moved: int = field(default=0, init=False)

    def note(self, seconds: float, count: int) -> None:
        """Take in a wait and what it brought; raise SlowError where it is too little by now."""
        self._waited += seconds
        self._moved += count
        if self._waited < self.window:
            return
        slow = self._moved < self.rate * self._waited
        self._waited, self._moved = 0.0, 0
        if slow:
            raise SlowError(f"the other side is slower than {self.rate:g} bytes a second")

    def passing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield pieces to whoever sends them; the time until the next is asked for is the wait."""
        for piece in pieces:
            begun = time.monotonic()
            yield piece
            self.note(time.monotonic() - begun, len(piece))


@dataclass(slots=True)
class Paced:
    """Reads as `read` does; what it waits for counts while it is `active`."""

    read: Read
    pace: Pace
    active: bool = False

    def __call__(self, most: int) -> bytes:
        """See `Read`."""
        begun = time.monotonic()
        found = self.read(most)
        if self.active:
            self.pace.note(time.monotonic() - begun, len(found))
        return found
