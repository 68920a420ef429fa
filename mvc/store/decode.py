"""Reading chunks: records decoded along their chain of bases, verified against the Merkle tree."""

from __future__ import annotations

from mvc.base.dtypes import SEGMENTS
from mvc.base.errors import FormatError, IntegrityError, TailAwayError
from mvc.base.ids import ObjectId, digest
from mvc.codec import chunk as codec
from mvc.codec.segments import Segments, join
from mvc.objects.model import chunk_id
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import PackReader


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
        below = chain[-1][1].depth if chain else MAX_DEPTH + 1
        reader, entry = store.chunk_entry(following, below)
        if chain and not _follows(entry, chain[-1][1]):
            raise IntegrityError(f"chunk {wanted.hex()[:12]} has an impossible chain of bases")
        chain.append((reader, entry))
        following = entry.base
    segments: Segments | None = None
    try:
        for reader, entry in reversed(chain):
            sections = reader.sections(entry, count or len(entry.sections))
            segments = _step(store, entry, sections, segments)
    except TailAwayError:
        segments = _from_elsewhere(store, chain)
    except FormatError as error:
        raise IntegrityError(f"chunk {wanted.hex()[:12]} is damaged: {error.message}") from error
    if segments is None:
        raise _damaged(wanted)
    return chain[0][1], segments


def _step(
    store: ObjectStore, entry: ChunkEntry, sections: tuple[bytes, ...], base: Segments | None
) -> Segments:
    right = None if entry.factors is None else _factor(store, entry.factors)
    return codec.decode(entry.transform, sections, entry.word, entry.words, base, right)


def _factor(store: ObjectStore, wanted: ObjectId) -> bytes:
    """Return the bytes of a factor: a chunk of bytes that needs no other, in a head."""
    _, entry = store.chunk_entry(wanted, 1)
    if entry.word != 1 or entry.references:
        raise IntegrityError(f"chunk {wanted.hex()[:12]} cannot be a factor")
    return bytes(join(load(store, wanted), 1))


def _from_elsewhere(
    store: ObjectStore, chain: list[tuple[PackReader, ChunkEntry]]
) -> Segments | None:
    """Decode along a chain from the nearest chunk whose tail is not here; that one is fetched."""
    above: list[tuple[ChunkEntry, tuple[bytes, ...]]] = []
    segments: Segments | None = None
    for reader, entry in chain:
        try:
            above.append((entry, reader.sections(entry, len(entry.sections))))
        except TailAwayError:
            if store.tails is None:
                raise
            segments = store.tails.segments(entry.id, reader.name)
            break
    try:
        for entry, sections in reversed(above):
            segments = _step(store, entry, sections, segments)
    except FormatError as error:
        raise IntegrityError(f"chunk {entry.id.hex()[:12]} is damaged: {error.message}") from error
    return segments


def _follows(base: ChunkEntry, entry: ChunkEntry) -> bool:
    """Tell whether `base` can be what `entry` is coded against; depths fall, so chains end."""
    return base.word == entry.word and base.depth < entry.depth


def _damaged(wanted: ObjectId) -> IntegrityError:
    return IntegrityError(
        f"chunk {wanted.hex()[:12]} is damaged: its bytes do not have its id",
        hint="run `mvc fsck` to see which versions it affects",
    )
