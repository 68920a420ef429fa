"""SHA-256 of a stream, worked out beside whoever makes the stream."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from mvc.base.parallel import started

LEAST = 1 << 16
"""Bytes that are worth being handed over; fewer are gathered first."""
ROOM = 8 << 20
"""Bytes that may wait."""


@cache
def _hasher() -> ThreadPoolExecutor | None:
    """Return the one thread that hashes, None where the system gives no more threads."""
    made = started(1, "mvc-hash")
    try:
        made.submit(int).result()
    except RuntimeError:
        return None
    return made


class Sha256:
    """The SHA-256 of what it is updated with, which must not change any more.

    The hash takes a gigabyte a second or two, as much as all else that reads or writes a file in
    order, so another thread works it out. Not safe from several threads.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._few: list[bytes | memoryview] = []
        self._size = 0
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._held = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take in what follows."""
        self._few.append(data)
        self._size += len(data)
        if self._size >= LEAST:
            self._hand_over()

    def digest(self) -> bytes:
        """Return the hash of all that was taken in."""
        if self._waiting:
            self._hand_over()
        while self._waiting:
            self._settle()
        self._add(self._few)
        self._few = []
        return self._hash.digest()

    def _hand_over(self) -> None:
        while self._held > ROOM:
            self._settle()
        hasher = _hasher()
        if hasher is None:
            self._add(self._few)
        else:
            self._waiting.append((hasher.submit(self._add, self._few), self._size))
            self._held += self._size
        self._few, self._size = [], 0

    def _settle(self) -> None:
        future, size = self._waiting.popleft()
        self._held -= size
        future.result()

    def _add(self, pieces: list[bytes | memoryview]) -> None:
        for piece in pieces:
            self._hash.update(piece)
