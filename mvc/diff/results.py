"""What a comparison gives: everything that differs between two sides, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mvc.base.ids import ObjectId
from mvc.diff.elements import ElementChange
from mvc.diff.findings import FieldChange, GraphDiff, Move, Renamed, TokenDiff
from mvc.diff.structure import Described, Recoded, Status
from mvc.diff.weights import Weights

WORKTREE = "worktree"


@dataclass(frozen=True, slots=True)
class DiffRequest:
    """What to compare: no revision for HEAD and the working copy, one, two, or `A..B`.

    `paths` are `PATH[:TENSOR_GLOB]`; a path is a file, a folder or a pattern. `tensors` are
    patterns of names; with any, only what is in tensors counts. `rank` asks for effective ranks,
    `elements` for so many elements of each changed tensor: those that changed most, or the `first`.
    Where a revision is `REV:PATH`, the other may be a path on disk, seen from `folder`.
    """

    revisions: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    weights: bool = True
    names_only: bool = False
    tensors: tuple[str, ...] = ()
    rank: bool = False
    elements: int = 0
    first: bool = False
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class End:
    """One side: a revision as it was given and its commit, or the working copy.

    `path` is that of the file or folder, where one was given.
    """

    name: str
    commit: ObjectId | None
    path: str | None = None


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
