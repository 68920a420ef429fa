"""Chunks of which a copy is damaged: any record that is whole will do, along any chain of bases.

Reading takes the latest record of each chunk (`mvc.store.decode`). This is for when that fails,
and for a check, which must not be content with one good copy.
"""

from __future__ import annotations

from contextlib import suppress

from mvc.base.errors import IntegrityError, TailAwayError
from mvc.base.ids import ObjectId, digest
from mvc.codec import chunk as codec
from mvc.codec.segments import Segments, join
from mvc.objects.model import chunk_id
from mvc.store.directory import MAX_DEPTH, ChunkEntry
from mvc.store.object_store import UNREADABLE, ObjectStore
from mvc.store.pack_reader import PackReader

ATTEMPTS = 256
"""Records tried for one chunk: packs may hold lies that take long to tell from the truth."""


class Copies:
    """Looks for a whole copy of one chunk; `count` is how many segments are wanted (None: all).

    With `fetch`, what is not here is asked for elsewhere when nothing here will do.
    """

    def __init__(self, store: ObjectStore, count: int | None, *, fetch: bool = True) -> None:
        self._store = store
        self._count = count
        self._fetch = fetch
        self._left = ATTEMPTS
        self._failed: set[tuple[ObjectId, int]] = set()

    def find(self, wanted: ObjectId, below: int = MAX_DEPTH + 1) -> Segments | None:
        """Return the segments of a chunk by a record of less depth than `below`, None if none is.

        They are verified against the id.
        """
        if (wanted, below) in self._failed:
            return None
        away = []
        for reader, entry in self._store.records(wanted, below):
            if self._left <= 0:
                break
            self._left -= 1
            try:
                return self.decode(reader, entry)
            except TailAwayError:
                away.append((reader.name, entry))
            except UNREADABLE:
                continue
        for pack, entry in away if self._fetch else ():
            with suppress(*UNREADABLE):
                return self._fetched(pack, entry)
        self._failed.add((wanted, below))
        return None

    def decode(self, reader: PackReader, entry: ChunkEntry) -> Segments:
        """Return the segments of a chunk by one of its records, verified against the id.

        Raises one of `UNREADABLE`.
        """
        sections = reader.sections(entry, self._count or len(entry.sections))
        base = None
        if entry.base is not None:
            base = self.find(entry.base, entry.depth)
            if base is None:
                raise IntegrityError(f"chunk {entry.base.hex()[:12]} cannot be read")
        return verified(entry, decoded(self._store, entry, sections, base))

    def _fetched(self, pack: str, entry: ChunkEntry) -> Segments:
        if self._store.tails is None:
            raise IntegrityError(f"the tail of pack {pack[:12]} is missing")
        return verified(entry, self._store.tails.segments(entry.id, pack))


def faults(store: ObjectStore, wanted: ObjectId) -> dict[str, str]:
    """Return what is wrong with records of a chunk, by the pack that each is in.

    A record is whole if some copy of its base gives, by it, the bytes that have the chunk's id.
    Of one whose tail is elsewhere, what is here is looked at.
    """
    found = {}
    for reader, entry in store.records(wanted):
        for count in (None, 1):
            try:
                Copies(store, count).decode(reader, entry)
                break
            except TailAwayError:
                continue
            except UNREADABLE as error:
                found[reader.name] = error.message
                break
    return found


def decoded(
    store: ObjectStore, entry: ChunkEntry, sections: tuple[bytes, ...], base: Segments | None
) -> Segments:
    """Return the segments that a record's sections say, on a base, or raise FormatError."""
    right = None if entry.factors is None else _factor(store, entry.factors)
    return codec.decode(entry.transform, sections, entry.word, entry.words, base, right)


def verified(entry: ChunkEntry, segments: Segments) -> Segments:
    """Return segments of a chunk, the first or all, that have its id; else raise IntegrityError."""
    digests = [digest(part.data) for part in segments]
    digests += [part.digest for part in entry.sections[len(digests) :]]
    if chunk_id(entry.word, entry.words, tuple(digests)) != entry.id:
        raise damaged(entry.id)
    return segments


def damaged(wanted: ObjectId) -> IntegrityError:
    """Return the error that says that a chunk has other bytes than its id says."""
    return IntegrityError(
        f"chunk {wanted.hex()[:12]} is damaged: its bytes do not have its id",
        hint="run `mvc fsck` to see which versions it affects",
    )


def _factor(store: ObjectStore, wanted: ObjectId) -> bytes:
    """Return the bytes of a factor: a chunk of bytes that needs no other, in a head."""
    problem: Exception = IntegrityError(f"chunk {wanted.hex()[:12]} cannot be a factor")
    store.chunk_entry(wanted, 1)
    for reader, entry in store.records(wanted, 1):
        if entry.word != 1 or entry.references:
            continue
        try:
            sections = reader.sections(entry, 1)
            parts = codec.decode(entry.transform, sections, 1, entry.words, None)
            return bytes(join(verified(entry, parts), 1))
        except UNREADABLE as error:
            problem = error
    raise problem
