"""Storage in a directory of the local disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from mvc.base import fileio
from mvc.base.errors import NotFoundError
from mvc.storage.base import Listed, check_key, is_key

OPEN_FILES = 32


class LocalStorage:
    """Keys are files below `root`; small values are staged in `root/tmp/values` under a lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = root / "tmp" / "values"
        self._lock = root / "locks" / "storage"
        self._readers: OrderedDict[str, fileio.Reader] = OrderedDict()
        self._guard = Lock()

    def read(self, key: str) -> bytes:
        """See Storage."""
        try:
            return fileio.read_bytes(self._path(key))
        except NotFoundError:
            raise NotFoundError(f"there is no {key}") from None

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See Storage. Packs never change, so their files are kept open for a while."""
        if not key.startswith("packs/"):
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
        if isinstance(value, Path):
            with fileio.locked(self._lock):
                return fileio.publish_new(value, target)
        with fileio.locked(self._lock):
            fileio.clear(self._staging)
            staged = fileio.StagedFile(self._staging)
            try:
                staged.write(value)
                return fileio.publish_new(staged.seal(), target)
            finally:
                staged.discard()

    def compare_and_swap(self, key: str, expected: bytes | None, value: bytes | None) -> bool:
        """See Storage."""
        target = self._path(key)
        with fileio.locked(self._lock):
            fileio.clear(self._staging)
            current: bytes | None = None
            with suppress(NotFoundError):
                current = fileio.read_bytes(target)
            if current != expected:
                return False
            if value is None:
                fileio.remove(target)
                fileio.remove_empty_dirs(target.parent, self.root)
            elif value != current:
                fileio.write_file(target, value, self._staging)
            return True

    def list(self, prefix: str) -> list[Listed]:
        """See Storage."""
        folder, _, beginning = prefix.rpartition("/")
        found = fileio.below(self.root / folder if folder else self.root, beginning)
        stem = f"{folder}/" if folder else ""
        return sorted(Listed(stem + name, size) for name, size in found if is_key(stem + name))

    def names(self, folder: str) -> tuple[str, ...]:
        """See Storage."""
        found = fileio.children(self._path(folder))
        kept = (f"{name}/" if is_folder else name for name, is_folder in found if is_key(name))
        return tuple(sorted(kept))

    def delete(self, key: str) -> None:
        """See Storage."""
        path = self._path(key)
        with self._guard:
            # Another thread may be reading; the file is closed when nobody holds it.
            self._readers.pop(key, None)
        fileio.remove(path)

    def delete_all(self, names: Iterable[str]) -> None:
        """Remove keys, all of which are durably gone afterwards."""
        keys = list(names)
        with self._guard:
            for key in keys:
                self._readers.pop(key, None)
        fileio.remove_all(map(self._path, keys))

    def close(self) -> None:
        """Close the files kept open."""
        with self._guard:
            self._readers.clear()

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
