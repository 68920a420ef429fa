"""The files that a merge gives: planned by ids, then written, checked and stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing

from mvc.base import fileio
from mvc.base.errors import IntegrityError, NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.formats import onnx
from mvc.merge.compose import Given, compose
from mvc.merge.tensors import merged
from mvc.merge.threeway import BASE, FilePlan, TensorPlan, plan
from mvc.objects.tree import Entry
from mvc.ops.merge_rules import deciding
from mvc.repo import trees
from mvc.repo.bases import CommitBases
from mvc.repo.candidates import FileBases
from mvc.repo.ingest import ingest
from mvc.repo.merging import Task
from mvc.repo.metadata import read_checkpoint
from mvc.repo.names import clash, nested
from mvc.repo.repository import Repository
from mvc.repo.tensors import Held, StoredTensors
from mvc.store.transaction import Transaction


def planned(repo: Repository, task: Task) -> tuple[FilePlan, ...]:
    """Return what becomes of every file that is not equal in all versions; reads no weight."""
    sides = [_tree(repo, side) for side in task.sides]
    return tuple(plan(repo.store, _tree(repo, task.base), sides, deciding(task)))


def make(
    repo: Repository,
    tx: Transaction,
    task: Task,
    plans: Iterable[FilePlan],
    progress: Progress = SILENT,
) -> dict[str, Entry | None]:
    """Store what the files become and return those that differ from ours; None: deleted.

    Nothing is written outside of the store and its scratch.
    """
    plans = tuple(plans)
    composed = [item for item in plans if item.composed]
    found = {item.path: item.entry for item in plans if not item.composed}
    if composed:
        bases = _bases(repo, task)
        progress.start("merging", sum(item.entry.size for item in composed if item.entry))
        for item in composed:
            found[item.path] = _compose(repo, tx, task, item, bases, progress)
        progress.finish()
    ours = {item.path: item.sides[0] for item in plans}
    return {
        path: entry
        for path, entry in sorted(found.items())
        if (entry and entry.id) != (before.id if (before := ours[path]) else None)
    }


def check_names(files: Mapping[str, Entry]) -> None:
    """Raise NegativeAnswer where the files of several versions cannot be in one folder."""
    if pair := nested(files):
        raise NegativeAnswer(
            f"{pair[0]} is a file in one version, so {pair[1]} cannot be one",
            hint="rename one of them on its branch first",
        )
    if pair := clash(list(files)):
        raise NegativeAnswer(
            f"{pair[0]!r} and {pair[1]!r} are one file on some systems",
            hint="rename one of them on its branch first",
        )


def held(tensors: StoredTensors, item: TensorPlan, side: int) -> Held | None:
    """Return a tensor of a plan on one side, BASE for the base; None where there is none."""
    wanted = item.base if side == BASE else item.sides[side]
    return None if wanted is None else tensors.held(wanted)


def _compose(
    repo: Repository,
    tx: Transaction,
    task: Task,
    item: FilePlan,
    bases: CommitBases,
    progress: Progress,
) -> Entry:
    assert item.entry is not None  # noqa: S101
    checkpoint = read_checkpoint(repo.store, item.entry.id)
    stored = StoredTensors(repo.store, checkpoint)
    given = {
        tensor.name: made
        for tensor in item.tensors
        if (made := _given(stored, task, item, tensor)) is not None
    }
    fileio.reap(repo.scratch)
    with fileio.Workspace(repo.scratch) as workspace:
        staged = fileio.StagedFile(workspace.path)
        try:
            done = compose(repo.store, checkpoint, given, staged, progress=progress)
            sealed = staged.seal(durable=False)
            with closing(fileio.Reader(sealed)) as reader:
                past = FileBases(bases, item.path, reader.size)
                external = checkpoint.format == onnx.EXTERNAL_FORMAT
                located = done.located if external else None
                taken = ingest(tx, reader, bases=past, located=located)
        finally:
            staged.discard()
    if taken.sha256 != done.sha256 or taken.entry.kind != "checkpoint":
        raise IntegrityError(
            f"{item.path}: what was merged does not read as what was written",
            hint="nothing was changed; run it again, and report it if it happens again",
        )
    return taken.entry


def _given(stored: StoredTensors, task: Task, item: FilePlan, tensor: TensorPlan) -> Given | None:
    """Return what a tensor of the file is replaced by, None where it stays."""
    if tensor.strategy is None:
        same = tensor.result == tensor.sides[item.source]
        return None if same else held(stored, tensor, tensor.source)
    sides = [held(stored, tensor, side) for side in tensor.mixed]
    weighted = tensor.strategy.kind.weighted
    weights = [task.weights[side] for side in tensor.mixed] if weighted else None
    return merged(
        held(stored, tensor, BASE) if tensor.strategy.kind.base else None,
        [side for side in sides if side is not None],
        tensor.strategy,
        weights,
        name=tensor.name,
    )


def _bases(repo: Repository, task: Task) -> CommitBases:
    """Return what merged files may be differences from: ours, then the first of the others."""
    tree = _tree(repo, task.ours)
    files = trees.files(repo.store, tree) if tree else {}
    return CommitBases(repo, files, next((side for side in task.sides[1:] if side), None))


def _tree(repo: Repository, commit: ObjectId | None) -> ObjectId | None:
    return None if commit is None else repo.commit(commit).tree
