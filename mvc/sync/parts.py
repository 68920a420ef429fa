"""The parts of one update, read as one store of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mvc.base.errors import IntegrityError, MissingObjectError, NotFoundError
from mvc.base.ids import ObjectId, parse_id
from mvc.storage import keys
from mvc.storage.base import Listed
from mvc.storage.local import LocalStorage
from mvc.store.directory import ChunkEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import PackReader, open_pack, parse
from mvc.sync.quarantine import Quarantine


class Record(NamedTuple):
    """A chunk as it was sent."""

    reader: PackReader
    entry: ChunkEntry

    @property
    def raw(self) -> int:
        """Bytes of the words."""
        return self.entry.word * self.entry.words


class Parts:
    """What some parts of a quarantine hold. Objects are read as from any store.

    Parts that are not there are passed over: what they held may have joined meanwhile. Raises
    IntegrityError where one is damaged.
    """

    def __init__(self, held: Quarantine, names: Iterable[ObjectId]) -> None:
        wanted = [name for name in dict.fromkeys(names) if held.has(name)]
        self._storage = _Some(held, {name.hex() for name in wanted})
        self.store = ObjectStore(self._storage, None)
        self.store.refresh()
        for pack, why in self.store.damaged.items():
            raise IntegrityError(f"part {pack[:12]} is damaged: {why}")
        self.records: dict[ObjectId, Record] = {}
        sizes = {keys.pack_of(item.key): item.size for item in self._storage.list(keys.PACKS)}
        for part in wanted:
            reader, directory = open_pack(self._storage, part.hex(), sizes.get(part.hex(), 0))
            for _, entry in parse(directory, whole=True):
                if isinstance(entry, ChunkEntry):
                    self.records.setdefault(entry.id, Record(reader, entry))

    def kind(self, wanted: ObjectId) -> str | None:
        """Return the kind of an object that was sent, None if it was not."""
        return self.store.index.kind(wanted)

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """See mvc.sync.closure.Objects."""
        try:
            return self.store.read(wanted, kind)
        except NotFoundError as error:
            raise MissingObjectError("a part is gone") from error

    def holders(self, wanted: Iterable[ObjectId]) -> set[ObjectId]:
        """Return the parts that some objects were read from."""
        packs = {place.pack for item in wanted for place in self.store.index.find(item)}
        return {parse_id(pack) for pack in packs}

    def close(self) -> None:
        """Release the files."""
        self.store.close()
        self._storage.close()


class _Some(LocalStorage):
    """The storage of a quarantine with some of its packs alone."""

    def __init__(self, held: Quarantine, names: set[str]) -> None:
        super().__init__(held.folder)
        self._names = names

    def list(self, prefix: str) -> list[Listed]:
        """See Storage."""
        every = super().list(prefix)
        return [
            item
            for item in every
            if (keys.pack_of(item.key) or keys.pack_of_tail(item.key)) in self._names
        ]
