"""Which pack holds which objects, and what each record of a chunk costs and needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mvc.base.ids import ObjectId
from mvc.storage import keys
from mvc.store.directory import ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import open_pack, parse, read_rows


class Record(NamedTuple):
    """A chunk in one encoding: bytes of its words, of its sections, and what decoding needs."""

    id: ObjectId
    word: int
    words: int
    stored: int
    depth: int
    references: tuple[ObjectId, ...]
    low_rank: bool

    @property
    def raw(self) -> int:
        """Bytes of the words."""
        return self.word * self.words

    @property
    def base(self) -> ObjectId | None:
        """The chunk it is a difference from."""
        return self.references[0] if self.references else None


class Pack(NamedTuple):
    """A pack: the sizes of its files, its chunks, and its metadata objects."""

    name: str
    head_bytes: int
    tail_bytes: int
    chunks: tuple[Record, ...]
    objects: tuple[ObjectId, ...]

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return self.head_bytes + self.tail_bytes

    def ids(self) -> Iterable[ObjectId]:
        """Yield the ids of all that it holds."""
        for record in self.chunks:
            yield record.id
        yield from self.objects


Census = dict[str, Pack]


def census(store: ObjectStore, known: Census | None = None) -> Census:
    """Return what all packs hold; of those that are `known` nothing is read again."""
    known = known or {}
    sizes = {item.key: item.size for item in store.storage.list(keys.PACKS)}
    indexed = store.index.packs()
    found: Census = {}
    for key, size in sizes.items():
        name = keys.pack_of(key)
        if name and name in indexed:
            tail = sizes.get(keys.pack_tail(name), 0)
            found[name] = known.get(name) or look_into(store, name, size, tail)
    return found


def look_into(store: ObjectStore, name: str, head_bytes: int, tail_bytes: int) -> Pack:
    """Return what a pack holds, or raise IntegrityError."""
    _, directory = open_pack(store.storage, name, head_bytes)
    records = tuple(
        _record(entry) for _, entry in parse(directory, whole=True) if isinstance(entry, ChunkEntry)
    )
    rows = read_rows(store.storage, name, head_bytes).rows
    others = tuple(row.id for row in rows if row.kind != "chunk")
    return Pack(name, head_bytes, tail_bytes, records, others)


def nearest(packs: Census) -> dict[ObjectId, Record]:
    """Return the record of each chunk that the store reads: of several the one of least depth."""
    found: dict[ObjectId, Record] = {}
    for pack in packs.values():
        for record in pack.chunks:
            other = found.get(record.id)
            if other is None or record.depth < other.depth:
                found[record.id] = record
    return found


def needed(wanted: Iterable[ObjectId], records: dict[ObjectId, Record]) -> set[ObjectId]:
    """Return the wanted ids and those of all chunks that decoding them needs."""
    found = set(wanted)
    pending = [item for item in found if item in records]
    while pending:
        for item in records[pending.pop()].references:
            if item not in found:
                found.add(item)
                if item in records:
                    pending.append(item)
    return found


def _record(entry: ChunkEntry) -> Record:
    return Record(
        entry.id,
        entry.word,
        entry.words,
        entry.stored,
        entry.depth,
        entry.references,
        entry.factors is not None,
    )
