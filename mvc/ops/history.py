"""The history of a part: each version that changed some tensors of a file, and what it did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvc.base.ids import ObjectId
from mvc.ops.log import LogRequest, touched
from mvc.repo import trees
from mvc.repo.history import Version
from mvc.repo.parts import Comparer, FileAt
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection
from mvc.repo.touching import Specs, Touched

if TYPE_CHECKING:
    from mvc.ops.diff import DiffResult, FileDiff


@dataclass(frozen=True, slots=True)
class TensorChange:
    """What a version did to a tensor.

    `made` is `added`, `removed`, `changed`, `recast`, `reshaped` or `renamed`. Numbers are there
    for changed ones, if weights were asked for.
    """

    path: str
    name: str
    made: str
    changed_fraction: float | None = None
    l2: float | None = None
    relative_l2: float | None = None


@dataclass(frozen=True, slots=True)
class PartChange:
    """A version that changed a part, as compared with its first parent.

    `tensors` is empty where what changed is in no tensor: a file without any, or a merge that has
    the part like none of its parents, but like the first in each tensor that was asked about.
    """

    version: Version
    against: ObjectId | None
    tensors: tuple[TensorChange, ...]


def history(
    repo: Repository, spec: str, revision: str = "HEAD", *, weights: bool = True
) -> Iterator[PartChange]:
    """Yield the versions that changed `FILE[:TENSOR_GLOB]`, newest first.

    Files are followed through renames and other formats. Raises NotFoundError.
    """
    for item in touched(repo, LogRequest((revision,), filters=(spec,), follow=True)):
        yield _change(repo, item, weights=weights)


def _change(repo: Repository, item: Touched, *, weights: bool) -> PartChange:
    from mvc.ops.diff import DiffRequest, versions

    version = item.version
    first = next(iter(repo.parents(version.id, version.commit)), None)
    paths = tuple(dict.fromkeys((*item.old_specs, *item.specs)))
    found = versions(repo, first, version.id, DiffRequest(paths=paths, weights=weights))
    return PartChange(version, first, tuple(_tensors(repo, version, item.specs, found)))


def _tensors(
    repo: Repository, version: Version, specs: Specs, found: DiffResult
) -> Iterator[TensorChange]:
    for file in found.files:
        if file.tensors is not None:
            yield from _differing(file)
        elif file.status == "added":
            yield from _added(repo, version, file.path, Selection(specs))


def _differing(file: FileDiff) -> Iterator[TensorChange]:
    tensors = file.tensors
    if tensors is None:
        return
    for made in ("added", "removed", "reshaped", "recast", "renamed"):
        for item in getattr(tensors, made):
            yield TensorChange(file.path, item.name, made)
    for changed in tensors.changed:
        numbers = changed.weights
        yield TensorChange(
            file.path,
            changed.name,
            "changed",
            numbers.changed_fraction if numbers else None,
            numbers.l2 if numbers else None,
            numbers.relative_l2 if numbers else None,
        )


def _added(
    repo: Repository, version: Version, path: str, selection: Selection
) -> Iterator[TensorChange]:
    entry = trees.find(repo.store, version.commit.tree, path)
    if entry is None:
        return
    names = Comparer(repo.store).changes(
        None, FileAt(path, entry), selection.tensor(path), selection.may_begin(path)
    )
    yield from (TensorChange(path, name, "added") for name in names)
