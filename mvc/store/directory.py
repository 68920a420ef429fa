"""A pack's directory: one entry a record, canonical msgpack (docs/format.md, "Pack directory").

A chunk entry is everything about a record but its sections; a block entry describes a compressed
run of metadata objects, whose ids follow from their content. Both exist in two forms: the first
one is that of packs of version 1 and is only read.
"""

from __future__ import annotations

from dataclasses import dataclass

import xxhash

from mvc.base.dtypes import CHUNK_WORDS, SEGMENTS
from mvc.base.errors import FormatError
from mvc.base.ids import ObjectId, check_id
from mvc.objects import canonical
from mvc.objects.canonical import array, natural, raw

MAX_DEPTH = 32
MAX_SECTION = 64 << 20
MAX_BLOCK = canonical.MAX_OBJECT + 4096
MAX_BLOCK_OBJECTS = 1 << 17
MAX_SPAN = 1 << 20
MAX_ENTRY = 1024
KINDS = ("chunk", "tensor", "blob", "layout", "checkpoint", "tree", "commit", "tag")

CHECK_BITS = {1: 64, 2: 32}
_BLOCK = {1: 1, 2: 3}
LONGEST = 18


def check_of(data: bytes, version: int) -> int:
    """Return the check of a section or frame in entries of a version: an xxh3-64, or its end."""
    return xxhash.xxh3_64_intdigest(data) & ((1 << CHECK_BITS[version]) - 1)


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section lies in its file, and the check of its bytes.

    `digest` is the BLAKE3 of the decoded segment. It is kept for all but the top segment, so that
    the top can be verified against the chunk's id without the others.
    """

    at: int
    length: int
    check: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """A chunk's record; sections run from most to least significant, the first in the head."""

    id: ObjectId
    word: int
    words: int
    transform: int
    base: ObjectId | None
    depth: int
    sections: tuple[Section, ...]
    # The chunk that holds the shared factor of a low-rank delta.
    factors: ObjectId | None = None
    version: int = 2

    @property
    def references(self) -> tuple[ObjectId, ...]:
        """Chunks that decoding this one needs."""
        return tuple(item for item in (self.base, self.factors) if item is not None)

    def intact(self, number: int, data: bytes) -> bool:
        """Tell whether `data` can be the section at `number`."""
        return check_of(data, self.version) == self.sections[number].check

    def encode(self) -> bytes:
        """Return the canonical bytes of the entry."""
        top, *lower = self.sections
        if self.version == 1:
            kept = [[part.at, part.length, part.check, part.digest] for part in lower]
            where = [self.base, self.depth, [top.at, top.length, top.check], kept]
            return canonical.encode([0, self.id, self.word, self.words, self.transform, *where])
        places: list[object] = [top.at, top.length, top.check]
        for part in lower:
            places += [part.at, part.length, part.check, part.digest]
        what = [self.id, self.word, self.words, self.transform, self.depth, list(self.references)]
        return canonical.encode([2, *what, *places])

    @property
    def stored(self) -> int:
        """Bytes of all sections."""
        return sum(part.length for part in self.sections)


@dataclass(frozen=True, slots=True)
class BlockEntry:
    """A zstd frame in the head that holds `count` metadata objects, `size` bytes in all.

    The ids of the chunks whose entries lie in the `span` bytes of the directory from `first` on
    are left out of the frame.
    """

    at: int
    length: int
    check: int
    size: int
    count: int
    first: int = 0
    span: int = 0
    version: int = 2

    def intact(self, data: bytes) -> bool:
        """Tell whether `data` can be the frame."""
        return check_of(data, self.version) == self.check

    def encode(self) -> bytes:
        """Return the canonical bytes of the entry."""
        ids = [] if self.version == 1 else [self.first, self.span]
        frame = [self.at, self.length, self.check, self.size, self.count]
        return canonical.encode([_BLOCK[self.version], *frame, *ids])


PackEntry = ChunkEntry | BlockEntry


def decode_entry(data: bytes) -> PackEntry:
    """Return the entry of canonical bytes, or raise FormatError."""
    return build_entry(canonical.decode(data))


def build_entry(value: object) -> PackEntry:
    """Return the entry of a decoded msgpack value, or raise FormatError."""
    items = array(value, LONGEST)
    tag = items[0] if items and type(items[0]) is int else None
    if tag == 2 and len(items) >= 10:
        return _chunk(items)
    if tag == 3 and len(items) == 8:
        return _block(items, 2)
    if tag == 0 and len(items) == 9:
        return _old_chunk(items)
    if tag == 1 and len(items) == 6:
        return _block([*items, 0, 0], 1)
    raise FormatError("a directory entry is of no known kind")


def named(value: object) -> ObjectId | None:
    """Return the id in the decoded msgpack value of a chunk's entry, None of a block's."""
    items = array(value, LONGEST)
    chunk = len(items) > 1 and type(items[0]) is int and items[0] in (0, 2)
    return check_id(items[1]) if chunk else None


def _chunk(items: list[object]) -> ChunkEntry:
    references = [check_id(item) for item in array(items[6], 2)]
    base, factors = (*references, None, None)[:2]
    top, lower = items[7:10], items[10:]
    parts = [lower[at : at + 4] for at in range(0, len(lower), 4)]
    return _made(items[1:6], base, factors, [top, *parts], 2)


def _old_chunk(items: list[object]) -> ChunkEntry:
    base = None if items[5] is None else check_id(items[5])
    parts = [array(part, 4) for part in array(items[8], 2)]
    about = [*items[1:5], items[6]]
    return _made(about, base, None, [array(items[7], 3), *parts], 1)


def _made(
    about: list[object],
    base: ObjectId | None,
    factors: ObjectId | None,
    parts: list[list[object]],
    version: int,
) -> ChunkEntry:
    name, word, words = check_id(about[0]), natural(about[1], 8), natural(about[2], CHUNK_WORDS)
    if word not in SEGMENTS or not words or len(parts) != len(SEGMENTS[word]):
        raise FormatError("a chunk entry has the wrong sections for its word")
    transform, depth = natural(about[3], 255), natural(about[4], MAX_DEPTH)
    references = [item for item in (base, factors) if item is not None]
    if bool(references) != (depth > 0) or len({name, *references}) != 1 + len(references):
        raise FormatError("a chunk entry's base and depth contradict each other")
    limit = (1 << CHECK_BITS[version]) - 1
    sections = [_section([*parts[0], b""], 0, limit)]
    sections += [_section(part, 32, limit) for part in parts[1:]]
    return ChunkEntry(name, word, words, transform, base, depth, tuple(sections), factors, version)


def _section(items: list[object], digest: int, limit: int) -> Section:
    if len(items) != 4:
        raise FormatError("a section entry has four parts")
    at, length, check, held = items
    return Section(
        natural(at), natural(length, MAX_SECTION), natural(check, limit), raw(held, digest)
    )


def _block(items: list[object], version: int) -> BlockEntry:
    at, length, check, size, count, first, span = items[1:]
    if version > 1 and not count:
        raise FormatError("a block entry announces no object")
    return BlockEntry(
        natural(at),
        natural(length, MAX_SECTION),
        natural(check, (1 << CHECK_BITS[version]) - 1),
        natural(size, MAX_BLOCK),
        natural(count, MAX_BLOCK_OBJECTS),
        natural(first),
        natural(span, MAX_SPAN),
        version,
    )
