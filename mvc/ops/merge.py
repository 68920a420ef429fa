"""Merge versions into a branch: forward, three ways by file and tensor, or by a strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.merge.threeway import FilePlan
from mvc.objects.history import Scalar
from mvc.ops import merge_result as results
from mvc.ops.merge_commit import conclude, few, recorded
from mvc.ops.merge_files import make, planned
from mvc.ops.merge_inputs import Inputs, gather, weights_by, weights_given
from mvc.ops.merge_result import MergeResult
from mvc.ops.merge_rules import named, parse_rules
from mvc.ops.merge_steps import begin, changed, check_clean, check_room
from mvc.repo import merging, trees
from mvc.repo.merging import Merging, Named, Task
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES
from mvc.repo.repository import Repository
from mvc.repo.signing import own_key
from mvc.repo.worktree import Worktree, locked_worktree
from mvc.store.locks import pinned
from mvc.store.transaction import Transaction

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """What to merge, and how.

    Attributes:
        revisions: Revisions, and patterns of refs such as `devices/*`.
        strategy: What is done where sides disagree; None: that is a conflict.
        options: Its parameters, by name.
        weights: A number for each version in `revisions`; with two sides, or `include_head`, one
            for ours before them.
        weight_by: The metric or param of each version that is its weight.
        rules: The text of a TOML file of rules, which come before `strategy`.
        literals: Whose bytes beside the tensors are taken, `ours` or `theirs`; None: a conflict.
        include_head: Whether ours is one of several versions that are combined.
        into: The branch to merge into, default the current one.
        forward: `auto` moves forward where that is enough, `only` does nothing else, `never` makes
            a commit in any case.
        unrelated: Whether histories without a common version are merged.
        commit: Whether to make the commit, or stop before.
        message: The message, default one that names what was merged.
        sign: Whether to sign, None for what is configured.
        dry_run: Whether to only tell what would happen.
    """

    revisions: tuple[str, ...]
    strategy: str | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    weights: tuple[float, ...] | None = None
    weight_by: str | None = None
    rules: str = ""
    literals: str | None = None
    include_head: bool = False
    into: str | None = None
    forward: str = "auto"
    unrelated: bool = False
    commit: bool = True
    message: str = ""
    sign: bool | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the result goes: a branch (None: a detached HEAD), and whether files are written."""

    ref: str | None
    commit: ObjectId
    worktree: bool

    @property
    def name(self) -> str:
        return self.ref.removeprefix(BRANCHES) if self.ref else "HEAD"


@dataclass(frozen=True, slots=True)
class _Job:
    """Everything that one merge works with; `tree` is None where no file is written."""

    repo: Repository
    tree: Worktree | None
    target: _Target
    inputs: Inputs
    task: Task
    request: MergeRequest
    key: Ed25519PrivateKey | None
    progress: Progress


def merge(repo: Repository, request: MergeRequest, progress: Progress = SILENT) -> MergeResult:
    """Merge versions into the current branch and its files, or into another branch.

    Conflicts are no error: the result tells them, and `mvc.ops.resume` goes on from there. Raises
    NegativeAnswer, having changed nothing, where uncommitted work is in the way or histories are
    unrelated, RemoteMovedError where the branch moved meanwhile, NotFoundError and UsageError.
    """
    if not request.revisions:
        raise UsageError("merge needs a version", hint="for example `mvc merge car-17`")
    _check(request)
    merging.refuse(repo, "another merge")
    key = own_key(repo, wanted=request.sign)
    target = _target(repo, request.into)
    changes_files = target.worktree and not request.dry_run
    with locked_worktree(repo) if changes_files else nullcontext() as tree, pinned(repo.scratch):
        inputs = gather(
            repo, target.commit, request.revisions, target.ref, unrelated=request.unrelated
        )
        told = _told(inputs)
        if not inputs.theirs:
            return MergeResult("merge", "same", target.name, inputs.ours, inputs.ours, remarks=told)
        if inputs.forward and request.forward != "never" and not request.include_head:
            return _forward(repo, tree, target, inputs, request, progress)
        if request.forward == "only":
            raise NegativeAnswer(
                f"{target.name} and {inputs.theirs[0].name} have diverged",
                hint="without --ff-only a merge commit is made",
            )
        task = _task(repo, request, inputs, target)
        return _merged(_Job(repo, tree, target, inputs, task, request, key, progress))


def _target(repo: Repository, into: str | None) -> _Target:
    head = repo.refs.head()
    if into is None:
        if repo.worktree is None:
            raise UsageError(
                "a bare repository has no current files to merge into",
                hint="`mvc merge --into BRANCH REV...` merges into a branch",
            )
        if head.commit is None:
            raise NotFoundError(
                f"{head.branch} has no commits yet", hint="`mvc reset --hard REV` begins it"
            )
        return _Target(head.ref, head.commit, worktree=True)
    check_branch(into)
    ref = BRANCHES + into
    commit = repo.refs.get(ref)
    if commit is None:
        raise NotFoundError(
            f"there is no branch {into[:80]}", hint=f"`mvc branch {into[:80]} START` makes it"
        )
    return _Target(ref, commit, worktree=repo.worktree is not None and head.ref == ref)


def _told(inputs: Inputs) -> tuple[str, ...]:
    told = []
    if inputs.old and inputs.theirs:
        told.append(f"nothing new in {few(inputs.old)}, left out")
    if inputs.twice:
        told.append(f"given twice, and one parent: {few(inputs.twice)}")
    if len(inputs.bases) > 1:
        told.append(
            f"the lines crossed: of {len(inputs.bases)} common versions "
            f"{short(inputs.bases[0])}, the newest, is the base"
        )
    return tuple(told)


def _forward(
    repo: Repository,
    tree: Worktree | None,
    target: _Target,
    inputs: Inputs,
    request: MergeRequest,
    progress: Progress,
) -> MergeResult:
    from mvc.ops.checkout import move

    (theirs,) = inputs.theirs
    written = 0
    if not request.dry_run:
        if tree is not None:
            written = len(move(repo, tree, theirs.commit, progress=progress))
        _advance(repo, target, theirs.commit, f"merge {theirs.name}: forward")
    return MergeResult(
        "merge",
        "forward",
        target.name,
        inputs.ours,
        theirs.commit,
        repo.commit(theirs.commit).tree,
        inputs.bases,
        (results.Parent(theirs.name, theirs.commit, None),),
        remarks=_told(inputs),
        written=written,
        dry_run=request.dry_run,
    )


def _task(repo: Repository, request: MergeRequest, inputs: Inputs, target: _Target) -> Task:
    """Return what decides the merge; raises what is wrong with the request for these versions."""
    wanted = Named(request.strategy, dict(request.options)) if request.strategy else None
    made = named(wanted)
    several = len(inputs.theirs) > 1 or inputs.given > 1
    mixes = several or request.include_head
    head = request.include_head or not several
    count = len(inputs.theirs) + 1
    counted = tuple(range(0 if head else 1, count))
    if made is not None and made.kind.computes:
        made.check(len(counted), base=inputs.base is not None)
    weights = _weights(repo, request, inputs, target, head=head)
    return Task(
        "merge",
        inputs.base,
        (inputs.ours, *(item.commit for item in inputs.theirs)),
        (target.name, *(item.name for item in inputs.theirs)),
        "mix" if mixes else "three-way",
        counted,
        weights,
        wanted,
        request.literals,
        request.rules,
    )


def _check(request: MergeRequest) -> None:
    """Raise UsageError for what makes no sense whatever is merged."""
    parse_rules(request.rules)
    if request.strategy is not None:
        named(Named(request.strategy, dict(request.options)))
    elif request.options:
        option = next(iter(request.options))
        raise UsageError(
            f"{option} is a parameter of strategies, and none is given",
            hint="--strategy NAME names one",
        )
    weighs = request.weights is not None or request.weight_by is not None
    if weighs and request.strategy is None and not request.rules:
        raise UsageError("weights are for a strategy", hint="--strategy average, for example")
    if request.weights is not None and request.weight_by is not None:
        raise UsageError("--weights and --weight-by contradict each other", hint="give one")


def _weights(
    repo: Repository, request: MergeRequest, inputs: Inputs, target: _Target, *, head: bool
) -> tuple[float, ...]:
    if request.weights is not None:
        return weights_given(inputs, request.weights, head=head)
    if request.weight_by is not None:
        return weights_by(repo, inputs, request.weight_by, target.name, head=head)
    return (1.0 if head else 0.0, *(1.0 for _ in inputs.theirs))


def _merged(job: _Job) -> MergeResult:
    repo, request, inputs, task = job.repo, job.request, job.inputs, job.task
    plans = planned(repo, task)
    conflicts = results.disputes(repo, task, plans, job.progress)
    params = recorded(task)
    if request.weight_by is not None:
        params["merge.weight_by"] = request.weight_by
    done = MergeResult(
        "merge",
        "conflicts" if conflicts else "merged" if request.commit else "stopped",
        job.target.name,
        inputs.ours,
        bases=inputs.bases,
        parents=results.parents(task),
        params=params,
        files=results.files(task, plans),
        conflicts=conflicts,
        remarks=(*_told(inputs), *results.remarks(task, plans)),
        dry_run=request.dry_run,
        message=request.message or _message(task),
    )
    if request.dry_run or (conflicts and job.tree is None):
        return done
    stops = done.status != "merged"
    if stops and job.tree is None:
        raise UsageError("--no-commit needs a working copy", hint="--dry-run tells what would be")
    if stops and job.tree is not None:
        # Refused before work that takes long.
        check_clean(job.tree, job.tree.files_of(inputs.ours), "merge")
    found = Merging(
        task,
        job.target.ref,
        tuple(side for side in task.sides if side is not None),
        done.message,
        params,
        {},
        tuple(merging.Open(item.path, item.tensor, item.why) for item in conflicts),
        sign=request.sign,
    )
    return _carried_out(job, done, found, plans)


def _carried_out(
    job: _Job, done: MergeResult, found: Merging, plans: Sequence[FilePlan]
) -> MergeResult:
    repo, tree, ours = job.repo, job.tree, job.inputs.ours
    written = 0
    with Transaction(repo.store, repo.scratch, repo.codec()) as tx:
        found = replace(found, files=make(repo, tx, found.task, plans, job.progress))
        if done.status == "merged":
            files = changed(trees.files(repo.store, repo.commit(ours).tree), found.files)
            found = replace(found, commit=conclude(repo, tx, files, found, job.key))
        if tree is not None:
            check_room(repo, tree, found)
        tx.commit()
        if tree is not None:
            written = begin(repo, tree, found, job.progress)
        elif found.commit is not None:
            subject = done.message.partition("\n")[0][:200]
            _advance(repo, job.target, found.commit, f"merge: {subject}")
    made = repo.commit(found.commit).tree if found.commit is not None else None
    return replace(done, commit=found.commit, tree=made, written=written)


def _message(task: Task) -> str:
    return f"Merge {few(task.names[1:])} into {task.names[0]}"


def _advance(repo: Repository, target: _Target, new: ObjectId, reason: str) -> None:
    """Move the branch from where it was seen, or raise RemoteMovedError."""
    head = repo.refs.head()
    if head.ref == target.ref:
        repo.advance(target.commit, new, reason)
    elif target.ref is not None:
        change = repo.change(target.commit, new, reason)
        repo.refs.update(target.ref, target.commit, new, change)
