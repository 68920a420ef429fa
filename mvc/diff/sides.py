"""The two sides of a comparison: the files of a version, or those of the working copy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

from mvc.base import fileio
from mvc.base.errors import FormatError, StorageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.formats import registry
from mvc.formats.base import Located, checked
from mvc.objects.tree import Entry, EntryKind
from mvc.repo import skeleton
from mvc.repo.external import located_elsewhere
from mvc.repo.metadata import file_sha256, read_blob, read_checkpoint
from mvc.repo.repository import Repository
from mvc.repo.restore import content_bytes
from mvc.repo.skeleton import Skeleton
from mvc.repo.state import Known, Left
from mvc.repo.tensors import DiskTensors, StoredTensors, TensorSource
from mvc.repo.trees import files
from mvc.repo.worktree import Worktree, hash_file
from mvc.store.object_store import ObjectStore

BLOB = "blob"
FILE_KINDS: dict[str | None, EntryKind] = {"blob": "blob", "checkpoint": "checkpoint"}


class File(Protocol):
    """A file on one side."""

    @property
    def size(self) -> int:
        """Bytes of the file."""
        ...

    @property
    def id(self) -> ObjectId | None:
        """The id of the stored object, None for content that is not stored as far as known."""
        ...

    @property
    def format(self) -> str:
        """The model format, or "blob"."""
        ...

    def sha256(self) -> bytes:
        """Return the SHA-256 of the whole file."""
        ...

    def tensors(self) -> TensorSource | None:
        """Return its tensors, None for a file in which mvc sees none."""
        ...

    def read(self) -> bytes:
        """Return all bytes of a file that is not a checkpoint."""
        ...

    def skeleton(self) -> Skeleton | None:
        """Return what is in no tensor; None for a file without tensors, or for several files."""
        ...

    def close(self) -> None:
        """Release the file; raise StorageError if it changed while it was compared."""
        ...


class StoredFile:
    """A file of a version."""

    def __init__(self, store: ObjectStore, entry: Entry) -> None:
        self._store = store
        self._entry = entry
        self.size = entry.size
        self.id: ObjectId | None = entry.id

    @property
    def format(self) -> str:
        """The model format, or "blob"."""
        found = self.tensors()
        return found.format if found else BLOB

    def sha256(self) -> bytes:
        """Return the recorded SHA-256."""
        return file_sha256(self._store, self._entry)

    @cached_property
    def _tensors(self) -> StoredTensors | None:
        if self._entry.kind != "checkpoint":
            return None
        return StoredTensors(self._store, read_checkpoint(self._store, self._entry.id))

    def tensors(self) -> TensorSource | None:
        """Return the tensors of a checkpoint."""
        return self._tensors

    def read(self) -> bytes:
        """Return all bytes of a blob."""
        return content_bytes(self._store, read_blob(self._store, self._entry.id).content)

    def skeleton(self) -> Skeleton | None:
        """Return the literal bytes of a checkpoint; no weight is read."""
        if self._entry.kind != "checkpoint":
            return None
        return skeleton.stored(self._store, read_checkpoint(self._store, self._entry.id))

    def close(self) -> None:
        """Nothing to release."""


class DiskFile:
    """A file on disk whose content may be stored nowhere.

    `known` proves its SHA-256, if it does; `located` says where its tensors are when another
    file describes them.
    """

    def __init__(
        self,
        path: Path,
        stat: fileio.FileStat,
        *,
        known: Known | None = None,
        located: Located | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self._path = path
        self._known = known
        self._located = located
        self._progress = progress
        self._reader: fileio.Reader | None = None
        self._found: Located | None = None
        self.size = stat.size
        self.id: ObjectId | None = None

    @property
    def format(self) -> str:
        """The model format, or "blob"."""
        found = self.tensors()
        return found.format if found else BLOB

    def sha256(self) -> bytes:
        """Return the SHA-256, reading the file unless its stat proves it."""
        return self._hash

    @cached_property
    def _hash(self) -> bytes:
        return self._known.sha256 if self._known else hash_file(self._path)[0]

    @cached_property
    def _tensors(self) -> DiskTensors | None:
        reader = self._open()
        located = _sound(self._located, reader.size) or registry.locate(reader).located
        if located is None or not located.extents:
            return None
        self._found = located
        return DiskTensors(reader, located, self._progress)

    def tensors(self) -> TensorSource | None:
        """Return the tensors a format reader finds."""
        return self._tensors

    def read(self) -> bytes:
        """Return all bytes."""
        reader = self._open()
        return reader.read_at(0, reader.size)

    def skeleton(self) -> Skeleton | None:
        """Return the bytes that are in no tensor."""
        if self.tensors() is None or self._found is None:
            return None
        return skeleton.on_disk(self._open(), self._found)

    def close(self) -> None:
        """Close the file; raise StorageError if it changed since it was opened."""
        reader, self._reader = self._reader, None
        if reader is None:
            return
        changed = reader.changed()
        reader.close()
        if changed:
            raise StorageError(
                f"{self._path} changed while it was compared",
                hint="run this again when the program that writes it is done",
            )

    def _open(self) -> fileio.Reader:
        if self._reader is None:
            self._reader = fileio.Reader(self._path)
        return self._reader


def _sound(located: Located | None, size: int) -> Located | None:
    """Return what another file says of this one unless it cannot be true; so does committing."""
    try:
        return checked(located, size) if located else None
    except FormatError:
        return None


class Side(Protocol):
    """One side of a comparison."""

    def files(self) -> Mapping[str, File]:
        """Return its files by path."""
        ...


class VersionSide:
    """The files of a commit; of None, the version before the first, it has none."""

    def __init__(self, repo: Repository, commit: ObjectId | None) -> None:
        self.store = repo.store
        self.commit = commit
        self.root = repo.commit(commit).tree if commit else None

    def files(self) -> dict[str, File]:
        """Return the files by path; this enters every tree."""
        if self.root is None:
            return {}
        found = files(self.store, self.root)
        return {path: StoredFile(self.store, entry) for path, entry in found.items()}


class TreeSide:
    """The files of a folder of a version, or of one file; paths are seen from there."""

    def __init__(self, repo: Repository, entry: Entry, name: str = "") -> None:
        self._store = repo.store
        self._entry = entry
        self._name = name

    @property
    def single(self) -> bool:
        """Tell whether this is one file."""
        return self._entry.kind != "tree"

    def files(self) -> dict[str, File]:
        """Return the files by path."""
        if self.single:
            return {self._name: StoredFile(self._store, self._entry)}
        found = files(self._store, self._entry.id)
        return {path: StoredFile(self._store, entry) for path, entry in found.items()}


class FolderSide:
    """The files of a folder on disk, or one file, whether any repository knows them or not."""

    def __init__(self, root: Path, progress: Progress = SILENT) -> None:
        self._root = root
        self._progress = progress

    @property
    def single(self) -> bool:
        """Tell whether this is one file."""
        return fileio.stat_file(self._root) is not None

    def files(self) -> dict[str, File]:
        """Return the files by path; folders of repositories are not entered."""
        stat = fileio.stat_file(self._root)
        if stat is not None:
            beside = [self._root.name, *_models_beside(self._root)]
            located = located_elsewhere(self._root.parent, beside, [self._root.name])
            return {self._root.name: self._file(self._root, stat, located.get(self._root.name))}
        found = {
            "/".join(entry.parts): entry.stat
            for entry in fileio.walk_files(self._root, (".mvc", ".git"))
        }
        located = located_elsewhere(self._root, found, found)
        return {
            path: self._file(self._root / path, stat, located.get(path))
            for path, stat in found.items()
        }

    def _file(self, path: Path, stat: fileio.FileStat, located: Located | None) -> File:
        return DiskFile(path, stat, located=located, progress=self._progress)


def _models_beside(path: Path) -> list[str]:
    """Return the ONNX models that may say where tensors lie in a file of the same folder."""
    if path.suffix == ".onnx":
        return []
    return [
        name for name, _ in fileio.below(path.parent) if "/" not in name and name.endswith(".onnx")
    ]


class WorktreeSide:
    """The tracked files as they are on disk.

    A file whose stat proves that it is a stored object is compared as that object, without
    reading it; so is a file that was committed from memory and left as it was on disk. `located`
    is for files whose tensors another file describes, by path.
    """

    def __init__(
        self,
        repo: Repository,
        *,
        located: Mapping[str, Located] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        self._tree = Worktree(repo)
        self._store = repo.store
        self._located = located or {}
        self._progress = progress

    def files(self) -> dict[str, File]:
        """Return the tracked files that exist, by path."""
        found: dict[str, File] = {}
        for path, held in sorted(self._tree.state.files.items()):
            stat = fileio.stat_file(self._tree.root / path)
            if isinstance(held, Left) and held.stat == stat and path in self._head:
                found[path] = StoredFile(self._store, self._head[path])
            elif stat is not None:
                found[path] = self._file(path, stat, held)
        return found

    @cached_property
    def _head(self) -> dict[str, Entry]:
        return self._tree.head_files()

    def _file(self, path: str, stat: fileio.FileStat, held: Known | Left | None) -> File:
        known = held if isinstance(held, Known) and held.proves(stat) else None
        if known is not None and known.id is not None:
            kind = self._store.kind(known.id)
            if kind in FILE_KINDS:
                return StoredFile(self._store, Entry(path, FILE_KINDS[kind], known.id, stat.size))
        return DiskFile(
            self._tree.root / path,
            stat,
            known=known,
            located=self._located.get(path),
            progress=self._progress,
        )
