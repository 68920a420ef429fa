"""List the files of a version."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.objects.tree import EntryKind
from mvc.repo import revisions, trees
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class Row:
    """A file or folder of a version."""

    path: str
    kind: EntryKind
    id: ObjectId
    size: int


def ls_tree(repo: Repository, spec: str, *, recursive: bool = False) -> tuple[Row, ...]:
    """Return what is at `REV` or `REV:PATH`: a folder's entries, or all files below it."""
    found = revisions.find(repo, spec)
    prefix = f"{found.path}/" if found.path else ""
    if found.entry.kind != "tree":
        return (Row(found.path, found.entry.kind, found.entry.id, found.entry.size),)
    if recursive:
        below = trees.files(repo.store, found.entry.id)
    else:
        below = {entry.name: entry for entry in trees.read_tree(repo.store, found.entry.id).entries}
    return tuple(
        Row(prefix + path, entry.kind, entry.id, entry.size) for path, entry in below.items()
    )
