"""Chunks: from words to records and back, verified against the Merkle tree both ways."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.dtypes import SEGMENTS, Family
from mvc.base.errors import FormatError, IntegrityError, NotFoundError
from mvc.base.ids import ObjectId, digest
from mvc.codec import chunk as codec
from mvc.codec.segments import Segments, join, split
from mvc.objects.model import chunk_id
from mvc.store.directory import ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk
from mvc.store.pack_reader import PackReader

CHAIN_LIMIT = 8
"""Deltas in a row at commit time; beyond it a chunk goes against the start of the chain."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one chunk on their way into the store.

    `data` is little-endian and a whole number of words; `bases` are chunks that it may resemble,
    the most likely first. Where the words are those of a matrix, `dtype` is its element type,
    `columns` the words of a row and `start` the place of the first word in the tensor; `stride` is
    the bytes of a block of quantised elements.
    """

    data: bytes | memoryview
    word: int
    family: Family
    bases: tuple[ObjectId, ...] = ()
    dtype: str = ""
    columns: int = 0
    start: int = 0
    stride: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk's id, and its record unless the store has it already."""

    id: ObjectId
    new: NewChunk | None


def prepare(store: ObjectStore, words: Words) -> Prepared:
    """Hash a chunk and, if it is not stored yet, encode it. Safe in worker threads."""
    segments, digests, name = _named(words)
    if store.contains(name):
        return Prepared(name, None)
    return Prepared(name, _record(store, words, name, segments, digests, CHAIN_LIMIT))


def record(store: ObjectStore, words: Words, limit: int = CHAIN_LIMIT) -> NewChunk:
    """Encode a chunk whether it is stored or not, with at most `limit` deltas in a row."""
    segments, digests, name = _named(words)
    return _record(store, words, name, segments, digests, limit)


def _named(words: Words) -> tuple[Segments, tuple[bytes, ...], ObjectId]:
    segments = split(words.data, words.word)
    digests = tuple(digest(part.data) for part in segments)
    return segments, digests, chunk_id(words.word, len(segments[0]), digests)


def _record(
    store: ObjectStore,
    words: Words,
    name: ObjectId,
    segments: Segments,
    digests: tuple[bytes, ...],
    limit: int,
) -> NewChunk:
    count = len(segments[0])
    base = _base(store, words.bases[0], words.word, count, limit) if words.bases else None
    coded = codec.encode(segments, words.family, base[1] if base else None)
    entry = base[0] if base and coded.transform.needs_base else None
    return NewChunk(
        name,
        words.word,
        count,
        coded.transform,
        entry.id if entry else None,
        entry.depth + 1 if entry else 0,
        coded.sections,
        digests,
    )


def load(store: ObjectStore, wanted: ObjectId) -> Segments:
    """Return the segments of a chunk, or raise IntegrityError."""
    entry, segments = _decode(store, wanted, None)
    digests = tuple(digest(part.data) for part in segments)
    if chunk_id(entry.word, entry.words, digests) != wanted:
        raise _damaged(wanted)
    return segments


def load_top(store: ObjectStore, wanted: ObjectId) -> Segments:
    """Return the top segment of a chunk, reading pack heads alone, or raise IntegrityError."""
    entry, segments = _decode(store, wanted, 1)
    digests = (digest(segments[0].data), *(part.digest for part in entry.sections[1:]))
    if chunk_id(entry.word, entry.words, digests) != wanted:
        raise _damaged(wanted)
    return segments[:1]


def load_bytes(store: ObjectStore, wanted: ObjectId, word: int, size: int) -> memoryview:
    """Return the words of a chunk that must have `size` bytes in words of `word` bytes."""
    segments = load(store, wanted)
    if sum(part.nbytes for part in segments) != size or len(segments) != len(SEGMENTS[word]):
        raise IntegrityError(f"chunk {wanted.hex()[:12]} has another size than its tensor")
    return join(segments, word)


def _decode(store: ObjectStore, wanted: ObjectId, count: int | None) -> tuple[ChunkEntry, Segments]:
    """Decode a chunk; once more if its packs were replaced meanwhile."""
    try:
        return _decode_chain(store, wanted, count)
    except IntegrityError:
        if not store.refresh():
            raise
    return _decode_chain(store, wanted, count)


def _decode_chain(
    store: ObjectStore, wanted: ObjectId, count: int | None
) -> tuple[ChunkEntry, Segments]:
    """Decode a chunk along its chain of bases, from the start of the chain upwards."""
    chain: list[tuple[PackReader, ChunkEntry]] = []
    following: ObjectId | None = wanted
    while following is not None:
        reader, entry = store.chunk_entry(following)
        if chain and not _follows(entry, chain[-1][1]):
            raise IntegrityError(f"chunk {wanted.hex()[:12]} has an impossible chain of bases")
        chain.append((reader, entry))
        following = entry.base
    segments: Segments | None = None
    try:
        for reader, entry in reversed(chain):
            sections = reader.sections(entry, count or len(entry.sections))
            segments = codec.decode(entry.transform, sections, entry.word, entry.words, segments)
    except FormatError as error:
        raise IntegrityError(f"chunk {wanted.hex()[:12]} is damaged: {error.message}") from error
    if segments is None:
        raise _damaged(wanted)
    return chain[0][1], segments


def _follows(base: ChunkEntry, entry: ChunkEntry) -> bool:
    """Tell whether `base` can be what `entry` is coded against; depths fall, so chains end."""
    same = (base.word, base.words) == (entry.word, entry.words)
    return same and base.depth < entry.depth


def _base(
    store: ObjectStore, wanted: ObjectId, word: int, words: int, limit: int
) -> tuple[ChunkEntry, Segments] | None:
    """Return a usable base: same words, and not at the end of a long chain."""
    try:
        _, entry = store.chunk_entry(wanted)
        if entry.depth >= limit:
            while entry.base is not None:
                _, below = store.chunk_entry(entry.base)
                if not _follows(below, entry):
                    return None
                entry = below
        if (entry.word, entry.words) != (word, words):
            return None
        return entry, load(store, entry.id)
    except (IntegrityError, FormatError, NotFoundError):
        return None


def _damaged(wanted: ObjectId) -> IntegrityError:
    return IntegrityError(
        f"chunk {wanted.hex()[:12]} is damaged: its bytes do not have its id",
        hint="run `mvc fsck` to see which versions it affects",
    )
