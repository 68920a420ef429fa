"""What the working copy tracks, and how each file looked when its content was last known.

There is no staging area: a path is tracked or not. The stat of a file whose content is known
saves reading it; a stat taken too close to the file's last change proves nothing and is not
trusted (the racy case).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.base.fileio import FileStat
from mvc.base.ids import ObjectId, check_id
from mvc.objects import canonical
from mvc.objects.canonical import array, natural, raw

TICK_NS = 20_000_000
COARSE_NS = 2_000_000_000
VERSION = 1


@dataclass(frozen=True, slots=True)
class Known:
    """A file's content as an object, and the stat it had at `seen_ns`.

    `sha256` is what the file has; `id` is None for a file never committed. Where `precision` is
    given, the file is that object with only so many bits of each float word, and `sha256` is not
    the object's.
    """

    id: ObjectId | None
    sha256: bytes
    stat: FileStat
    seen_ns: int
    precision: int | None = None

    def proves(self, stat: FileStat) -> bool:
        """Tell whether a file with this stat still has the content."""
        return self.stat == stat and not self.racy()

    def racy(self) -> bool:
        """Tell whether a write just after the stat was taken could have left it as it is."""
        coarse = self.stat.mtime_ns % 1_000_000_000 == 0
        return self.seen_ns - self.stat.mtime_ns <= (COARSE_NS if coarse else TICK_NS)


@dataclass(frozen=True, slots=True)
class Left:
    """A file committed from memory: HEAD has its content, the working copy was left as it is.

    While the file on disk keeps the stat it had then (None: there was none), it counts as
    unchanged. Its content is not HEAD's, so it is written whenever files are written.
    """

    stat: FileStat | None


Held = Known | Left | None


class State:
    """The tracked paths, in `path`; a path maps to None until its content has been read.

    `lost` tells that there is no such file or that it is damaged.
    """

    def __init__(self, path: Path, staging: Path) -> None:
        self._path = path
        self._staging = staging
        found = _load(path)
        self.lost = found is None
        self.files: dict[str, Held] = found or {}
        self._saved = dict(self.files)

    @property
    def changed(self) -> bool:
        """Tell whether there is something to save."""
        return self.files != self._saved

    def save_if_current(self) -> None:
        """Save unless another process saved since this state was read; call under the lock."""
        if (_load(self._path) or {}) == self._saved:
            self.save()

    def save(self) -> None:
        """Write the state if it changed; call under the lock of the working copy."""
        if not self.changed:
            return
        fileio.clear(self._staging)
        rows = canonical.encode(
            [
                [name, None if held is None else _packed(held)]
                for name, held in sorted(self.files.items())
            ]
        )
        data = canonical.encode([VERSION, xxhash.xxh3_64_intdigest(rows), rows])
        fileio.write_file(self._path, data, self._staging)
        self._saved = dict(self.files)

    def settle(self, root: Path, paths: list[str]) -> None:
        """Wait out the racy moment after writing or reading files, so that their stats count.

        Files that changed meanwhile keep their unproven stat and are read again next time.
        """
        fresh = {
            path: known
            for path in paths
            if isinstance(known := self.files.get(path), Known) and known.racy()
        }
        if not fresh:
            return
        newest = max(known.stat.mtime_ns for known in fresh.values())
        behind = fileio.now_ns() - newest
        if 0 <= behind <= TICK_NS:
            fileio.pause((TICK_NS - behind) / 1e9 + 0.001)
        now = fileio.now_ns()
        for path, known in fresh.items():
            if fileio.stat_file(root / path) == known.stat:
                self.files[path] = replace(known, seen_ns=now)


def _packed(held: Known | Left) -> list[object]:
    stat = held.stat
    numbers = [] if stat is None else [stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode]
    if isinstance(held, Left):
        return [numbers]
    precision = [] if held.precision is None else [held.precision]
    return [held.id, held.sha256, numbers, held.seen_ns, *precision]


def _load(path: Path) -> dict[str, Held] | None:
    try:
        data = fileio.read_bytes(path, canonical.MAX_OBJECT)
    except NotFoundError:
        return None
    try:
        version, check, rows = canonical.decode(data)
        if version != VERSION or xxhash.xxh3_64_intdigest(rows) != check:
            raise FormatError("damaged, or of another version")
        held = canonical.decode(rows)
        return {name: None if item is None else _unpacked(item) for name, item in held}
    except (FormatError, ValueError, TypeError):
        # Losing it loses no content: the files of HEAD are compared with it by their bytes.
        return None


def _unpacked(value: object) -> Known | Left:
    items = array(value, 5)
    if len(items) == 1:
        return Left(FileStat(*array(items[0], 4)) if items[0] else None)
    held, sha256, stat, seen, *precision = items
    numbers = [number for number in array(stat, 4) if type(number) is int]
    return Known(
        None if held is None else check_id(held),
        raw(sha256, 32),
        FileStat(*numbers),
        natural(seen),
        natural(precision[0], 64) if precision else None,
    )
