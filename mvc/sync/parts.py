"""The parts of one update, read as one store of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mvc.base import fileio
from mvc.base.errors import FormatError, IntegrityError, MissingObjectError, NotFoundError
from mvc.base.ids import ObjectId, parse_id
from mvc.storage import keys
from mvc.storage.base import Listed, Storage
from mvc.storage.local import LocalStorage
from mvc.store.directory import ChunkEntry, PackEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import PackReader, open_pack, parse, read_rows
from mvc.store.rows import Written
from mvc.store.tails import HeadsStorage
from mvc.sync.quarantine import Quarantine


class Record(NamedTuple):
    """A chunk as it was sent."""

    reader: PackReader
    entry: ChunkEntry

    @property
    def raw(self) -> int:
        """Bytes of the words."""
        return self.entry.word * self.entry.words


class Held(NamedTuple):
    """A part as the pack that it is."""

    written: Written
    directory: bytes

    def entries(self) -> list[PackEntry]:
        """Return the entries of its directory."""
        return [entry for _, entry in parse(self.directory, whole=True)]

    def chunks(self) -> list[ChunkEntry]:
        """Return those of chunks."""
        return [entry for entry in self.entries() if isinstance(entry, ChunkEntry)]


class Parts:
    """What some parts of a quarantine hold. Objects are read as from any store.

    Parts that are not there are passed over: what they held may have joined meanwhile. Raises
    IntegrityError where one is damaged.
    """

    def __init__(self, held: Quarantine, names: Iterable[ObjectId]) -> None:
        wanted = [name for name in dict.fromkeys(names) if held.has(name)]
        self.folder = held.folder
        self._files = _Some(held, {name.hex() for name in wanted})
        self._storage: Storage = HeadsStorage(self._files) if held.heads else self._files
        self.store = ObjectStore(self._storage, None)
        self.packs: dict[ObjectId, Held] = {}
        self.records: dict[ObjectId, Record] = {}
        # In which part each object is, the first of several.
        self._places: dict[ObjectId, tuple[ObjectId, str]] = {}
        sizes = {keys.pack_of(item.key): item.size for item in self._storage.list(keys.PACKS)}
        for part in wanted:
            self._add(part, sizes.get(part.hex(), 0))
        self.store.index.add(item.written for item in self.packs.values())

    def _add(self, part: ObjectId, size: int) -> None:
        try:
            written = read_rows(self._storage, part.hex(), size)
            reader, directory = open_pack(self._storage, part.hex(), size)
            self.packs[part] = found = Held(written, directory)
            for entry in found.entries():
                if isinstance(entry, ChunkEntry):
                    self.records.setdefault(entry.id, Record(reader, entry))
        except (IntegrityError, FormatError) as error:
            name = part.hex()[:12]
            raise IntegrityError(f"part {name} is damaged: {error.message}") from error
        for row in written.rows:
            self._places.setdefault(row.id, (part, row.kind))

    def kind(self, wanted: ObjectId) -> str | None:
        """Return the kind of an object that was sent, None if it was not."""
        found = self._places.get(wanted)
        return None if found is None else found[1]

    def part(self, wanted: ObjectId) -> ObjectId | None:
        """Return the part that an object is taken from, None if it was not sent."""
        found = self._places.get(wanted)
        return None if found is None else found[0]

    def has_tail(self, pack: str) -> bool:
        """Tell whether the tail of a part came along."""
        return fileio.lexists(self.folder / keys.pack_tail(pack))

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
        self._files.close()


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
