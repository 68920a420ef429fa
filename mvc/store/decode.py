"""Reading chunks: records decoded along their chain of bases, verified against the Merkle tree."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias

from mvc.base.dtypes import SEGMENTS
from mvc.base.errors import FormatError, IntegrityError, MvcError, TailAwayError
from mvc.base.ids import ObjectId
from mvc.codec.segments import Segments, join
from mvc.store.copies import Copies, damaged, decoded, verified
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.object_store import UNREADABLE, ObjectStore
from mvc.store.pack_reader import PackReader

Chain: TypeAlias = list[tuple[PackReader, ChunkEntry]]
"""The record of a chunk, that of its base, and so on."""


def load(store: ObjectStore, wanted: ObjectId) -> Segments:
    """Return the segments of a chunk, or raise IntegrityError."""
    return _found(store, wanted, None)


def load_top(store: ObjectStore, wanted: ObjectId) -> Segments:
    """Return the top segment of a chunk, reading pack heads alone, or raise IntegrityError."""
    return _found(store, wanted, 1)


def load_bytes(store: ObjectStore, wanted: ObjectId, word: int, size: int) -> memoryview:
    """Return the words of a chunk that must have `size` bytes in words of `word` bytes."""
    return joined(wanted, load(store, wanted), word, size)


def load_bytes_of_both(
    store: ObjectStore, wanted: tuple[ObjectId, ObjectId], word: int, sizes: tuple[int, int]
) -> tuple[memoryview, memoryview]:
    """Return the words of two chunks as `load_bytes` would, decoding once what they share."""
    found = load_both(store, *wanted)
    one, two = map(joined, wanted, found, (word, word), sizes)
    return one, two


def joined(wanted: ObjectId, segments: Segments, word: int, size: int) -> memoryview:
    """Return a chunk's words, or raise IntegrityError unless it has `size` bytes in such words."""
    if sum(part.nbytes for part in segments) != size or len(segments) != len(SEGMENTS[word]):
        raise IntegrityError(f"chunk {wanted.hex()[:12]} has another size than its tensor")
    return join(segments, word)


def load_both(store: ObjectStore, one: ObjectId, two: ObjectId) -> tuple[Segments, Segments]:
    """Return the segments of two chunks, or raise IntegrityError.

    Where one is stored against the other, or both against a third, what they share is decoded
    once.
    """
    if one != two:
        # Which of the two cannot be read so, and whether otherwise, is found out one by one.
        with suppress(*UNREADABLE):
            return _latest_of_two(store, one, two)
    first = load(store, one)
    return first, first if one == two else load(store, two)


def load_beside(
    store: ObjectStore, wanted: ObjectId, known: ObjectId, segments: Segments
) -> Segments:
    """Return the segments of a chunk, or raise IntegrityError.

    Where it is stored against the chunk `known`, its decoded `segments` are not decoded again.
    """
    # Whether it can be read otherwise is found out below.
    with suppress(*UNREADABLE):
        chain = _chain(store, wanted)
        meeting = next((n for n, (_, entry) in enumerate(chain) if entry.id == known), None)
        if meeting is not None:
            return verified(chain[0][1], _along(store, chain[:meeting], segments))
    return load(store, wanted)


def _latest_of_two(store: ObjectStore, one: ObjectId, two: ObjectId) -> tuple[Segments, Segments]:
    below, above = _chain(store, one), _chain(store, two)
    places = {entry.id: place for place, (_, entry) in enumerate(below)}
    meeting = next((n for n, (_, entry) in enumerate(above) if entry.id in places), None)
    if meeting is None:
        first, second = _along(store, below, None), _along(store, above, None)
    else:
        shared = places[above[meeting][1].id]
        both = _along(store, below[shared:], None)
        first, second = _along(store, below[:shared], both), _along(store, above[:meeting], both)
    return verified(below[0][1], first), verified(above[0][1], second)


def _along(store: ObjectStore, chain: Chain, segments: Segments | None) -> Segments:
    """Decode the start of a chain of bases, from `segments` of what the rest gives."""
    for reader, entry in reversed(chain):
        sections = reader.sections(entry, len(entry.sections))
        segments = decoded(store, entry, sections, segments)
    if segments is None:
        raise IntegrityError("a chunk has no record")
    return segments


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
    chain = _chain(store, wanted)
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


def _chain(store: ObjectStore, wanted: ObjectId) -> Chain:
    """Return the record of a chunk, of its base, and so on."""
    chain: Chain = []
    following: ObjectId | None = wanted
    while following is not None:
        below = chain[-1][1].depth if chain else MAX_DEPTH + 1
        reader, entry = store.chunk_entry(following, below)
        if chain and not _follows(entry, chain[-1][1]):
            raise IntegrityError(f"chunk {wanted.hex()[:12]} has an impossible chain of bases")
        chain.append((reader, entry))
        following = entry.base
    return chain


def _from_elsewhere(store: ObjectStore, chain: Chain) -> Segments | None:
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
