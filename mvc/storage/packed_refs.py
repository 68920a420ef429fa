"""Many refs in one file: an id and a key a line, in the order of keys (docs/format.md).

A ref that has a file of its own is at what that file says, whatever is said here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import xxhash

from mvc.base import fileio
from mvc.base.errors import FormatError, IntegrityError, NotFoundError

NAME = "packed-refs"
MAX_FILE = 1 << 30
VALUE_BYTES = 65
TICK_NS, COARSE_NS = 20_000_000, 2_000_000_000
_VALUE = re.compile(rb"[0-9a-f]{64}\n")
_LINES = re.compile(rb"(?:[0-9a-f]{64} refs/[A-Za-z0-9@_=+,%~./-]{1,1019}\n)*")


class _Known(NamedTuple):
    """What was read of the file that had this stat, and when."""

    stat: fileio.FileStat | None
    seen_ns: int
    values: dict[str, bytes]
    keys: list[str]

    def holds(self, stat: fileio.FileStat | None) -> bool:
        """Tell whether this is what a file of that stat says.

        Files that follow each other faster than the clock of the disk ticks may look the same.
        """
        if self.stat != stat or stat is None:
            return self.stat == stat
        coarse = stat.mtime_ns % 1_000_000_000 == 0
        return self.seen_ns - stat.mtime_ns > (COARSE_NS if coarse else TICK_NS)


class PackedRefs:
    """The file `packed-refs` in a folder, read again whenever it is another one."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self._path = folder / NAME
        self._staging = staging
        self._guard = Lock()
        self._known = _Known(None, 0, {}, [])

    def values(self) -> Mapping[str, bytes]:
        """Return all keys with their values. Raises IntegrityError."""
        return self._current().values

    def below(self, prefix: str) -> dict[str, bytes]:
        """Return the keys that start with `prefix` with their values, in order."""
        known = self._current()
        start = bisect_left(known.keys, prefix)
        # No character of a key is the last of all.
        end = bisect_left(known.keys, prefix + "\x7f", start)
        return {key: known.values[key] for key in known.keys[start:end]}

    def write(self, values: Mapping[str, bytes]) -> None:
        """Replace all of them durably, in one step; call under the lock of the storage."""
        if not values and not fileio.lexists(self._path):
            return
        lines = b"".join(value[:-1] + b" " + key.encode() + b"\n" for key, value in _sorted(values))
        fileio.write_file(self._path, lines + _check(lines), self._staging)

    def _current(self) -> _Known:
        stat = fileio.stat_file(self._path)
        known = self._known
        if not known.holds(stat):
            with self._guard:
                seen = fileio.now_ns()
                values = {} if stat is None else self._read()
                known = self._known = _Known(stat, seen, values, list(values))
        return known

    def _read(self) -> dict[str, bytes]:
        try:
            data = fileio.read_bytes(self._path, MAX_FILE)
        except NotFoundError:
            return {}
        except FormatError as error:
            raise self._damaged() from error
        lines, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if _check(lines) != check:
            raise self._damaged()
        if not _LINES.fullmatch(lines):
            raise self._damaged()
        found = {
            line[VALUE_BYTES:]: line[: VALUE_BYTES - 1].encode() + b"\n"
            for line in lines.decode("ascii").splitlines()
        }
        if list(found) != sorted(found):
            raise self._damaged()
        return found

    def _damaged(self) -> IntegrityError:
        return IntegrityError(
            f"{self._path} is damaged",
            hint="copy it from a backup, or remove it: `mvc fetch` and the files in logs/ tell "
            "where refs were",
        )


def fits(value: bytes) -> bool:
    """Tell whether a value is one that can be kept so: an id and the end of the line."""
    return _VALUE.fullmatch(value) is not None


def _sorted(values: Mapping[str, bytes]) -> Iterable[tuple[str, bytes]]:
    return sorted(values.items())


def _check(lines: bytes) -> bytes:
    return b"xxh3 " + xxhash.xxh3_64_hexdigest(lines).encode() + b"\n"


_CHECK_BYTES = len(_check(b""))
