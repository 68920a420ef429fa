"""Reading chunks: records decoded along their chain of bases, verified against the Merkle tree."""

from __future__ import annotations

from collections.abc import Iterable

from mvc.base.dtypes import SEGMENTS
from mvc.base.errors import FormatError, IntegrityError, MvcError, TailAwayError
from mvc.base.ids import ObjectId
from mvc.codec.segments import Segments, join
from mvc.store.copies import Copies, damaged, decoded, verified
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.object_store import UNREADABLE, ObjectStore
from mvc.store.pack_reader import PackReader


def load(store: ObjectStore, wanted: ObjectId) -> Segments:
    """Return the segments of a chunk, or raise IntegrityError."""
    return _found(store, wanted, None)


def load_top(store: ObjectStore, wanted: ObjectId) -> Segments:
    """Return the top segment of a chunk, reading pack heads alone, or raise IntegrityError."""
    return _found(store, wanted, 1)


def load_bytes(store: ObjectStore, wanted: ObjectId, word: int, size: int) -> memoryview:
    """Return the words of a chunk that must have `size` bytes in words of `word` bytes."""
    segments = load(store, wanted)
    if sum(part.nbytes for part in segments) != size or len(segments) != len(SEGMENTS[word]):
        raise IntegrityError(f"chunk {wanted.hex()[:12]} has another size than its tensor")
    return join(segments, word)


def check_latest(store: ObjectStore, wanted: ObjectId) -> None:
    """Raise IntegrityError unless a chunk can be read by the record in use, whatever others say."""
    try:
        _latest(store, wanted, None)
    except UNREADABLE:
        if not store.refresh():
            raise
        _latest(store, wanted, None)


def _found(store: ObjectStore, wanted: ObjectId, count: int | None) -> Segments:
    """Decode a chunk by its latest records; where that fails, by any.

    Nothing is asked for elsewhere that another pack has. Once more by the latest if packs were
    replaced meanwhile, which is no damage.
    """
    try:
        return _latest(store, wanted, count, fetch=False)
    except TailAwayError as error:
        found = Copies(store, count, fetch=False).find(wanted)
        if found is not None:
            return found
        # Packs that were replaced meanwhile are seen before anyone else is asked, and asked once.
        store.refresh()
        try:
            return _latest(store, wanted, count)
        except UNREADABLE as late:
            problem: MvcError = late if store.tails is not None else error
    except UNREADABLE as error:
        problem = error
    if store.refresh():
        try:
            return _latest(store, wanted, count)
        except UNREADABLE as error:
            problem = error
    # Who cannot be reached is not asked again.
    found = Copies(store, count, fetch=not isinstance(problem, TailAwayError)).find(wanted)
    if found is None:
        raise problem
    return found


def away(store: ObjectStore, wanted: ObjectId) -> tuple[ObjectId, str] | None:
    """Return the chunk that reading one whole asks for elsewhere, and its pack; None for nothing.

    A guess, from records alone.
    """
    packs = store.tails.offloaded.packs() if store.tails is not None else {}
    following: ObjectId | None = wanted
    below = MAX_DEPTH + 1
    while following is not None and packs:
        records = list(store.records(following, below))
        here = [
            entry
            for reader, entry in records
            if len(entry.sections) == 1 or reader.name not in packs
        ]
        if not here:
            return (following, records[0][0].name) if records else None
        following, below = here[0].base, here[0].depth
    return None


def fetch(store: ObjectStore, wanted: Iterable[ObjectId]) -> None:
    """Bring what is elsewhere of some chunks in few requests, for those who read them soon."""
    if store.tails is not None and store.tails.offloaded.packs():
        store.tails.fetch(dict(found for item in wanted if (found := away(store, item))))


def _latest(
    store: ObjectStore, wanted: ObjectId, count: int | None, *, fetch: bool = True
) -> Segments:
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
            segments = decoded(store, entry, sections, segments)
    except TailAwayError:
        if not fetch:
            raise
        segments = _from_elsewhere(store, chain)
    except FormatError as error:
        raise IntegrityError(f"chunk {wanted.hex()[:12]} is damaged: {error.message}") from error
    if segments is None:
        raise damaged(wanted)
    return verified(chain[0][1], segments)


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
            segments = decoded(store, entry, sections, segments)
    except FormatError as error:
        raise IntegrityError(f"chunk {entry.id.hex()[:12]} is damaged: {error.message}") from error
    return segments


def _follows(base: ChunkEntry, entry: ChunkEntry) -> bool:
    """Tell whether `base` can be what `entry` is coded against; depths fall, so chains end."""
    return base.word == entry.word and base.depth < entry.depth
