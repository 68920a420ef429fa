"""The object store: read and write objects by id, whatever pack or encoding they are in.

Every object is hashed when it is read, so wrong bytes are never returned. A damaged copy is not
trusted to be the only one: other packs are tried, and the index is refreshed before giving up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import RLock, local
from typing import TYPE_CHECKING, TypeVar

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    LeftOutError,
    MissingObjectError,
    MvcError,
    NotAllowedError,
    NotFoundError,
    StorageError,
)
from mvc.base.ids import ObjectId
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store.block import HISTORY
from mvc.store.block_cache import BlockCache
from mvc.store.directory import MAX_DEPTH, BlockEntry, ChunkEntry
from mvc.store.index import Index, Location
from mvc.store.pack_reader import PackReader, read_rows
from mvc.store.rows import Written

if TYPE_CHECKING:
    from mvc.store.tails import Tails

Result = TypeVar("Result")

FILE_KINDS = ("blob", "checkpoint")
UNREADABLE = (IntegrityError, FormatError, NotFoundError, NotAllowedError, StorageError)
"""What a damaged copy of an object raises, or one on a disk that fails."""


class ObjectStore:
    """Objects of one repository."""

    def __init__(
        self,
        storage: Storage,
        index_path: Path | None,
        tails: Tails | None = None,
        *,
        durable: bool = True,
    ) -> None:
        self.storage = storage
        # Where chunks of packs are read whose tails are not in `storage`, on purpose.
        self.tails = tails
        self.index = Index(index_path, durable=durable)
        # Whether files of versions may be missing on purpose.
        self.partial: Callable[[], bool] = lambda: False
        self._cache = BlockCache()
        self.damaged: dict[str, str] = {}
        # Chunks of the transaction under way.
        self.staged: dict[ObjectId, tuple[PackReader, ChunkEntry]] = {}
        self._rebuilt = False
        self._renewal = RLock()
        # The packs that each thread found when it looked last.
        self._looked = local()

    def contains(self, wanted: ObjectId) -> bool:
        """Tell whether an object is staged or indexed.

        Packs of other processes count after `refresh`.
        """
        return wanted in self.staged or self.index.kind(wanted) is not None

    def has_chunk(self, wanted: ObjectId) -> bool:
        """Tell whether a chunk is there for certain, so that its words need not be stored again.

        The index has but a part of each id; its record in the pack has the whole one.
        """
        if wanted in self.staged:
            return True
        if self.index.kind(wanted) is None:
            return False
        return next(self.records(wanted), None) is not None

    def kind(self, wanted: ObjectId) -> str | None:
        """Return the kind of a stored object, None if no pack has it."""
        found = self.index.kind(wanted)
        if found is None and self.refresh():
            found = self.index.kind(wanted)
        return found

    def locate(self, wanted: ObjectId) -> Location:
        """Return where an object is, in the latest pack, or raise MissingObjectError."""
        return self.places(wanted)[0]

    def places(self, wanted: ObjectId) -> list[Location]:
        """Return where an object is, latest pack first, or raise MissingObjectError."""
        found = self.index.find(wanted)
        if not found:
            # Another thread may have emptied the index to make it anew: wait for it.
            with self._renewal:
                self.refresh()
                found = self.index.find(wanted)
                if not found and self._rebuild_once():
                    found = self.index.find(wanted)
        if not found:
            raise MissingObjectError(
                f"object {wanted.hex()[:12]} is missing",
                hint="run `mvc fsck` to see which versions it affects",
            )
        return found

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """Return the canonical bytes of a metadata object, verified against its id.

        Raises MissingObjectError or IntegrityError; also when the object is of another kind. A
        file that is missing on purpose is a LeftOutError.
        """
        cached = self._cache.get(wanted)
        if cached is not None and cached.kind == kind:
            return cached.content
        if kind in FILE_KINDS and self.left_out(wanted):
            raise LeftOutError(
                f"file {wanted.hex()[:12]} is not here: this copy has some of the files only",
                hint="`mvc fetch --path FILE` brings more of them, `mvc fetch --full` all",
            )
        return self._act(wanted, lambda found: self._content(found, wanted, kind))

    def left_out(self, wanted: ObjectId) -> bool:
        """Tell whether a file is not here, in a repository that holds some of the files only."""
        return self.index.kind(wanted) is None and self.partial() and self.kind(wanted) is None

    def chunk_entry(
        self, wanted: ObjectId, below: int = MAX_DEPTH + 1
    ) -> tuple[PackReader, ChunkEntry]:
        """Return the record of a chunk and the pack that holds it.

        Of several it is that in the latest pack whose depth is less than `below`, the depth of the
        record that needs this one: packs may hold two chunks as deltas against each other.
        """
        staged = self.staged.get(wanted)
        if staged is not None and staged[1].depth < below:
            return staged
        return self._act(wanted, lambda found: self._record(found, wanted, below))

    def records(
        self, wanted: ObjectId, below: int = MAX_DEPTH + 1
    ) -> Iterator[tuple[PackReader, ChunkEntry]]:
        """Yield all records of a chunk whose depth is less than `below`, that in use first.

        Those that cannot be read are passed over.
        """
        staged = self.staged.get(wanted)
        if staged is not None and staged[1].depth < below:
            yield staged
        for found in self.index.find(wanted):
            try:
                record = self._record(found, wanted, below)
            except UNREADABLE:
                continue
            yield record

    def prefixed(self, prefix: str) -> list[tuple[ObjectId, str]]:
        """Return up to 16 ids that start with these hex digits, with their kinds."""
        low = bytes.fromhex(prefix.ljust(64, "0"))
        high = bytes.fromhex(prefix.ljust(64, "f"))
        found = self.index.prefixed(low, high, 16)
        if not found and self.refresh():
            found = self.index.prefixed(low, high, 16)
        named = [(name, place.kind) for place in found if (name := self._name(place))]
        return [(name, kind) for name, kind in named if low <= name <= high]

    def of_kind(self, kind: str) -> list[ObjectId]:
        """Return the ids of all objects of one kind, in the order of ids."""
        names = self.index.packs()
        heads = {
            name: item.size
            for item in self.storage.list(keys.PACKS)
            if (name := keys.pack_of(item.key)) in names
        }
        rows = (row for pack in self._readable(heads) for row in pack.rows)
        return sorted({row.id for row in rows if row.kind == kind})

    def refresh(self) -> bool:
        """Bring the index up to the packs in storage; return whether anything changed.

        That another thread or process brought it up since this thread looked last counts, too:
        both may have stumbled over the same pack that is gone. A damaged pack stays out and is
        listed in `damaged`: the others must remain readable.
        """
        with self._renewal:
            heads = {
                name: item.size
                for item in self.storage.list(keys.PACKS)
                if (name := keys.pack_of(item.key))
            }
            known = self.index.packs()
            if gone := known - heads.keys():
                self.index.remove(gone)
            missing = sorted(heads.keys() - known - self.damaged.keys())
            self.index.add(self._readable({name: heads[name] for name in missing}))
            before = getattr(self._looked, "heads", None)
            self._looked.heads = heads.keys()
            return bool(gone or missing) or before != heads.keys()

    def rebuild(self) -> None:
        """Make the index anew from the packs alone."""
        with self._renewal:
            self._rebuilt = True
            self.index.reset()
            self.damaged.clear()
            self._cache.clear()
            self.refresh()

    def joined(self, *packs: Written) -> None:
        """Index packs that have just been published."""
        self.index.add(packs)

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def _readable(self, heads: dict[str, int]) -> Iterator[Written]:
        for name, size in heads.items():
            try:
                yield read_rows(self.storage, name, size)
            except (IntegrityError, FormatError, StorageError, NotAllowedError) as error:
                self.damaged[name] = error.message

    def _record(
        self, found: Location, wanted: ObjectId, below: int
    ) -> tuple[PackReader, ChunkEntry]:
        reader = PackReader(self.storage, found.pack, found.directory_at, found.head_bytes)
        entry = reader.entry(found.at)
        if not isinstance(entry, ChunkEntry) or entry.id != wanted:
            raise _misplaced(wanted)
        if entry.depth >= below:
            raise IntegrityError(f"chunk {wanted.hex()[:12]} has an impossible chain of bases")
        return reader, entry

    def _name(self, found: Location) -> ObjectId | None:
        """Return the id of the object at a place, None where none can be read."""
        with suppress(*UNREADABLE):
            reader = PackReader(self.storage, found.pack, found.directory_at, found.head_bytes)
            entry = reader.entry(found.at)
            if isinstance(entry, ChunkEntry):
                return entry.id
            items = reader.items(entry)
            return items[found.place].id if found.place < len(items) else None
        return None

    def _content(self, found: Location, wanted: ObjectId, kind: str) -> bytes:
        if found.kind != kind:
            raise IntegrityError(f"object {wanted.hex()[:12]} is a {found.kind}, not a {kind}")
        reader = PackReader(self.storage, found.pack, found.directory_at, found.head_bytes)
        entry = reader.entry(found.at)
        if not isinstance(entry, BlockEntry):
            raise _misplaced(wanted)
        if kind in HISTORY:
            items = reader.history(entry)
            for item in items:
                if item.id == wanted:
                    self._cache.put(found.pack, found.at, items)
                    return item.content
        items = reader.items(entry)
        if found.place >= len(items) or items[found.place].id != wanted:
            raise _misplaced(wanted)
        self._cache.put(found.pack, found.at, items)
        return items[found.place].content

    def _act(self, wanted: ObjectId, action: Callable[[Location], Result]) -> Result:
        """Do something where an object is; again if the index may have been wrong."""
        for mend in (self.refresh, self._rebuild_once):
            try:
                return _first(self.places(wanted), action)
            except MissingObjectError:
                raise
            except (IntegrityError, FormatError, NotFoundError):
                mend()
        try:
            return _first(self.places(wanted), action)
        except MissingObjectError:
            raise
        except (IntegrityError, FormatError, NotFoundError) as error:
            raise _unreadable(wanted, error) from error

    def _rebuild_once(self) -> bool:
        """Make the index anew unless this store did before; return whether it did."""
        if self._rebuilt:
            return False
        self.rebuild()
        return True


def _first(places: list[Location], action: Callable[[Location], Result]) -> Result:
    """Do something at the first place where it can be done, or raise what went wrong last."""
    *others, last = places
    for place in others:
        with suppress(*UNREADABLE):
            return action(place)
    return action(last)


def _misplaced(wanted: ObjectId) -> IntegrityError:
    return IntegrityError(f"object {wanted.hex()[:12]} is not where the index says")


def _unreadable(wanted: ObjectId, error: MvcError) -> IntegrityError:
    return IntegrityError(
        f"object {wanted.hex()[:12]} cannot be read: {error.message}",
        hint="run `mvc fsck` to see which versions it affects",
    )
