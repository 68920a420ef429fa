"""Compare two versions, or a version with the working copy: files, tensors, weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.diff import contents
from mvc.diff.asked import check_tensors
from mvc.diff.results import (
    WORKTREE,
    ChangedTensor,
    DiffRequest,
    DiffResult,
    End,
    FileDiff,
    FileEnd,
    TensorDiff,
)
from mvc.diff.sides import BLOB, FolderSide, Side, TreeSide, VersionSide, WorktreeSide
from mvc.diff.structure import FileChange, changed_files, equal
from mvc.repo import revisions
from mvc.repo.external import located_elsewhere
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection
from mvc.repo.worktree import Worktree

__all__ = [
    "WORKTREE",
    "ChangedTensor",
    "DiffRequest",
    "DiffResult",
    "End",
    "FileDiff",
    "FileEnd",
    "TensorDiff",
    "compare",
    "diff",
    "on_disk",
    "versions",
]


def diff(repo: Repository, request: DiffRequest, progress: Progress = SILENT) -> DiffResult:
    """Return what differs. Raises NotFoundError for an unknown revision, path or tensor."""
    old, new = _ends(repo, request, progress)
    found = compare(old, new, request, progress)
    if not found.files:
        _check_paths(request.paths, old[1], new[1])
    check_tensors(request, old, new, found)
    return found


def versions(
    repo: Repository,
    old: ObjectId | None,
    new: ObjectId,
    request: DiffRequest,
    progress: Progress = SILENT,
) -> DiffResult:
    """Return what differs between two commits; `old` is None before the first."""
    ends = [(End(short(item) if item else "", item), item) for item in (old, new)]
    before, after = ((end, VersionSide(repo, item)) for end, item in ends)
    return compare(before, after, request, progress)


def compare(
    before: tuple[End, Side], after: tuple[End, Side], request: DiffRequest, progress: Progress
) -> DiffResult:
    """Return what differs between two sides, of the paths of `request`."""
    chosen = Selection(request.paths)
    files = []
    for change in _changes(before, after, chosen, words=request.weights):
        found = contents.compare(change, request, chosen, progress)
        only_tensors = chosen.names_tensors(change.path) and change.status == "modified"
        if only_tensors and found.tensors and not found.tensors.differs:
            continue
        if request.tensors and not _has_tensors(found):
            continue
        files.append(found)
    return DiffResult(before[0], after[0], tuple(files))


def _has_tensors(found: FileDiff) -> bool:
    """Tell whether a file differs in tensors, or is a model file that came or went."""
    if found.tensors is not None or found.status == "modified":
        return found.tensors is not None and found.tensors.differs
    return any(end is not None and end.format != BLOB for end in (found.old, found.new))


def _changes(
    before: tuple[End, Side], after: tuple[End, Side], chosen: Selection, *, words: bool
) -> list[FileChange]:
    """Return what differs; two files that were named are one pair, whatever their names are."""
    sides = before[1], after[1]
    single = [isinstance(side, (TreeSide, FolderSide)) and side.single for side in sides]
    if not any(single):
        return changed_files(*sides, chosen.path, words=words)
    if not all(single):
        raise UsageError(
            "one of the two is a file, the other is none", hint="name two files, or two folders"
        )
    ((_, one),), ((_, two),) = (side.files().items() for side in sides)
    if equal(one, two):
        return []
    path = after[0].path or ""
    return [FileChange(path, "modified", one, two, before[0].path, edited=True)]


def _ends(
    repo: Repository, request: DiffRequest, progress: Progress
) -> tuple[tuple[End, Side], tuple[End, Side]]:
    names = request.revisions
    if len(names) == 1 and ".." in names[0]:
        left, _, right = names[0].partition("..")
        if right.startswith("."):
            raise UsageError(
                f"{names[0][:80]!r}: A...B is not known", hint="write A..B, or A and B apart"
            )
        names = (left or "HEAD", right or "HEAD")
    if len(names) > 2:
        raise UsageError(
            "more than two revisions", hint="paths follow after --: mvc diff REV -- FILE"
        )
    folder = request.folder or repo.worktree or Path()
    if any(":" in name for name in names):
        return _placed(repo, names, folder, progress)
    old = _version(repo, names[0] if names else None)
    if len(names) == 2:
        return old, _version(repo, names[1])
    tree = Worktree(repo)
    tracked = tree.state.files
    located = located_elsewhere(tree.root, tracked, tracked)
    side = WorktreeSide(repo, located=located, progress=progress)
    return old, (End(WORKTREE, None), side)


def _placed(
    repo: Repository, names: Sequence[str], folder: Path, progress: Progress
) -> tuple[tuple[End, Side], tuple[End, Side]]:
    """Return the sides of `REV:PATH` and another `REV:PATH`, or a path on disk."""
    ends = [
        on_disk(folder / name, name, progress)
        if fileio.lexists(folder / name) or ":" not in name
        else _stored(repo, name)
        for name in names
    ]
    if len(ends) == 1:
        if repo.worktree is None:
            raise UsageError(f"{names[0][:200]} is one file", hint="name another one, REV:PATH")
        path = names[0].partition(":")[2]
        ends.append(on_disk(repo.worktree / path, path, progress))
    return ends[0], ends[1]


def _stored(repo: Repository, spec: str) -> tuple[End, Side]:
    found = revisions.find(repo, spec)
    name = found.path.rpartition("/")[2]
    return End(spec, found.commit, found.path), TreeSide(repo, found.entry, name)


def on_disk(path: Path, name: str, progress: Progress = SILENT) -> tuple[End, Side]:
    """Return a file or folder on disk as a side called `name`; raise NotFoundError without one."""
    if not fileio.lexists(path):
        raise NotFoundError(
            f"there is no file {name[:200]!r} on disk",
            hint="check the name; a stored file is written REV:PATH",
        )
    return End(name, None, name), FolderSide(path.resolve(), progress)


def _version(repo: Repository, name: str | None) -> tuple[End, Side]:
    if name is None:
        commit = repo.head_commit()
        return End("HEAD", commit), VersionSide(repo, commit)
    try:
        commit = revisions.resolve(repo, name)
    except NotFoundError as error:
        if repo.worktree is not None and fileio.lexists(repo.worktree / name):
            raise NotFoundError(
                error.message, hint=f"{name} is a file; write: mvc diff -- {name}"
            ) from error
        raise
    return End(name, commit), VersionSide(repo, commit)


def _check_paths(specs: Sequence[str], old: Side, new: Side) -> None:
    """Raise NotFoundError for a path that neither side has: "no difference" would be wrong."""
    paths = {*old.files(), *new.files()} if specs else set()
    for spec in specs:
        if not any(Selection([spec]).path(path) for path in paths):
            raise NotFoundError(
                f"neither side has a file {spec[:200]!r}", hint="`mvc ls-tree -r REV` lists files"
            )
