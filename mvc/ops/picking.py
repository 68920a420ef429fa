"""One commit's change, added to or taken from the current version: cherry-pick and revert.

As a task vector (arXiv 2212.04089): ours + scale * (commit - parent), in float64, rounded once;
where ours is as the parent, bit by bit, the result is the commit's bits. What has no numbers is
merged three ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.merge.threeway import FilePlan
from mvc.objects.history import Scalar
from mvc.ops import merge_result as results
from mvc.ops.merge_commit import conclude
from mvc.ops.merge_files import make, planned
from mvc.ops.merge_result import MergeResult
from mvc.ops.merge_steps import begin, changed, check_clean, check_room
from mvc.repo import history, merging, revisions, trees
from mvc.repo.merging import Merging, Named, Task
from mvc.repo.repository import Repository
from mvc.repo.signing import own_key
from mvc.repo.worktree import Worktree, locked_worktree
from mvc.store.locks import pinned
from mvc.store.transaction import Transaction

CHERRY_PICK = "cherry-pick"
REVERT = "revert"


@dataclass(frozen=True, slots=True)
class PickRequest:
    """Which commits to pick, and how.

    Attributes:
        revisions: Commits, or ranges `A..B`; the change of each against its parent is taken.
        scale: The factor of the change.
        parent: Which parent of a merge, from 1; None where there is one.
        message: The message, default that of the commit, or one that names it.
        commit: Whether to make the commit, or stop before.
        sign: Whether to sign, None for what is configured.
        dry_run: Whether to only tell what would happen.
    """

    revisions: tuple[str, ...]
    scale: float = 1.0
    parent: int | None = None
    message: str = ""
    commit: bool = True
    sign: bool | None = None
    dry_run: bool = False

    def settings(self) -> dict[str, Scalar]:
        """Return what the picks after a stop need to know."""
        found: dict[str, Scalar] = {"scale": self.scale}
        if self.parent is not None:
            found["parent"] = self.parent
        return found


def pick(
    repo: Repository, verb: str, request: PickRequest, progress: Progress = SILENT
) -> tuple[MergeResult, ...]:
    """Pick commits one after the other; stops at the first that needs decisions.

    Raises NegativeAnswer, having changed nothing, where uncommitted work is in the way, and
    UsageError for a merge without `parent`.
    """
    if not request.revisions:
        raise UsageError(f"{verb} needs a version", hint=f"for example `mvc {verb} HEAD~1`")
    if not math.isfinite(request.scale) or request.scale == 0:
        raise UsageError(f"the scale cannot be {request.scale}", hint="for example 0.5")
    _ = repo.root
    merging.refuse(repo, f"a {verb}")
    # Before any work: a key that is not there.
    own_key(repo, wanted=request.sign)
    wanted = _wanted(repo, verb, request.revisions)
    if not wanted:
        raise NegativeAnswer("the range has no commits", hint="write OLD..NEW")
    if len(wanted) > 1 and not request.commit:
        raise UsageError("--no-commit takes one commit", hint="pick one at a time")
    for item in wanted:
        _parent(repo, item, request.settings())
    with locked_worktree(repo) as tree, pinned(repo.scratch):
        start = repo.head_commit()
        if start is None:
            raise NotFoundError("there are no commits yet", hint="`mvc commit` makes the first")
        if request.dry_run:
            return tuple(_dry(repo, verb, item, request, start, progress) for item in wanted)
        return run(repo, tree, verb, wanted, request, start, progress)


def run(
    repo: Repository,
    tree: Worktree,
    verb: str,
    wanted: Sequence[ObjectId],
    request: PickRequest,
    start: ObjectId,
    progress: Progress = SILENT,
) -> tuple[MergeResult, ...]:
    """Pick commits one after the other, `start` being where `--abort` goes back to."""
    done: list[MergeResult] = []
    for number, item in enumerate(wanted):
        head = repo.refs.head()
        assert head.commit is not None  # noqa: S101
        found = Merging(
            _task(repo, verb, item, request.settings(), head.commit, head.branch),
            head.ref,
            (head.commit,),
            request.message or _message(repo, verb, item),
            _recorded(verb, item, request),
            {},
            start=start,
            todo=tuple(wanted[number + 1 :]),
            settings=request.settings(),
            sign=request.sign,
        )
        done.append(_one(repo, tree, found, stop=not request.commit, progress=progress))
        if done[-1].status in ("conflicts", "stopped"):
            return tuple(done)
    merging.clear(repo)
    return tuple(done)


def _one(
    repo: Repository, tree: Worktree, found: Merging, *, stop: bool, progress: Progress
) -> MergeResult:
    task = found.task
    plans = planned(repo, task)
    conflicts = results.disputes(repo, task, plans, progress)
    done = _result(found, plans, conflicts, repo.refs.head().branch)
    if stop and not conflicts:
        done = replace(done, status="stopped")
    if done.status != "merged":
        check_clean(tree, tree.files_of(task.ours), task.verb)
    ours = trees.files(repo.store, repo.commit(task.ours).tree)
    with Transaction(repo.store, repo.scratch, repo.codec()) as tx:
        opened = tuple(merging.Open(item.path, item.tensor, item.why) for item in conflicts)
        files = make(repo, tx, task, plans, progress)
        found = replace(found, files=files, conflicts=opened)
        if not (files or conflicts):
            told = (f"{task.names[0]} has this change already",)
            return replace(done, status="same", commit=task.ours, remarks=told)
        if done.status == "merged":
            key = own_key(repo, wanted=found.sign)
            found = replace(found, commit=conclude(repo, tx, changed(ours, files), found, key))
        check_room(repo, tree, found)
        tx.commit()
        written = begin(repo, tree, found, progress)
    made = repo.commit(found.commit).tree if found.commit is not None else None
    return replace(done, commit=found.commit, tree=made, written=written)


def _dry(
    repo: Repository,
    verb: str,
    item: ObjectId,
    request: PickRequest,
    start: ObjectId,
    progress: Progress,
) -> MergeResult:
    head = repo.refs.head()
    task = _task(repo, verb, item, request.settings(), start, head.branch)
    found = Merging(task, head.ref, (start,), request.message or _message(repo, verb, item), {}, {})
    plans = planned(repo, task)
    conflicts = results.disputes(repo, task, plans, progress)
    return replace(_result(found, plans, conflicts, head.branch), dry_run=True)


def _result(
    found: Merging,
    plans: Sequence[FilePlan],
    conflicts: tuple[results.Dispute, ...],
    branch: str | None,
) -> MergeResult:
    task = found.task
    return MergeResult(
        task.verb,
        "conflicts" if conflicts else "merged",
        branch,
        task.ours,
        bases=(task.base,) if task.base else (),
        parents=tuple(
            results.Parent(name, side, weight)
            for name, side, weight in zip(task.names, task.sides, task.weights, strict=True)
            if side is not None
        ),
        params=found.params,
        files=results.files(task, plans),
        conflicts=conflicts,
        message=found.message,
    )


def _task(
    repo: Repository,
    verb: str,
    item: ObjectId,
    settings: Mapping[str, Scalar],
    ours: ObjectId,
    branch: str | None,
) -> Task:
    parent = _parent(repo, item, settings)
    scale = settings.get("scale", 1.0)
    assert isinstance(scale, int | float)  # noqa: S101
    base, other = (parent, item) if verb == CHERRY_PICK else (item, parent)
    name = short(item)
    return Task(
        verb,
        base,
        (ours, other),
        (branch or "HEAD", name if verb == CHERRY_PICK else f"before {name}"),
        "three-way" if scale == 1 else "vector",
        (0, 1),
        (1.0, float(scale)),
        Named("task-arithmetic", {"lambda": 1.0}),
    )


def _parent(repo: Repository, item: ObjectId, settings: Mapping[str, Scalar]) -> ObjectId | None:
    """Return what the change of a commit is measured from, None for a first commit."""
    commit = repo.commit(item)
    parents = repo.parents(item, commit)
    name = short(item)
    if len(parents) < len(commit.parents):
        raise NotFoundError(
            f"what came before {name} was not fetched",
            hint="`mvc fetch --unshallow` brings the rest of history",
        )
    number = settings.get("parent")
    if number is None:
        if len(parents) > 1:
            raise UsageError(
                f"{name} is a merge of {len(parents)} versions",
                hint="-m 1 takes what it changed against the first",
            )
        return parents[0] if parents else None
    if not isinstance(number, int) or not 1 <= number <= len(parents):
        raise UsageError(f"{name} has {len(parents)} parents, not a parent {number}")
    return parents[number - 1]


def _wanted(repo: Repository, verb: str, names: Sequence[str]) -> list[ObjectId]:
    """Return the commits in the order in which they are picked: to revert, newest first."""
    found: list[ObjectId] = []
    for name in names:
        if ".." not in name:
            found.append(revisions.resolve(repo, name))
            continue
        old, _, new = name.partition("..")
        if new.startswith("."):
            raise UsageError(f"{name[:80]!r}: A...B is no range of one line", hint="write A..B")
        ends = [revisions.resolve(repo, end or "HEAD") for end in (old, new)]
        every = [item.id for item in history.topological(repo, ends[1:], ends[:1])]
        found += every if verb == REVERT else every[::-1]
    return found


def _message(repo: Repository, verb: str, item: ObjectId) -> str:
    message = repo.commit(item).message
    if verb == CHERRY_PICK:
        return message
    subject = message.partition("\n")[0]
    return f'Revert "{subject}"\n\nThis takes back commit {item.hex()}.'


def _recorded(verb: str, item: ObjectId, request: PickRequest) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {f"{verb}.commit": item.hex()}
    if request.scale != 1:
        found[f"{verb}.scale"] = request.scale
    if request.parent is not None:
        found[f"{verb}.parent"] = request.parent
    return found
