"""Two pipes to another process: reading and writing that end where nothing moves for too long."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

from mvc.base.errors import NetworkError
from mvc.sync.frames import WAITING

READ_BYTES = 1 << 20
AHEAD_BYTES = 1 << 16
_IN = select.POLLIN | select.POLLHUP | select.POLLERR
_OUT = select.POLLOUT | select.POLLERR


class SilenceError(NetworkError):
    """The other side neither sent nor took anything for too long."""


class Pipes:
    """What is read from `source` and written to `target`, both of which stop blocking.

    `idle` is for how many seconds nothing may move. One thread may read while another writes.
    """

    def __init__(self, source: int, target: int, idle: float) -> None:
        self.idle = idle
        self._source = source
        self._target = target
        self._ahead = bytearray()
        self._before = {item: os.get_blocking(item) for item in (source, target)}
        for item in self._before:
            os.set_blocking(item, False)

    def restore(self) -> None:
        """Let the descriptors block again as they did before."""
        for item, blocking in self._before.items():
            os.set_blocking(item, blocking)

    def read(self, most: int) -> bytes:
        """Return up to so many bytes, none at the end; SilenceError."""
        if self._ahead:
            found = bytes(self._ahead[:most])
            del self._ahead[:most]
            return found
        while True:
            try:
                return os.read(self._source, min(most, READ_BYTES))
            except BlockingIOError:
                self._wait([self._source], [])
            except OSError:
                # A socket that was reset is a pipe that ended.
                return b""

    def write(self, data: bytes) -> bool:
        """Write all of it; False where nobody reads any more. SilenceError."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._target, view) :]
            except BlockingIOError:
                self._wait([], [self._target])
            except OSError:
                return False
        return True

    def write_unanswered(self, data: bytes) -> bool:
        """Write all of it; False where nobody reads any more, or an answer comes before."""
        view = memoryview(data)
        while view:
            if self._answered():
                return False
            try:
                view = view[os.write(self._target, view) :]
            except BlockingIOError:
                self._wait([self._source], [self._target])
            except OSError:
                return False
        return True

    def _answered(self) -> bool:
        """Tell whether more has come than a sign of life, or the end."""
        try:
            found = os.read(self._source, AHEAD_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._ahead += found
        while self._ahead.startswith(WAITING):
            del self._ahead[: len(WAITING)]
        return not found or not WAITING.startswith(self._ahead)

    def _wait(self, reading: Sequence[int], writing: Sequence[int]) -> None:
        """Return when one of the descriptors can go on; SilenceError."""
        end = time.monotonic() + self.idle
        watched = select.poll()
        for item in reading:
            watched.register(item, _IN)
        for item in writing:
            watched.register(item, _OUT)
        aside = self._watch(watched)
        while True:
            left = end - time.monotonic()
            ready = {item for item, _ in watched.poll(max(0, left) * 1000)}
            if aside is not None and aside in ready:
                ready.discard(aside)
                if not self._hear():
                    watched.unregister(aside)
                    aside = None
            if ready:
                return
            if left <= 0:
                raise SilenceError(f"nothing moved for {self.idle:g} seconds")

    def _watch(self, watched: select.poll) -> int | None:
        """Register what else is to be read meanwhile, and return it."""
        return None

    def _hear(self) -> bool:
        """Read what else there is; False at its end."""
        return False
