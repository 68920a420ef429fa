"""The object store: read and write objects by id, whatever pack or encoding they are in.

Every object is hashed when it is read, so wrong bytes are never returned. A damaged copy is not
trusted to be the only one: the index is refreshed from the packs before giving up.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mvc.base.errors import FormatError, IntegrityError, MissingObjectError
from mvc.base.ids import ObjectId
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store.block_cache import BlockCache
from mvc.store.directory import BlockEntry, ChunkEntry
from mvc.store.index import Index, Location
from mvc.store.pack import Written
from mvc.store.pack_reader import PackReader, read_rows


class ObjectStore:
    """Objects of one repository."""

    def __init__(self, storage: Storage, index_path: Path | None) -> None:
        self.storage = storage
        self.index = Index(index_path)
        self._cache = BlockCache()
        self.damaged: dict[str, str] = {}

    def contains(self, wanted: ObjectId) -> bool:
        """Tell whether an object is indexed. Packs of other processes count after `refresh`."""
        return self.index.kind(wanted) is not None

    def kind(self, wanted: ObjectId) -> str | None:
        """Return the kind of a stored object, None if no pack has it."""
        found = self.index.kind(wanted)
        if found is None and self.refresh():
            found = self.index.kind(wanted)
        return found

    def locate(self, wanted: ObjectId) -> Location:
        """Return where an object is, or raise MissingObjectError."""
        found = self.index.find(wanted)
        if found is None and self.refresh():
            found = self.index.find(wanted)
        if found is None:
            raise MissingObjectError(
                f"object {wanted.hex()[:12]} is missing",
                hint="run `mvc fsck` to see which versions it affects",
            )
        return found

    def read(self, wanted: ObjectId, kind: str) -> bytes:
        """Return the canonical bytes of a metadata object, verified against its id.

        Raises MissingObjectError or IntegrityError; also when the object is of another kind.
        """
        cached = self._cache.get(wanted)
        if cached is not None and cached.kind == kind:
            return cached.content
        found = self.locate(wanted)
        if found.kind != kind:
            raise IntegrityError(f"object {wanted.hex()[:12]} is a {found.kind}, not a {kind}")
        content = self._content(found, wanted)
        if content is None:
            self.rebuild()
            content = self._content(self.locate(wanted), wanted)
        if content is None:
            raise IntegrityError(f"object {wanted.hex()[:12]} is damaged")
        return content

    def chunk_entry(self, wanted: ObjectId) -> tuple[PackReader, ChunkEntry]:
        """Return the record of a chunk and the pack that holds it."""
        found = self.locate(wanted)
        reader = PackReader(self.storage, found.pack, found.directory_at, found.head_bytes)
        entry = reader.entry(found.at)
        if not isinstance(entry, ChunkEntry) or entry.id != wanted:
            raise IntegrityError(f"object {wanted.hex()[:12]} is not where the index says")
        return reader, entry

    def prefixed(self, prefix: str) -> list[tuple[ObjectId, str]]:
        """Return up to 16 ids that start with these hex digits, with their kinds."""
        low = bytes.fromhex(prefix.ljust(64, "0"))
        high = bytes.fromhex(prefix.ljust(64, "f"))
        found = self.index.prefixed(low, high, 16)
        if not found and self.refresh():
            found = self.index.prefixed(low, high, 16)
        return found

    def refresh(self) -> bool:
        """Bring the index up to the packs in storage; return whether anything changed.

        A damaged pack stays out and is listed in `damaged`: the others must remain readable.
        """
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
        return bool(gone or missing)

    def rebuild(self) -> None:
        """Make the index anew from the packs alone."""
        self.index.reset()
        self.damaged.clear()
        self._cache.clear()
        self.refresh()

    def joined(self, pack: Written) -> None:
        """Index a pack that has just been published."""
        self.index.add([pack])

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def _readable(self, heads: dict[str, int]) -> Iterator[Written]:
        for name, size in heads.items():
            try:
                yield read_rows(self.storage, name, size)
            except (IntegrityError, FormatError) as error:
                self.damaged[name] = error.message

    def _content(self, found: Location, wanted: ObjectId) -> bytes | None:
        reader = PackReader(self.storage, found.pack, found.directory_at, found.head_bytes)
        try:
            entry = reader.entry(found.at)
            if not isinstance(entry, BlockEntry):
                return None
            items = reader.items(entry)
        except FormatError as error:
            raise IntegrityError(
                f"object {wanted.hex()[:12]} cannot be read: {error.message}"
            ) from error
        self._cache.put(found.pack, found.at, items)
        item = items[found.place] if found.place < len(items) else None
        return item.content if item and (item.id, item.kind) == (wanted, found.kind) else None
