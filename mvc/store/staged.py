"""Chunks of a transaction under way, readable before their pack has a name.

A file can so be a delta against an earlier one of the same commit, and what both hold is encoded
once.
"""

from __future__ import annotations

from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import IntegrityError
from mvc.storage.memory import MemoryStorage
from mvc.store.directory import ChunkEntry
from mvc.store.pack_reader import PackReader


class StagedReader(PackReader):
    """Reads sections from the two files of a pack that is being written."""

    def __init__(self, head: Path, tail: Path) -> None:
        super().__init__(MemoryStorage(), "0" * 64, 0, 0)
        self._files = (head, tail)

    def sections(self, entry: ChunkEntry, count: int) -> tuple[bytes, ...]:
        """See PackReader."""
        found = []
        for number, part in enumerate(entry.sections[:count]):
            with fileio.Reader(self._files[min(number, 1)]) as reader:
                data = reader.read_at(part.at, part.length)
            if not entry.intact(number, data):
                raise IntegrityError("a file of a pack under way was damaged")
            found.append(data)
        return tuple(found)
