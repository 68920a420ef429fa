"""Writing records and objects into new packs while the old ones are still there.

A pack is read back and decoded before it gets its name, and has its name before the next one is
begun, so a process that dies loses one pack at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from mvc.base import fileio
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.store.block import Item
from mvc.store.decode import check_latest
from mvc.store.directory import ChunkEntry, Section
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk, PackWriter
from mvc.store.pack_reader import PackReader
from mvc.store.staged import StagedReader

PACK_BYTES = 256 << 20


class Rewriter:
    """New packs of old content. Use as a context manager: leaving it drops what is not published.

    `published` is told the name of each pack that is durable and indexed. With `away` packs have
    no tails, and it is told their names before they are there; such a one takes `copy` and
    `add_top` alone.
    """

    def __init__(
        self,
        store: ObjectStore,
        scratch: Path,
        published: Callable[[str], None] = lambda _: None,
        pack_bytes: int = PACK_BYTES,
        away: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._scratch = scratch
        self._published = published
        self._pack_bytes = pack_bytes
        self._away = away
        self._workspace: fileio.Workspace | None = None
        self._writer: PackWriter | None = None
        self._coded: dict[ObjectId, tuple[PackReader, ChunkEntry]] = {}
        self._copied: dict[ObjectId, tuple[PackReader, ChunkEntry]] = {}
        self.packs: list[str] = []
        self.written: set[ObjectId] = set()
        self.bytes = 0

    def add(self, chunk: NewChunk) -> None:
        """Take in a chunk that was coded anew; it is decoded once more before it counts."""
        writer = self._open()
        entry = writer.add_chunk(chunk)
        self._coded[chunk.id] = (StagedReader(*writer.files), entry)
        self._note(chunk.id)

    def copy(self, reader: PackReader, entry: ChunkEntry, depth: int) -> None:
        """Take in a record as it is, but for its depth."""
        if self._away is not None:
            self.add_top(replace(_as_new(reader, entry, 1), depth=depth), entry.sections[1:])
            return
        writer = self._open()
        again = writer.add_chunk(replace(_as_new(reader, entry), depth=depth))
        self._copied[entry.id] = (StagedReader(*writer.files), again)
        self._note(entry.id)

    def add_top(self, chunk: NewChunk, lower: Sequence[Section]) -> None:
        """Take in the top section of a record whose lower ones, which are elsewhere, are told."""
        self._open().add_top(chunk, lower)
        self._note(chunk.id)

    def put(self, item: Item) -> None:
        """Take in a metadata object."""
        self._open().add_object(item)
        self._note(item.id)

    def publish(self) -> None:
        """Verify what was taken in and make it durable under its name."""
        writer = self._writer
        if writer is None:
            return
        self._verify()
        written = writer.publish(self._store.storage, self._away or (lambda _: None))
        self._store.joined(written)
        self._forget()
        self._writer = None
        self.packs.append(written.name)
        self.bytes += written.head_bytes + writer.tail_bytes
        self._published(written.name)

    def close(self) -> None:
        """Drop what was not published."""
        self._forget()
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> PackWriter:
        if self._writer is not None and self._writer.size >= self._pack_bytes:
            self.publish()
        if self._writer is None:
            if self._workspace is None:
                fileio.reap(self._scratch)
                self._workspace = fileio.Workspace(self._scratch)
            self._writer = PackWriter(self._workspace)
        return self._writer

    def _note(self, name: ObjectId) -> None:
        self.written.add(name)

    def _forget(self) -> None:
        self._coded = {}
        self._copied = {}

    def _verify(self) -> None:
        # Only now: older records may stand on older copies of less depth.
        staged = self._copied | self._coded
        self._store.staged.update(staged)
        try:
            for _ in ordered_map(lambda name: check_latest(self._store, name), self._coded):
                pass
        finally:
            for name in staged:
                self._store.staged.pop(name, None)


def _as_new(reader: PackReader, entry: ChunkEntry, count: int | None = None) -> NewChunk:
    return NewChunk(
        entry.id,
        entry.word,
        entry.words,
        entry.transform,
        entry.base,
        entry.depth,
        reader.sections(entry, count or len(entry.sections)),
        tuple(part.digest for part in entry.sections),
        entry.factors,
    )
