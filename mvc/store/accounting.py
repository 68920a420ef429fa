"""Where the bytes of a store's packs go, from their directories alone: nothing is decoded.

Every byte of a pack is one of four: a section of a chunk, a metadata block, the directory, or the
frame around them (magic numbers and footers).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mvc.base.dtypes import SEGMENTS
from mvc.base.errors import IntegrityError, MissingObjectError
from mvc.base.ids import ObjectId
from mvc.storage import keys
from mvc.store.directory import BlockEntry, ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import PackReader, open_pack, parse


class ChunkUse(NamedTuple):
    """What one chunk takes: its sections, and its entry in the pack's directory.

    `raw` is the bytes of its words; `away` are those of sections in a tail that is elsewhere;
    `kept` those of sections that are no shorter than what they hold, as noise is.
    """

    raw: int
    sections: int
    away: int
    entry: int
    kept: int
    depth: int
    base: ObjectId | None
    factors: ObjectId | None

    @property
    def here(self) -> int:
        """Bytes of sections in this store's packs."""
        return self.sections - self.away


class PackUse(NamedTuple):
    """The bytes of a pack's files, and what they are."""

    name: str
    head: int
    tail: int
    sections: int
    blocks: int
    directory: int

    @property
    def frame(self) -> int:
        """Magic numbers and footers."""
        return self.head + self.tail - self.sections - self.blocks - self.directory


class _Block:
    """A metadata block: shares of its cost are given out in proportion to content, to the byte."""

    __slots__ = ("_cost", "_given", "_size", "_taken")

    def __init__(self, cost: int, size: int) -> None:
        self._cost = cost
        self._size = size
        self._taken = 0
        self._given = 0

    def share(self, size: int) -> int:
        """Return the share of an object of `size` bytes; those of all objects add up to all."""
        self._taken += size
        due = self._cost * self._taken // self._size
        share, self._given = due - self._given, due
        return share


class Ledger:
    """What is in each pack of a store at one moment. Raises IntegrityError where a pack changed.

    A pack that is damaged is not in it, as it is not in the store.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.packs: list[PackUse] = []
        self.chunks: dict[ObjectId, ChunkUse] = {}
        # Records of chunks that another pack has as well, as while packs are replaced.
        self.copies: list[ChunkUse] = []
        self._entries: dict[tuple[str, int], tuple[BlockEntry, int]] = {}
        # The blocks of objects that lie beside one that was charged, and were not charged yet.
        self._beside: dict[ObjectId, _Block] = {}
        self._readers: dict[str, PackReader] = {}
        self._recovery: dict[ObjectId, int] = {}
        store.refresh()
        sizes = {item.key: item.size for item in store.storage.list(keys.PACKS)}
        known = store.index.packs()
        for key, size in sizes.items():
            name = keys.pack_of(key)
            if name in known:
                self._enter(name, size, sizes.get(keys.pack_tail(name), 0))

    def chunk(self, wanted: ObjectId) -> ChunkUse:
        """Return what a chunk takes, or raise MissingObjectError."""
        found = self.chunks.get(wanted)
        if found is None:
            raise MissingObjectError(
                f"object {wanted.hex()[:12]} is missing",
                hint="run `mvc fsck` to see which versions it affects",
            )
        return found

    def charge(self, wanted: ObjectId, size: int) -> int:
        """Return what a metadata object of `size` bytes takes; to be called once for each.

        It is a share of its compressed block, and of that block's entry in the directory.
        """
        block = self._beside.pop(wanted, None) or self._open(wanted)
        return block.share(size)

    def recovery(self, wanted: ObjectId) -> int:
        """Return the bytes of sections that decoding a chunk reads, along its bases and factors."""
        chain: list[ObjectId] = []
        following: ObjectId | None = wanted
        while following is not None and following not in self._recovery:
            use = self.chunk(following)
            if use.base is not None and self.chunk(use.base).depth >= use.depth:
                raise IntegrityError(f"chunk {wanted.hex()[:12]} has an impossible chain of bases")
            chain.append(following)
            following = use.base
        for name in reversed(chain):
            use = self.chunks[name]
            cost = use.sections + (self._recovery[use.base] if use.base is not None else 0)
            if use.factors is not None:
                cost += self.chunk(use.factors).sections
            self._recovery[name] = cost
        return self._recovery[wanted]

    def _open(self, wanted: ObjectId) -> _Block:
        place = self._store.locate(wanted)
        # Each block is opened once: what else it holds is found beside from then on.
        found = self._entries.pop((place.pack, place.at), None)
        if found is None:
            raise IntegrityError(
                f"pack {place.pack[:12]} came while the packs were counted",
                hint="run the command again",
            )
        entry, cost = found
        items = self._readers[place.pack].items(entry)
        block = _Block(cost, sum(len(item.content) for item in items))
        self._beside.update((item.id, block) for item in items if item.id != wanted)
        return block

    def _enter(self, name: str, head: int, tail: int) -> None:
        reader, directory = open_pack(self._store.storage, name, head)
        sections = blocks = 0
        for at, end, entry in _with_ends(directory):
            if isinstance(entry, BlockEntry):
                blocks += entry.length
                self._entries[name, at] = (entry, entry.length + end - at)
            else:
                use = chunk_use(entry, end - at, has_tail=tail > 0)
                sections += use.here
                self._add(entry.id, use)
        self._readers[name] = reader
        self.packs.append(PackUse(name, head, tail, sections, blocks, len(directory)))

    def _add(self, name: ObjectId, use: ChunkUse) -> None:
        """Enter a record; of several of one chunk, that which needs least before it counts."""
        other = self.chunks.setdefault(name, use)
        if other is not use:
            self.chunks[name], more = (use, other) if use.depth < other.depth else (other, use)
            self.copies.append(more)


def _with_ends(directory: bytes) -> Iterator[tuple[int, int, ChunkEntry | BlockEntry]]:
    """Yield (start, end, entry) of a directory's entries."""
    before: tuple[int, ChunkEntry | BlockEntry] | None = None
    for at, entry in parse(directory, whole=True):
        if before is not None:
            yield before[0], at, before[1]
        before = (at, entry)
    if before is not None:
        yield before[0], len(directory), before[1]


def chunk_use(entry: ChunkEntry, length: int = 0, *, has_tail: bool = True) -> ChunkUse:
    """Return what a record takes whose entry has `length` bytes."""
    lengths = [part.length for part in entry.sections]
    sizes = [width * entry.words for width in SEGMENTS[entry.word]]
    return ChunkUse(
        entry.word * entry.words,
        sum(lengths),
        0 if has_tail else sum(lengths[1:]),
        length,
        sum(found for found, size in zip(lengths, sizes, strict=True) if found >= size),
        entry.depth,
        entry.base,
        entry.factors,
    )
