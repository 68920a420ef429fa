"""What a merge, cherry-pick or revert did, or would do, in dataclasses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.merge.threeway import BASE, Conflict, FilePlan, TensorPlan
from mvc.objects.history import Scalar
from mvc.ops.merge_files import held
from mvc.repo.merging import Task
from mvc.repo.metadata import read_checkpoint
from mvc.repo.repository import Repository
from mvc.repo.tensors import StoredTensors

SHOWN_SIDES = 8
"""Sides whose changes of a tensor in conflict are measured."""

Status = Literal["same", "forward", "merged", "conflicts", "stopped", "aborted"]
"""Nothing to do; moved forward; a commit was made; decisions are needed; stopped before the
commit as asked; given up."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A version that was merged, and what its weight was; None where nothing was weighed."""

    name: str
    commit: ObjectId
    weight: float | None


@dataclass(frozen=True, slots=True)
class Changed:
    """How far a side went from the base: relative L2, None where that is not a number."""

    name: str
    relative: float | None


@dataclass(frozen=True, slots=True)
class Dispute:
    """Something in conflict, with how far each side that changed it went."""

    path: str
    tensor: str | None
    why: str
    sides: tuple[Changed, ...] = ()


@dataclass(frozen=True, slots=True)
class MergedFile:
    """What became of a file.

    `result` is `ours`, `deleted`, `conflict`, `merged` (tensors of several sides), or the name of
    the version that it was taken from. `taken` counts tensors by the name of where they are from,
    `computed` by strategy.
    """

    path: str
    result: str
    taken: Mapping[str, int]
    computed: Mapping[str, int]
    conflicts: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What was done, or with `dry_run` would be.

    `commit` is the new version, None where there is none (yet); `tree` its tree. `params` are those
    of the commit. `written` counts files of the working copy.
    """

    verb: str
    status: Status
    branch: str | None
    old: ObjectId | None
    commit: ObjectId | None = None
    tree: ObjectId | None = None
    bases: tuple[ObjectId, ...] = ()
    parents: tuple[Parent, ...] = ()
    params: Mapping[str, Scalar] = field(default_factory=dict)
    files: tuple[MergedFile, ...] = ()
    conflicts: tuple[Dispute, ...] = ()
    remarks: tuple[str, ...] = ()
    written: int = 0
    dry_run: bool = False
    message: str = ""


def parents(task: Task) -> tuple[Parent, ...]:
    """Return the versions of a task with their weights, ours first."""
    weighed = task.strategy is not None or bool(task.rules)
    return tuple(
        Parent(name, side, weight if weighed else None)
        for name, side, weight in zip(task.names, task.sides, task.weights, strict=True)
        if side is not None
    )


def files(task: Task, plans: Iterable[FilePlan]) -> tuple[MergedFile, ...]:
    """Return what becomes of the files that are not equal everywhere."""
    return tuple(_file(task.names, item) for item in plans)


def disputes(
    repo: Repository,
    task: Task,
    plans: Iterable[FilePlan],
    progress: Progress = SILENT,
    *,
    measure: bool = True,
) -> tuple[Dispute, ...]:
    """Return all conflicts; where it makes sense, `measure` how far the sides went."""
    every = list(plans)
    total = sum(
        item.entry.size
        for item in every
        if item.entry and any(conflict.tensor is not None for conflict in item.conflicts)
    )
    found: list[Dispute] = []
    if measure and total:
        progress.start("measuring conflicts", total)
    for item in every:
        tensors = {tensor.name: tensor for tensor in item.tensors}
        source = None
        if measure and item.entry and any(one.tensor is not None for one in item.conflicts):
            source = StoredTensors(repo.store, read_checkpoint(repo.store, item.entry.id))
        for conflict in item.conflicts:
            tensor = tensors.get(conflict.tensor or "") if conflict.tensor is not None else None
            found.append(_dispute(task, conflict, tensor, source))
            if tensor is not None and measure and source is not None:
                kept = held(source, tensor, tensor.source)
                progress.advance(kept.tensor.content.size if kept else 0)
    if measure and total:
        progress.finish()
    return tuple(found)


def remarks(task: Task, plans: Sequence[FilePlan]) -> tuple[str, ...]:
    """Return what people should know of what was decided."""
    if task.mode != "mix" or 0 in task.counted:
        return ()
    replaced = sum(
        1
        for item in plans
        for tensor in item.tensors
        if tensor.strategy is not None and tensor.sides[0] != tensor.base
    )
    if not replaced:
        return ()
    noun = "tensor" if replaced == 1 else "tensors"
    return (
        f"{task.names[0]} itself changed {replaced} {noun} of those that are computed, and counts "
        "nothing; --include-head lets it count",
    )


def _file(names: Sequence[str], item: FilePlan) -> MergedFile:
    taken: Counter[str] = Counter()
    computed: Counter[str] = Counter()
    for tensor in item.tensors:
        if tensor.conflict is not None:
            continue
        if tensor.strategy is not None:
            computed[tensor.strategy.name] += 1
        else:
            taken[_name(names, tensor.source)] += 1
    count = len(item.conflicts)
    if item.composed:
        result = "merged"
    elif item.entry is None:
        result = "deleted"
    else:
        result = _name(names, item.source)
    if any(conflict.tensor is None for conflict in item.conflicts):
        result = "conflict"
    return MergedFile(item.path, result, dict(taken), dict(computed), count, item.remarks)


def _dispute(
    task: Task, conflict: Conflict, tensor: TensorPlan | None, source: StoredTensors | None
) -> Dispute:
    sides: list[Changed] = []
    if tensor is not None and source is not None and conflict.why == "changed":
        base = held(source, tensor, BASE)
        for side, item in enumerate(tensor.sides):
            if item is not None and item != tensor.base and len(sides) < SHOWN_SIDES:
                there = held(source, tensor, side)
                relative = _relative(base, there) if base and there else None
                sides.append(Changed(task.names[side], relative))
    return Dispute(conflict.path, conflict.tensor, conflict.why, tuple(sides))


def _relative(base: object, side: object) -> float | None:
    from mvc.merge.distance import relative_change
    from mvc.repo.tensors import Held

    assert isinstance(base, Held)  # noqa: S101
    assert isinstance(side, Held)  # noqa: S101
    if (base.tensor.dtype, base.tensor.shape) != (side.tensor.dtype, side.tensor.shape):
        return None
    return relative_change(base, side)


def _name(names: Sequence[str], side: int) -> str:
    if side == 0:
        return "ours"
    return "base" if side == BASE else names[side]
