"""Compare two versions, or a version with the working copy: files, tensors, weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mvc.base import fileio
from mvc.base.errors import NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.diff.elements import ElementChange, elements
from mvc.diff.findings import FieldChange, GraphDiff, Move, Renamed, TokenDiff
from mvc.diff.sides import BLOB, File, Side, VersionSide, WorktreeSide
from mvc.diff.structure import (
    Described,
    FileChange,
    Pair,
    Recoded,
    Status,
    changed_files,
    compare_tensors,
)
from mvc.diff.summary import sentences
from mvc.diff.text import MAX_TEXT, as_text, unified
from mvc.diff.weights import Weights, measure
from mvc.repo import revisions
from mvc.repo.external import located_elsewhere
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection
from mvc.repo.worktree import Worktree

WORKTREE = "worktree"


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """What to compare: no revision for HEAD and the working copy, one, two, or `A..B`.

    `paths` are `PATH[:TENSOR_GLOB]`; a path is a file, a folder or a pattern. `tensors` are
    patterns of names; with any, only what is in tensors counts. `rank` asks for effective ranks,
    `elements` for so many elements of each changed tensor: those that changed most, or the `first`.
    """

    revisions: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    weights: bool = True
    names_only: bool = False
    tensors: tuple[str, ...] = ()
    rank: bool = False
    elements: int = 0
    first: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """One side: a revision as it was given and its commit, or the working copy."""

    name: str
    commit: ObjectId | None


@dataclass(frozen=True, slots=True)
class ChangedTensor:
    """A tensor whose words differ. `weights` is None when they were not asked for.

    `old_name` is None unless it had another name.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    weights: Weights | None
    old_name: str | None = None
    elements: tuple[ElementChange, ...] | None = None


@dataclass(frozen=True, slots=True)
class TensorDiff:
    """How the tensors of a file differ; `summary` says so in sentences."""

    added: tuple[Described, ...]
    removed: tuple[Described, ...]
    reshaped: tuple[Recoded, ...]
    recast: tuple[Recoded, ...]
    changed: tuple[ChangedTensor, ...]
    unchanged: int
    renamed: tuple[Renamed, ...] = ()
    moves: tuple[Move, ...] = ()
    summary: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Tell whether any tensor differs, in its name at least."""
        lists = (self.added, self.removed, self.reshaped, self.recast, self.changed, self.renamed)
        return any(lists)


@dataclass(frozen=True, slots=True)
class FileEnd:
    """A file on one side. `id` is None where its content is not stored."""

    path: str
    id: ObjectId | None
    size: int
    format: str


@dataclass(frozen=True, slots=True)
class FileDiff:
    """A file that differs: `tensors` for two model files, `text` (hunks) for two small texts.

    `fields` are what differs in configurations of known syntax, `header` in what a model file says
    beside its tensors, `graph` in its operators. `old_parts` and `new_parts` are the shards where
    a model lies in several files on that side. `summary` says in full what happened, a sentence
    each.
    """

    path: str
    status: Status
    old: FileEnd | None
    new: FileEnd | None
    tensors: TensorDiff | None = None
    text: str | None = None
    fields: tuple[FieldChange, ...] | None = None
    tokens: TokenDiff | None = None
    header: tuple[FieldChange, ...] = ()
    graph: GraphDiff | None = None
    old_parts: tuple[FileEnd, ...] = ()
    new_parts: tuple[FileEnd, ...] = ()
    summary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DiffResult:
    """Everything that differs between two sides."""

    old: End
    new: End
    files: tuple[FileDiff, ...]

    @property
    def l2(self) -> float | None:
        """The L2 norm of the change of all measured tensors, None if nothing was measured."""
        found = [
            tensor.weights.l2
            for file in self.files
            if file.tensors
            for tensor in file.tensors.changed
            if tensor.weights and tensor.weights.l2 is not None
        ]
        return math.hypot(*found) if found else None


def diff(repo: Repository, request: DiffRequest, progress: Progress = SILENT) -> DiffResult:
    """Return what differs. Raises NotFoundError for an unknown revision or path."""
    old, new = _ends(repo, request.revisions, progress)
    found = compare(old, new, request, progress)
    if not found.files:
        _check_paths(request.paths, old[1], new[1])
    return found


def versions(
    repo: Repository,
    old: ObjectId | None,
    new: ObjectId,
    request: DiffRequest,
    progress: Progress = SILENT,
) -> DiffResult:
    """Return what differs between two commits; `old` is None before the first."""
    ends = [(End(item.hex()[:10] if item else "", item), item) for item in (old, new)]
    before, after = ((end, VersionSide(repo, item)) for end, item in ends)
    return compare(before, after, request, progress)


def compare(
    before: tuple[End, Side], after: tuple[End, Side], request: DiffRequest, progress: Progress
) -> DiffResult:
    """Return what differs between two sides, of the paths of `request`."""
    chosen = Selection(request.paths)
    files = []
    for change in changed_files(before[1], after[1], chosen.path):
        found = _file(change, request, chosen, progress)
        only_tensors = chosen.names_tensors(change.path) and change.status == "modified"
        if only_tensors and found.tensors and not found.tensors.differs:
            continue
        if request.tensors and not _has_tensors(found):
            continue
        files.append(found)
    return DiffResult(before[0], after[0], tuple(files))


def _has_tensors(found: FileDiff) -> bool:
    """Tell whether a file differs in tensors, or is a model file that came or went."""
    if found.status == "modified":
        return found.tensors is not None and found.tensors.differs
    return any(end is not None and end.format != BLOB for end in (found.old, found.new))


def _ends(
    repo: Repository, names: Sequence[str], progress: Progress
) -> tuple[tuple[End, Side], tuple[End, Side]]:
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
    old = _version(repo, names[0] if names else None)
    if len(names) == 2:
        return old, _version(repo, names[1])
    tree = Worktree(repo)
    tracked = tree.state.files
    located = located_elsewhere(tree.root, tracked, tracked)
    side = WorktreeSide(repo, located=located, progress=progress)
    return old, (End(WORKTREE, None), side)


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


def _file(
    change: FileChange, request: DiffRequest, chosen: Selection, progress: Progress
) -> FileDiff:
    try:
        tensors = text = None
        if change.status == "modified" and (request.tensors or not request.names_only):
            keep = _both(chosen.tensor(change.path), request.tensors)
            tensors = _tensors(change, request, keep, progress)
            text = _text(change) if tensors is None else None
        return FileDiff(
            change.path,
            change.status,
            _end(change.old_path, change.old, request),
            _end(change.path, change.new, request),
            tensors,
            text,
        )
    finally:
        for file in (change.old, change.new):
            if file is not None:
                file.close()


def _both(keep: Callable[[str], bool], globs: tuple[str, ...]) -> Callable[[str], bool]:
    if not globs:
        return keep
    return lambda name: keep(name) and any(fnmatchcase(name, glob) for glob in globs)


def _end(path: str | None, file: File | None, request: DiffRequest) -> FileEnd | None:
    if file is None or path is None:
        return None
    return FileEnd(path, file.id, file.size, "" if request.names_only else file.format)


def _tensors(
    change: FileChange, request: DiffRequest, keep: Callable[[str], bool], progress: Progress
) -> TensorDiff | None:
    old = change.old.tensors() if change.old else None
    new = change.new.tensors() if change.new else None
    if old is None or new is None:
        return None
    found = compare_tensors(old, new, keep, words=request.weights)
    changed = tuple(_changed(found.changed, request, progress))
    return TensorDiff(
        found.added,
        found.removed,
        found.reshaped,
        found.recast,
        changed,
        found.unchanged,
        found.renamed,
        found.moves,
        sentences(found),
    )


def _changed(
    pairs: Sequence[Pair], request: DiffRequest, progress: Progress
) -> Iterator[ChangedTensor]:
    weights: Iterable[Weights | None] = [None] * len(pairs)
    listed: Iterable[tuple[ElementChange, ...] | None] = [None] * len(pairs)
    if request.weights:
        weights = list(measure(pairs, progress, rank=request.rank))
    if request.elements:
        listed = elements(pairs, request.elements, first=request.first, progress=progress)
    for pair, measured, items in zip(pairs, weights, listed, strict=True):
        kind = pair.new.tensor
        about = pair.name, kind.dtype, kind.shape, kind.content.size
        yield ChangedTensor(*about, measured, pair.old_name, items)


def _text(change: FileChange) -> str | None:
    old, new = change.old, change.new
    if old is None or new is None or max(old.size, new.size) > MAX_TEXT:
        return None
    if (old.format, new.format) != (BLOB, BLOB):
        return None
    before, after = as_text(old.read()), as_text(new.read())
    return unified(before, after) if before is not None and after is not None else None
