"""Writing: objects gather in a pack that appears whole or not at all.

Nothing is visible before `commit` returns; a process that dies leaves a workspace that the next
writer removes. While a transaction is open, nothing that it found in the store goes away: it
shares a lock that whoever deletes packs needs alone (docs/maintenance.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Protocol, Self

from mvc.base import fileio
from mvc.base.errors import UsageError
from mvc.base.ids import ObjectId, object_id
from mvc.base.parallel import ordered_map
from mvc.codec.chunk import EFFORTS
from mvc.store.block import Item
from mvc.store.chunks import Prepared, Words, prepare
from mvc.store.kin import Kin
from mvc.store.locks import pinned
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk, PackWriter
from mvc.store.staged import StagedReader

PACK_BYTES = 2 << 30


class Encodable(Protocol):
    """A metadata object."""

    KIND: ClassVar[str]

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        ...


class Transaction:
    """Objects on their way into a store. Use as a context manager: leaving it undoes the rest.

    Move the ref that is to reach the objects before leaving it: from then on they can be collected.
    """

    def __init__(self, store: ObjectStore, scratch: Path, codec: str = "default") -> None:
        if codec not in EFFORTS:
            raise UsageError(
                f"unknown codec: {codec[:80]!r}", hint=f"there are {' and '.join(EFFORTS)}"
            )
        self._effort = EFFORTS[codec]
        self._store = store
        self._scratch = scratch
        self._workspace: fileio.Workspace | None = None
        self._writer: PackWriter | None = None
        self._reader: StagedReader | None = None
        self._pending: set[ObjectId] = set()
        self._kin = Kin()
        self._full: list[PackWriter] = []
        # What the published packs take, known after `commit`.
        self.stored_bytes = 0
        self._pin = ExitStack()
        self._pin.enter_context(pinned(scratch))
        try:
            store.refresh()
        except BaseException:
            self._pin.close()
            raise

    def put(self, item: Encodable) -> ObjectId:
        """Store a metadata object unless it is there, and return its id."""
        content = item.encode()
        name = object_id(item.KIND, content)
        if name not in self._pending and not self._store.contains(name):
            self._pending.add(name)
            self._open().add_object(Item(name, item.KIND, content))
        return name

    def put_chunks(self, chunks: Iterable[Words]) -> Iterator[ObjectId]:
        """Store chunks, encoding on all processors, and yield their ids in order.

        `chunks` is drawn in the calling thread a few items ahead, so memory stays bounded.
        """
        for prepared in ordered_map(
            lambda words: prepare(self._store, words, self._effort, self._kin),
            chunks,
            size=lambda words: len(words.data),
        ):
            self._add(prepared)
            yield prepared.id

    def commit(self) -> None:
        """Publish what was put. Packs are durable and indexed when this returns."""
        writers = [*self._full, *([self._writer] if self._writer else [])]
        for writer in writers:
            if not writer.empty:
                written = writer.publish(self._store.storage)
                self._store.joined(written)
                self.stored_bytes += written.head_bytes + writer.tail_bytes
        self._drop()

    def close(self) -> None:
        """Drop whatever was not committed."""
        self._drop()
        self._pin.close()

    def _drop(self) -> None:
        for writer in [*self._full, *([self._writer] if self._writer else [])]:
            writer.discard()
        self._writer = None
        self._full = []
        for name in self._pending:
            self._store.staged.pop(name, None)
        self._pending.clear()
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, prepared: Prepared) -> None:
        if prepared.id in self._pending:
            return
        for chunk in (prepared.factor, prepared.new):
            if chunk is not None and chunk.id not in self._pending:
                self._put_chunk(chunk)
        if prepared.sketch is not None:
            self._kin.note(prepared.id, prepared.sketch)

    def _put_chunk(self, chunk: NewChunk) -> None:
        if self._store.has_chunk(chunk.id):
            return
        self._pending.add(chunk.id)
        entry = self._open().add_chunk(chunk)
        if self._reader is not None:
            self._store.staged[chunk.id] = (self._reader, entry)

    def _open(self) -> PackWriter:
        if self._writer is not None and self._writer.size >= PACK_BYTES:
            self._full.append(self._writer)
            self._writer = None
        if self._writer is None:
            if self._workspace is None:
                fileio.reap(self._scratch)
                self._workspace = fileio.Workspace(self._scratch)
            self._writer = PackWriter(self._workspace)
            self._reader = StagedReader(*self._writer.files)
        return self._writer
