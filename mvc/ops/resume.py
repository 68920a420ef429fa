"""Go on with a merge, cherry-pick or revert that stopped or was cut off, or go back from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from mvc.base.errors import MvcError, NegativeAnswer, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.ops import merge_result as results
from mvc.ops.commit import store_files
from mvc.ops.merge_commit import conclude, few, recorded
from mvc.ops.merge_files import make, planned
from mvc.ops.merge_result import MergeResult
from mvc.ops.merge_rules import named
from mvc.ops.merge_steps import (
    changed,
    check_head,
    go_back,
    here,
    land,
    place,
    rewrite,
)
from mvc.ops.picking import PickRequest, run
from mvc.repo import merging, trees
from mvc.repo.bases import CommitBases
from mvc.repo.merging import Merging, Open, Take
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection
from mvc.repo.signing import own_key
from mvc.repo.worktree import Changes, Worktree, locked_worktree
from mvc.store.locks import pinned
from mvc.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """How to go on.

    Attributes:
        takes: What conflicts become, the first that covers one counting.
        message: The message, default the one from the start.
        sign: Whether to sign, None for what was said at the start.
    """

    takes: tuple[Take, ...] = ()
    message: str = ""
    sign: bool | None = None


def resume(
    repo: Repository, verb: str, request: ResumeRequest, progress: Progress = SILENT
) -> tuple[MergeResult, ...]:
    """End what is under way: decide conflicts, take what was edited, and commit.

    Files of the working copy that were edited count as they are, and so decide their conflicts.
    Where conflicts are left the result says so, and all that was decided is kept. Picks still to
    come follow. Raises NegativeAnswer if nothing is under way.
    """
    with locked_worktree(repo) as tree, pinned(repo.scratch):
        found = _under_way(repo, verb)
        check_head(repo, found)
        if repo.head_commit() == found.commit:
            if not found.todo:
                merging.clear(repo)
            done = _ended(repo, found, found.commit, 0)
        else:
            done = _go_on(repo, tree, found, request, progress)
        if done.status == "conflicts" or not found.todo:
            return (done,)
        scale, parent = found.settings.get("scale", 1.0), found.settings.get("parent")
        rest = PickRequest(
            (),
            float(scale),
            parent if isinstance(parent, int) else None,
            sign=found.sign,
        )
        return done, *run(repo, tree, verb, found.todo, rest, found.origin, progress)


def abort(repo: Repository, verb: str, progress: Progress = SILENT) -> MergeResult:
    """Bring branch and files back to where they were before what is under way.

    What was edited since in files that it touched is lost. Raises NegativeAnswer if nothing is
    under way.
    """
    with locked_worktree(repo) as tree, pinned(repo.scratch):
        _under_way(repo, verb)
        found = go_back(repo, tree, progress)
    head = repo.refs.head()
    return MergeResult(verb, "aborted", head.branch, found.task.ours, head.commit)


def _under_way(repo: Repository, verb: str) -> Merging:
    found = merging.load(repo)
    if found is None:
        raise NegativeAnswer(f"no {verb} is under way", hint="`mvc status` tells how things are")
    if found.verb != verb:
        raise UsageError(
            f"what is under way is a {found.verb}", hint=f"write `mvc {found.verb}` instead"
        )
    return found


def _go_on(
    repo: Repository, tree: Worktree, found: Merging, request: ResumeRequest, progress: Progress
) -> MergeResult:
    if request.message:
        found = replace(found, message=request.message)
    if request.sign is not None:
        found = replace(found, sign=request.sign)
    if found.commit is not None or not found.written:
        written = place(repo, tree, found, progress)
        if found.commit is not None:
            return _ended(repo, found, found.commit, written)
        found = replace(found, written=True)
    ours = trees.files(repo.store, repo.commit(found.task.ours).tree)
    edited = _edits(repo, tree, changed(ours, found.files))
    if request.takes:
        found = _decided(repo, tree, found, request.takes, edited, progress)
        edited = _edits(repo, tree, changed(ours, found.files))
    touched = {*edited.modified, *edited.deleted}
    left = tuple(item for item in found.conflicts if item.path not in touched)
    if left:
        merging.save(repo, found)
        return _stopped(repo, found, left, progress)
    return _commit(repo, tree, found, ours, edited, progress)


def _edits(repo: Repository, tree: Worktree, now: dict[str, Entry]) -> Changes:
    """Return what is not in the working copy as the merge left it."""
    scope = repo.chosen.scope
    files = {path: entry for path, entry in now.items() if scope is None or scope.chooses(path)}
    return tree.changes(files, untracked=False)


def _decided(
    repo: Repository,
    tree: Worktree,
    found: Merging,
    takes: Sequence[Take],
    edited: Changes,
    progress: Progress,
) -> Merging:
    """Work out the files of conflicts that something was said of, and write them."""
    touched = {*edited.modified, *edited.deleted}
    paths = _covered(found, takes, touched)
    task = replace(found.task, takes=(*found.task.takes, *takes))
    plans = [item for item in planned(repo, task) if item.path in paths]
    left = tuple(item for item in found.conflicts if item.path not in paths)
    left += tuple(
        Open(item.path, item.tensor, item.why) for plan in plans for item in plan.conflicts
    )
    with Transaction(repo.store, repo.scratch, repo.codec()) as tx:
        made = make(repo, tx, task, plans, progress)
        tx.commit()
        files = {path: entry for path, entry in found.files.items() if path not in paths} | made
        ours = trees.files(repo.store, repo.commit(task.ours).tree)
        params = {**found.params, **recorded(task)} if task.verb == "merge" else found.params
        after = replace(found, task=task, files=files, conflicts=left, params=params)
        now, then = (here(repo, changed(ours, one.files)) for one in (found, after))
        rewrite(tree, paths, then, now, progress)
        merging.save(repo, after)
    return after


def _covered(found: Merging, takes: Sequence[Take], touched: set[str]) -> set[str]:
    """Return the files that have conflicts which something was said of."""
    paths: set[str] = set()
    for take in takes:
        named(take.strategy)
        chosen = Selection(take.patterns)
        about = {item.path for item in found.conflicts if _covers(chosen, item)}
        if take.patterns and not about:
            raise UsageError(
                f"no conflict is left in {few(take.patterns)}",
                hint=f"`mvc {found.verb} --continue` lists those that are left",
            )
        if take.patterns and about & touched:
            raise NegativeAnswer(
                f"{few(sorted(about & touched))} was edited, which decides it already",
                hint="without --take for it, its content counts",
            )
        paths |= about - touched
    return paths


def _covers(chosen: Selection, item: Open) -> bool:
    if not chosen.path(item.path):
        return False
    if item.tensor is None:
        return not chosen.names_tensors(item.path)
    return chosen.tensor(item.path)(item.tensor)


def _commit(
    repo: Repository,
    tree: Worktree,
    found: Merging,
    ours: dict[str, Entry],
    edited: Changes,
    progress: Progress,
) -> MergeResult:
    key = own_key(repo, wanted=found.sign)
    now = changed(ours, found.files)
    with Transaction(repo.store, repo.scratch, repo.codec()) as tx:
        bases = CommitBases(repo, now)
        read = store_files(tree, tx, bases, edited, progress)
        final: dict[str, Entry | None] = dict(found.files)
        final |= {path: item.entry for path, item in read.items()}
        final |= dict.fromkeys(edited.deleted)
        found = replace(found, files=final, conflicts=())
        new = conclude(repo, tx, changed(ours, final), found, key)
        found = replace(found, commit=new)
        tx.commit()
        merging.save(repo, found)
        for path in edited.deleted:
            tree.state.files.pop(path, None)
        tree.state.settle(tree.root, list(read))
        tree.state.save()
        land(repo, found, new)
    return _ended(repo, found, new, 0)


def _ended(repo: Repository, found: Merging, commit: ObjectId | None, written: int) -> MergeResult:
    return MergeResult(
        found.verb,
        "merged",
        repo.refs.head().branch,
        found.task.ours,
        commit,
        repo.commit(commit).tree if commit is not None else None,
        (found.task.base,) if found.task.base else (),
        results.parents(found.task),
        found.params,
        written=written,
        message=found.message,
    )


def _stopped(
    repo: Repository, found: Merging, left: Sequence[Open], progress: Progress
) -> MergeResult:
    wanted = {(item.path, item.tensor) for item in left}
    plans = [item for item in planned(repo, found.task) if item.path in {o.path for o in left}]
    disputes: tuple[results.Dispute, ...] = ()
    # How far the sides went is worth telling, and no reason to fail.
    with suppress(MvcError):
        disputes = results.disputes(repo, found.task, plans, progress)
    return MergeResult(
        found.verb,
        "conflicts",
        repo.refs.head().branch,
        found.task.ours,
        bases=(found.task.base,) if found.task.base else (),
        parents=results.parents(found.task),
        params=found.params,
        files=results.files(found.task, plans),
        conflicts=tuple(item for item in disputes if (item.path, item.tensor) in wanted),
        message=found.message,
    )
