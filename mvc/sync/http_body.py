"""Bodies between the event loop, which must not wait, and the thread that answers a request.

Both ways are queues of bounded size: whoever is faster waits for the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Condition

from mvc.sync.frames import CutOffError

QUEUED = 1 << 19
PIECE = 1 << 16


class GoneError(Exception):
    """Nobody is there any more to read a reply."""


class Inflow:
    """Bytes that come from the loop and are read by one thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._room = asyncio.Event()
        self.over = asyncio.Event()
        """Set when the carrier has nothing more to bring, read or not."""
        self._changed = Condition()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: Exception | None = None

    @property
    def ended(self) -> bool:
        """Tell whether everything has come that the thread is to see."""
        return self._ended

    @property
    def failed(self) -> bool:
        """Tell whether something has not come that should have."""
        return self._error is not None

    async def put(self, piece: bytes) -> None:
        """Add bytes, and wait until there is room for more."""
        with self._changed:
            if self._ended or not piece:
                return
            self._pieces.append(piece)
            self._size += len(piece)
            self._room.clear()
            self._changed.notify()
            full = self._size > QUEUED
        if full:
            await self._room.wait()

    def end(self, error: Exception | None = None) -> None:
        """Say that nothing more comes: it was all, or `error` is why not."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify()
        self._room.set()

    def discard(self) -> None:
        """Let go of what nobody will read, and of what still comes."""
        with self._changed:
            self._pieces.clear()
            self._size = 0
            self._ended = True
        self._tell_room()

    def read(self, most: int) -> bytes:
        """Return at most so many bytes, none at the end; raises what it was ended with."""
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if not self._pieces:
                if self._error is not None:
                    raise self._error
                return b""
            piece = self._pieces.popleft()
            if len(piece) > most:
                self._pieces.appendleft(piece[most:])
                piece = piece[:most]
            was, self._size = self._size, self._size - len(piece)
            crossed = was > QUEUED // 2 >= self._size
        if crossed:
            self._tell_room()
        return piece

    def _tell_room(self) -> None:
        # The loop may be closed already when the server was told to stop at once.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._room.set)


class Outflow:
    """What one thread answers: a status, then bytes, for the loop to send."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._filled = asyncio.Event()
        self._changed = Condition()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._over = False
        self._gone = False
        self.status: int | None = None
        self.complete = False

    def start(self, status: int) -> None:
        """Say with which status the reply begins."""
        self.status = status

    def send(self, pieces: Iterable[bytes]) -> None:
        """Hand over all pieces; GoneError where nobody wants them any more."""
        for piece in _larger(pieces):
            with self._changed:
                while self._size > QUEUED and not self._gone:
                    self._changed.wait()
                if self._gone:
                    raise GoneError
                self._pieces.append(piece)
                self._size += len(piece)
            self._wake()
        self.complete = True

    def end(self) -> None:
        """Say that nothing more comes; the reply is whole if `complete`."""
        self._over = True
        self._wake()

    def abandon(self) -> None:
        """Let go of the reply: the thread learns of it when it next sends."""
        with self._changed:
            self._gone = True
            self._pieces.clear()
            self._changed.notify()
        self._filled.set()

    async def get(self) -> bytes | None:
        """Return the next bytes, None at the end."""
        while True:
            with self._changed:
                if self._pieces:
                    piece = self._pieces.popleft()
                    self._size -= len(piece)
                    self._changed.notify()
                    return piece
                if self._over or self._gone:
                    return None
                self._filled.clear()
            await self._filled.wait()

    def _wake(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._filled.set)


def _larger(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces, so that each is worth waking somebody up."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        small.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(small)
            small, size = [], 0
    if small:
        yield b"".join(small)


def cut_off(why: str) -> CutOffError:
    """Return the error of a body that does not come."""
    return CutOffError(f"the request was cut off: {why}")
