"""Show a version with what it changed, or one model file of it with its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Tag
from mvc.objects.model import ViewOf
from mvc.objects.tree import Entry
from mvc.ops.ls_tree import Row, ls_tree
from mvc.repo import revisions, trees
from mvc.repo.metadata import read_blob, read_checkpoint, read_layout, read_tensor
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that a commit added, modified or deleted; sizes are None where it is not."""

    status: Literal["added", "modified", "deleted"]
    path: str
    old_size: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class ShownCommit:
    """A commit, the annotated tag it was named by, and its changes against its first parent."""

    id: ObjectId
    commit: Commit
    tag: Tag | None
    changes: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class TensorRow:
    """A tensor of a checkpoint."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    id: ObjectId


@dataclass(frozen=True, slots=True)
class ShownCheckpoint:
    """A model file whose tensors mvc sees."""

    path: str
    id: ObjectId
    format: str
    size: int
    sha256: bytes
    tensor_bytes: int
    notes: tuple[str, ...]
    tensors: tuple[TensorRow, ...]
    views: tuple[ViewOf, ...]

    @property
    def literal_bytes(self) -> int:
        """The bytes of the file that are in no tensor."""
        return self.size - self.tensor_bytes


@dataclass(frozen=True, slots=True)
class ShownBlob:
    """A file that is kept as plain bytes."""

    path: str
    id: ObjectId
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ShownFolder:
    """A folder of a version."""

    path: str
    rows: tuple[Row, ...]


Shown = ShownCommit | ShownCheckpoint | ShownBlob | ShownFolder


def show(repo: Repository, spec: str) -> Shown:
    """Return what `REV` or `REV:PATH` names."""
    if ":" not in spec:
        return _commit(repo, spec)
    found = revisions.find(repo, spec)
    if found.entry.kind == "tree":
        return ShownFolder(found.path, ls_tree(repo, spec))
    if found.entry.kind == "checkpoint":
        return _checkpoint(repo, found.path, found.entry)
    blob = read_blob(repo.store, found.entry.id)
    return ShownBlob(found.path, found.entry.id, blob.size, blob.sha256)


def changes(repo: Repository, wanted: ObjectId, commit: Commit) -> tuple[FileChange, ...]:
    """Return the files that differ between a commit and its first parent."""
    first = next(iter(repo.parents(wanted, commit)), None)
    old = None if first is None else repo.commit(first).tree
    return tuple(
        _change(path, before, after)
        for path, before, after in trees.changed(repo.store, old, commit.tree, separator="/")
    )


def _commit(repo: Repository, spec: str) -> ShownCommit:
    wanted = revisions.resolve(repo, spec)
    commit = repo.commit(wanted)
    return ShownCommit(wanted, commit, _annotation(repo, spec), changes(repo, wanted, commit))


def _annotation(repo: Repository, spec: str) -> Tag | None:
    if not spec or any(mark in spec for mark in "~^{"):
        return None
    target = revisions.resolve_object(repo, spec)
    return repo.tag(target) if repo.store.kind(target) == "tag" else None


def _change(path: str, before: Entry | None, after: Entry | None) -> FileChange:
    if before is None:
        return FileChange("added", path, None, after.size if after else None)
    if after is None:
        return FileChange("deleted", path, before.size, None)
    return FileChange("modified", path, before.size, after.size)


def _checkpoint(repo: Repository, path: str, entry: Entry) -> ShownCheckpoint:
    store = repo.store
    checkpoint = read_checkpoint(store, entry.id)
    layout = read_layout(store, checkpoint.layout)
    rows = []
    for name, leaf in trees.tensors(store, checkpoint.tensors).items():
        tensor = read_tensor(store, leaf.id)
        rows.append(TensorRow(name, tensor.dtype, tensor.shape, leaf.size, leaf.id))
    return ShownCheckpoint(
        path,
        entry.id,
        checkpoint.format,
        checkpoint.size,
        checkpoint.sha256,
        checkpoint.tensor_bytes,
        layout.notes,
        tuple(rows),
        layout.views,
    )
