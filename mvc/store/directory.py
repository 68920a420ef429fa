"""A pack's directory: one entry a record, canonical msgpack (docs/format.md, "Pack directory").

A chunk entry is everything about a record but its sections; a block entry describes a compressed
run of metadata objects, whose ids follow from their content.
"""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.dtypes import CHUNK_WORDS, SEGMENTS
from mvc.base.errors import FormatError
from mvc.base.ids import ObjectId, check_id
from mvc.objects import canonical
from mvc.objects.canonical import array, natural, raw

MAX_DEPTH = 32
MAX_SECTION = 64 << 20
MAX_BLOCK = canonical.MAX_OBJECT + 4096
MAX_BLOCK_OBJECTS = 1 << 17
MAX_ENTRY = 1024
KINDS = ("chunk", "tensor", "blob", "layout", "checkpoint", "tree", "commit", "tag")


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section lies in its file, and the xxh3-64 of its bytes.

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

    @property
    def references(self) -> tuple[ObjectId, ...]:
        """Chunks that decoding this one needs."""
        return tuple(item for item in (self.base, self.factors) if item is not None)

    def encode(self) -> bytes:
        """Return the canonical bytes of the entry."""
        top, *lower = self.sections
        return canonical.encode(
            [
                0,
                self.id,
                self.word,
                self.words,
                self.transform,
                self.base,
                self.depth,
                [top.at, top.length, top.check],
                [[part.at, part.length, part.check, part.digest] for part in lower],
            ]
        )

    @property
    def stored(self) -> int:
        """Bytes of all sections."""
        return sum(part.length for part in self.sections)


@dataclass(frozen=True, slots=True)
class BlockEntry:
    """A zstd frame in the head that holds `count` metadata objects, `size` bytes in all."""

    at: int
    length: int
    check: int
    size: int
    count: int

    def encode(self) -> bytes:
        """Return the canonical bytes of the entry."""
        return canonical.encode([1, self.at, self.length, self.check, self.size, self.count])


PackEntry = ChunkEntry | BlockEntry


def decode_entry(data: bytes) -> PackEntry:
    """Return the entry of canonical bytes, or raise FormatError."""
    return build_entry(canonical.decode(data))


def build_entry(value: object) -> PackEntry:
    """Return the entry of a decoded msgpack value, or raise FormatError."""
    items = array(value, 9)
    if len(items) == 9 and items[0] == 0 and type(items[0]) is int:
        return _chunk(items)
    if len(items) == 6 and items[0] == 1 and type(items[0]) is int:
        at, length, check, size, count = items[1:]
        return BlockEntry(
            natural(at),
            natural(length, MAX_SECTION),
            natural(check, 2**64 - 1),
            natural(size, MAX_BLOCK),
            natural(count, MAX_BLOCK_OBJECTS),
        )
    raise FormatError("a directory entry is of no known kind")


def _chunk(items: list[object]) -> ChunkEntry:
    word, words = natural(items[2], 8), natural(items[3], CHUNK_WORDS)
    top, lower = array(items[7], 3), array(items[8], 2)
    if word not in SEGMENTS or not words or len(top) != 3 or len(lower) + 1 != len(SEGMENTS[word]):
        raise FormatError("a chunk entry has the wrong sections for its word")
    base = None if items[5] is None else check_id(items[5])
    depth = natural(items[6], MAX_DEPTH)
    if (base is None) != (depth == 0) or base == items[1]:
        raise FormatError("a chunk entry's base and depth contradict each other")
    sections = [_section([*top, b""], 0), *(_section(array(part, 4), 32) for part in lower)]
    return ChunkEntry(
        check_id(items[1]), word, words, natural(items[4], 255), base, depth, tuple(sections)
    )


def _section(items: list[object], digest: int) -> Section:
    if len(items) != 4:
        raise FormatError("a section entry has four parts")
    at, length, check, held = items
    return Section(
        natural(at), natural(length, MAX_SECTION), natural(check, 2**64 - 1), raw(held, digest)
    )
