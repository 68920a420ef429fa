"""What there is to send, in an order in which it can be sent (docs/protocol.md, "plan")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mvc.base.dtypes import SEGMENTS
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.store.directory import MAX_DEPTH, BlockEntry, ChunkEntry
from mvc.store.object_store import UNREADABLE, ObjectStore
from mvc.store.pack_reader import PackReader
from mvc.sync.closure import Found
from mvc.sync.history import beyond, held_by, objects_to_send, versions_between
from mvc.sync.limits import MAX_IDS, MAX_PART
from mvc.sync.messages import Planned

__all__ = ["batches", "beyond", "held_by", "objects_to_send", "plan", "versions_between"]

ENTRY_BYTES = 176
"""About what a record takes in a directory."""
UNPACKED = 16
"""A part of PART_BYTES must stay far below MAX_UNPACKED, however well its metadata compresses."""


def plan(
    repo: Repository,
    wanted: Iterable[Found],
    theirs: Callable[[ObjectId], bool],
    *,
    heads: bool = False,
) -> Iterator[Planned]:
    """Yield the records that bring `wanted` to who holds what is `theirs`.

    They come in the opposite order, so that what an object leads to comes before it where `wanted`
    is a walk, and a base always before its deltas. A factor that a low-rank delta needs comes
    along. Sizes are those of the records here; of one that has to be coded anew, about what that
    will take. With `heads` they are those of top segments.
    """
    yield from _Planner(repo.store, wanted, theirs, heads=heads).run()


def batches(planned: Iterable[Planned], part_bytes: int) -> Iterator[list[Planned]]:
    """Yield runs of a plan that make a part of less than `part_bytes` each, or of one record."""
    # Records that are coded anew may come out larger than was foretold.
    limit = min(part_bytes, MAX_PART // 2)
    run: list[Planned] = []
    total = 0
    for item in planned:
        size = item.size + ENTRY_BYTES
        if run and (total + size >= limit or len(run) >= MAX_IDS):
            yield run
            run, total = [], 0
        run.append(item)
        total += size
    if run:
        yield run


class _Coding(NamedTuple):
    """How a chunk is to be sent: against which base, in about how many bytes, after which."""

    base: ObjectId | None
    size: int
    needs: tuple[ObjectId, ...]


class _Planner:
    def __init__(
        self,
        store: ObjectStore,
        wanted: Iterable[Found],
        theirs: Callable[[ObjectId], bool],
        *,
        heads: bool,
    ) -> None:
        self._store = store
        self._theirs = theirs
        self._heads = heads
        self._wanted: dict[ObjectId, Found] = {}
        for item in wanted:
            if item.id not in self._wanted and not theirs(item.id):
                self._wanted[item.id] = item
        self._factors: set[ObjectId] = set()
        # What was planned, and how many deltas in a row then end there.
        self._done: dict[ObjectId, int] = {}
        self._under_way: set[ObjectId] = set()
        self._shares: dict[tuple[str, int], int] = {}

    def run(self) -> Iterator[Planned]:
        """See `plan`."""
        for item in reversed(self._wanted.values()):
            if item.kind == "chunk":
                yield from self._chunk(item.id)
            else:
                yield Planned(item.id, item.stored_kind, self._share(item), None)

    def _chunk(self, wanted: ObjectId) -> Iterator[Planned]:
        """Yield a chunk behind those that its record needs."""
        pending = [wanted]
        while pending:
            item = pending[-1]
            if item in self._done:
                pending.pop()
                continue
            coding = self._coding(item)
            first = next((one for one in coding.needs if one not in self._done), None)
            if first is not None:
                self._under_way.add(item)
                pending.append(first)
                continue
            pending.pop()
            self._under_way.discard(item)
            yield self._settled(item, coding)

    def _settled(self, item: ObjectId, coding: _Coding) -> Planned:
        """Note a chunk as planned; of copies of records, one may end a chain that is too long."""
        depth = 0 if coding.base is None else self._done.get(coding.base, 0) + 1
        if depth > MAX_DEPTH:
            _, entry = self._store.chunk_entry(item)
            coding, depth = _Coding(None, self._raw(entry), ()), 0
        self._done[item] = depth
        return Planned(item, "chunk", coding.size, coding.base)

    def _coding(self, item: ObjectId) -> _Coding:
        records = [entry for _, entry in self._store.records(item)]
        if not records:
            # Raises what is wrong, or finds what was moved meanwhile.
            records = [self._store.chunk_entry(item)[1]]
        if item in self._factors:
            whole = [entry for entry in records if not entry.references]
            return _Coding(None, min(map(self._size, whole or records)), ())
        ready = [entry for entry in records if entry.base is None or self._is_there(entry.base)]
        if not ready:
            return self._anew(records[0])
        entry = min(ready, key=self._size)
        if entry.factors is not None and not self._theirs(entry.factors):
            self._factors.add(entry.factors)
        needs = tuple(one for one in entry.references if not self._theirs(one))
        return _Coding(entry.base, self._size(entry), needs)

    def _anew(self, entry: ChunkEntry) -> _Coding:
        """Return the coding against the nearest chunk below a record that is there."""
        size, base, depth = self._size(entry), entry.base, entry.depth
        while base is not None and not self._is_there(base):
            _, below = self._store.chunk_entry(base, depth)
            size += self._size(below)
            base, depth = below.base, below.depth
        needs = () if base is None or self._theirs(base) else (base,)
        return _Coding(base, min(size, self._raw(entry)), needs)

    def _is_there(self, base: ObjectId) -> bool:
        """Tell whether a chunk can be a base: they have it, or it can come before."""
        if base in self._done or self._theirs(base):
            return True
        # Packs may hold two chunks as deltas against each other.
        return base in self._wanted and base not in self._under_way

    def _size(self, entry: ChunkEntry) -> int:
        return entry.sections[0].length if self._heads else entry.stored

    def _raw(self, entry: ChunkEntry) -> int:
        return entry.words * (SEGMENTS[entry.word][0] if self._heads else entry.word)

    def _share(self, item: Found) -> int:
        """Return a metadata object's share of the block that it is stored in."""
        found = self._store.locate(item.id)
        place = found.pack, found.at
        if place not in self._shares:
            reader = PackReader(
                self._store.storage, found.pack, found.directory_at, found.head_bytes
            )
            try:
                entry = reader.entry(found.at)
            except UNREADABLE:
                return len(self._store.read(item.id, item.stored_kind))
            if not isinstance(entry, BlockEntry):
                return len(self._store.read(item.id, item.stored_kind))
            self._shares[place] = -(-max(entry.length, entry.size // UNPACKED) // entry.count)
        return self._shares[place]
