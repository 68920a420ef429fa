"""Versions whose parents were left out when they were fetched (docs/sync.md, "Less than all").

The file `shallow` has the id of each in a line. History ends there for whoever walks it; without
the file, the repository would lack what it says that it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.base.ids import ObjectId, parse_id

MAX_FILE = 64 << 20


class Shallow:
    """The list of such versions, in `path`. Safe from several threads and processes."""

    def __init__(self, path: Path, staging: Path) -> None:
        self._path = path
        self._staging = staging
        self._stat: fileio.FileStat | None = None
        self._commits: frozenset[ObjectId] = frozenset()
        self._guard = Lock()

    def commits(self) -> frozenset[ObjectId]:
        """Return them all."""
        stat = fileio.stat_file(self._path)
        if stat == self._stat:
            return self._commits
        with self._guard:
            self._commits = self._read() if stat is not None else frozenset()
            self._stat = stat
            return self._commits

    def change(self, added: Iterable[ObjectId], removed: Iterable[ObjectId]) -> None:
        """Add some durably, before a ref leads to them; remove those whose parents are here."""
        with fileio.locked(self._path.parent / "locks" / self._path.name):
            before = self.commits()
            after = (before | frozenset(added)) - frozenset(removed)
            if after == before:
                return
            if not after:
                fileio.remove(self._path)
                return
            fileio.clear(self._staging)
            lines = "".join(f"{item.hex()}\n" for item in sorted(after))
            fileio.write_file(self._path, lines.encode(), self._staging)

    def _read(self) -> frozenset[ObjectId]:
        try:
            lines = fileio.read_bytes(self._path, MAX_FILE).decode("ascii", "replace").split("\n")
        except NotFoundError:
            return frozenset()
        found = set()
        for line in lines:
            try:
                found.add(parse_id(line))
            except FormatError:
                # History seems to go on there then, and `mvc fsck` tells what is missing.
                continue
        return frozenset(found)
