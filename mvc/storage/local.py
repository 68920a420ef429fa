"""Storage in a directory of the local disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.storage import keys
from mvc.storage.base import Listed, Swap, check_key, is_key
from mvc.storage.packed_refs import VALUE_BYTES, PackedRefs, fits

OPEN_FILES = 32
MANY = 16
"""Refs that move together from which on they are written to one file."""
PLAIN, PACKING = b"mvc repository 1\n", b"mvc repository 2\n"
"""What `format` says of a repository without and with a file of many refs."""


class LocalStorage:
    """Keys are files below `root`; small values are staged in `root/tmp/values` under a lock.

    Refs that were written together are in one file instead, until they move.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = root / "tmp" / "values"
        self._lock = root / "locks" / "storage"
        self._packed = PackedRefs(root, self._staging)
        self._readers: OrderedDict[str, fileio.Reader] = OrderedDict()
        self._guard = Lock()

    def read(self, key: str) -> bytes:
        """See Storage."""
        value = self._value(key)
        if value is None:
            raise NotFoundError(f"there is no {key}")
        return value

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See Storage. Packs never change, so their files are kept open for a while."""
        if key.startswith(keys.REFS):
            value = self.read(key)
            if offset < 0 or length < 0 or offset + length > len(value):
                raise FormatError(f"{key} has no bytes {offset} to {offset + length}")
            return value[offset : offset + length]
        if not key.startswith(keys.PACKS):
            with fileio.Reader(self._path(key)) as reader:
                return reader.read_at(offset, length)
        with self._guard:
            reader = self._reader(key)
            if len(self._readers) > OPEN_FILES:
                self._readers.popitem(last=False)
        return reader.read_at(offset, length)

    def write_new(self, key: str, value: bytes | Path) -> bool:
        """See Storage."""
        target = self._path(key)
        with fileio.locked(self._lock):
            taken = key.startswith(keys.REFS) and key in self._packed.values()
            if isinstance(value, Path):
                if taken:
                    fileio.remove(value)
                return not taken and fileio.publish_new(value, target)
            if taken:
                return False
            fileio.clear(self._staging)
            staged = fileio.StagedFile(self._staging)
            try:
                staged.write(value)
                return fileio.publish_new(staged.seal(), target)
            finally:
                staged.discard()

    def compare_and_swap(self, key: str, expected: bytes | None, value: bytes | None) -> bool:
        """See Storage."""
        check_key(key)
        with fileio.locked(self._lock):
            fileio.clear(self._staging)
            return self._swap(Swap(key, expected, value))

    def swap_all(self, swaps: Sequence[Swap]) -> tuple[bool, ...]:
        """See Storage. Many refs are written to one file, with one flush for all of them."""
        for swap in swaps:
            check_key(swap.key)
        with fileio.locked(self._lock):
            fileio.clear(self._staging)
            if len(swaps) < MANY or not all(map(_can_be_packed, swaps)):
                return tuple(map(self._swap, swaps))
            return self._swap_together(swaps)

    def values(self, prefix: str) -> dict[str, bytes]:
        """See Storage."""
        found = {item.key: self._value(item.key) for item in self._on_disk(prefix)}
        for key, value in self._packed_below(prefix).items():
            # What has gone since it was listed may have moved there.
            if found.get(key) is None:
                found[key] = value
        return {key: value for key, value in sorted(found.items()) if value is not None}

    def list(self, prefix: str) -> list[Listed]:
        """See Storage."""
        found = {item.key: item for item in self._on_disk(prefix)}
        for key in self._packed_below(prefix):
            found.setdefault(key, Listed(key, VALUE_BYTES))
        return sorted(found.values())

    def names(self, folder: str) -> tuple[str, ...]:
        """See Storage."""
        found = fileio.children(self._path(folder))
        kept = {f"{name}/" if is_folder else name for name, is_folder in found if is_key(name)}
        for key in self._packed_below(f"{folder}/"):
            first, more, _ = key.removeprefix(f"{folder}/").partition("/")
            kept.add(first + more)
        return tuple(sorted(kept))

    def delete(self, key: str) -> None:
        """See Storage."""
        path = self._path(key)
        if key.startswith(keys.REFS):
            with fileio.locked(self._lock):
                self._forget([key])
        with self._guard:
            # Another thread may be reading; the file is closed when nobody holds it.
            self._readers.pop(key, None)
        fileio.remove(path)

    def delete_all(self, names: Iterable[str]) -> None:
        """Remove keys that are no refs, all of which are durably gone afterwards."""
        every = list(names)
        with self._guard:
            for key in every:
                self._readers.pop(key, None)
        fileio.remove_all(map(self._path, every))

    def pack_refs(self) -> int:
        """Put refs that have files of their own into the one file, if they are many.

        Return how many did.
        """
        with fileio.locked(self._lock):
            fileio.clear(self._staging)
            found = {item.key: self._value(item.key) for item in self._on_disk(keys.REFS)}
            kept = {key: value for key, value in found.items() if value and fits(value)}
            if len(kept) < MANY:
                return 0
            self._write_packed({**self._packed.values(), **kept}, kept)
            return len(kept)

    def close(self) -> None:
        """Close the files kept open."""
        with self._guard:
            self._readers.clear()

    def _value(self, key: str) -> bytes | None:
        """Return a value, that of a ref from its own file or else from that of many."""
        with suppress(NotFoundError):
            return fileio.read_bytes(self._path(key))
        return self._packed.values().get(key) if key.startswith(keys.REFS) else None

    def _swap(self, swap: Swap) -> bool:
        key, expected, value = swap
        target = self._path(key)
        current = self._value(key)
        if current != expected:
            return False
        if value is None:
            # The file goes last: until then the ref is where it was.
            self._forget([key])
            fileio.remove(target)
            fileio.remove_empty_dirs(target.parent, self.root)
        elif value != current:
            fileio.write_file(target, value, self._staging)
        return True

    def _swap_together(self, swaps: Sequence[Swap]) -> tuple[bool, ...]:
        now: dict[str, bytes | None] = {}
        done = []
        for key, expected, value in swaps:
            current = now[key] if key in now else self._value(key)
            done.append(current == expected)
            if current == expected and value != current:
                now[key] = value
        if now:
            after = {**self._packed.values(), **now}
            self._write_packed({key: value for key, value in after.items() if value}, now)
        return tuple(done)

    def _write_packed(self, values: dict[str, bytes], moved: Iterable[str]) -> None:
        """Write the file of many refs, then remove the files of those that moved into it."""
        self._announce()
        self._packed.write(values)
        there = {item.key for item in self._on_disk(keys.REFS)}.intersection(moved)
        fileio.remove_all(self.root / key for key in sorted(there))
        for folder in {(self.root / key).parent for key in there}:
            fileio.remove_empty_dirs(folder, self.root)

    def _announce(self) -> None:
        """Let whoever does not know of this file keep out of the repository."""
        path = self.root / keys.FORMAT
        with suppress(NotFoundError):
            if fileio.read_bytes(path) == PLAIN:
                fileio.write_file(path, PACKING, self._staging)

    def _forget(self, gone: Iterable[str]) -> None:
        """Take refs out of the file of many."""
        packed = self._packed.values()
        if left_out := packed.keys() & set(gone):
            values = {key: value for key, value in packed.items() if key not in left_out}
            self._packed.write(values)

    def _on_disk(self, prefix: str) -> Iterable[Listed]:
        folder, _, beginning = prefix.rpartition("/")
        found = fileio.below(self.root / folder if folder else self.root, beginning)
        stem = f"{folder}/" if folder else ""
        return [Listed(stem + name, size) for name, size in found if is_key(stem + name)]

    def _packed_below(self, prefix: str) -> dict[str, bytes]:
        if prefix.startswith(keys.REFS) or keys.REFS.startswith(prefix):
            return self._packed.below(prefix)
        return {}

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _reader(self, key: str) -> fileio.Reader:
        reader = self._readers.get(key)
        if reader is None:
            try:
                reader = fileio.Reader(self._path(key))
            except NotFoundError:
                raise NotFoundError(f"there is no {key}") from None
            self._readers[key] = reader
        self._readers.move_to_end(key)
        return reader


def _can_be_packed(swap: Swap) -> bool:
    return swap.key.startswith(keys.REFS) and (swap.value is None or fits(swap.value))
