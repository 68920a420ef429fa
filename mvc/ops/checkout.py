"""Move the working copy to another version."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace

from mvc.base.dtypes import check_precision
from mvc.base.errors import IntegrityError, MvcError, NegativeAnswer, NotFoundError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import merging, remotes, revisions
from mvc.repo.history import walk
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, REMOTES, Head
from mvc.repo.repository import Repository
from mvc.repo.worktree import Worktree, locked_worktree
from mvc.storage import keys
from mvc.store.locks import pinned

_MOVED = re.compile(r"checkout: moving from (\S+) to .+")


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """Where HEAD is now; `branch` is None when it is detached.

    `left` is the commit HEAD was at if no branch or tag leads to it, `left_count` how many commits
    are reached from there only: nothing but the reflog keeps them. `reduced` are the files that
    were written at reduced precision.
    """

    branch: str | None
    commit: ObjectId | None
    written: int
    left: ObjectId | None = None
    left_count: int = 0
    reduced: tuple[str, ...] = ()
    # What the branch follows, `origin/main`, if going there made it.
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class How:
    """In which way files are written."""

    force: bool
    precision: int | None
    progress: Progress

    def __post_init__(self) -> None:
        check_precision(self.precision)


def switch(
    repo: Repository,
    branch: str,
    *,
    create: bool = False,
    replace: bool = False,
    start: str | None = None,
    force: bool = False,
    precision: int | None = None,
    progress: Progress = SILENT,
) -> SwitchResult:
    """Go to a branch, making it at `start` (default HEAD) if `create`.

    One that only a remote has is made, and follows that. With `replace`, too, a branch of this name
    is moved to `start`. Raises NegativeAnswer, and changes nothing, if that would lose uncommitted
    work. At `precision` 16, float words are written with their low bits zero; without it, files
    that are so get all their bits back.
    """
    how = How(force, precision, progress)
    if branch == "-" and not create:
        return _back(repo, how)
    full = BRANCHES + branch
    if create:
        check_branch(branch)
        if repo.refs.get(full) is not None and not replace:
            raise NegativeAnswer(
                f"branch {branch} exists already", hint=f"`mvc switch {branch}` goes there"
            )
        if start is None and repo.head_commit() is None:
            return _unborn(repo, branch)
        target = revisions.resolve(repo, start or "HEAD")
    else:
        found = repo.refs.get(full)
        if found is None:
            if repo.refs.head().ref == full:
                return SwitchResult(branch, None, 0)
            if offers := remotes.offered(repo, branch):
                return _taken_up(repo, branch, offers, how)
            raise NotFoundError(f"there is no branch {branch[:80]}", hint=_advice(repo, branch))
        target = found
    return _go(repo, target, full, branch, how, create=create)


def _taken_up(
    repo: Repository, branch: str, offers: list[tuple[remotes.Remote, str]], how: How
) -> SwitchResult:
    """Make a branch where the only remote has it, and let it follow that one."""
    check_branch(branch)
    if len(offers) > 1:
        names = [f"{remote.name}/{ref.removeprefix(BRANCHES)}" for remote, ref in offers]
        raise NotFoundError(
            f"there is no branch {branch[:80]} here, and more than one remote has it",
            hint=f"`mvc switch -c {branch[:80]} {names[0]}` takes one of {', '.join(names)}",
        )
    remote, ref = offers[0]
    local = remote.tracked(ref) or ""
    target = repo.refs.get(local)
    if target is None:
        raise NotFoundError(f"{remote.name} has no {branch[:80]} any more")
    done = _go(repo, target, BRANCHES + branch, branch, how, create=True)
    remotes.follow(repo, branch, remote.name, ref)
    return replace(done, follows=local.removeprefix(REMOTES))


def checkout(
    repo: Repository,
    revision: str,
    *,
    detach: bool = False,
    force: bool = False,
    precision: int | None = None,
    progress: Progress = SILENT,
) -> SwitchResult:
    """Go to a branch by its name, or to any other version with HEAD detached.

    `detach` leaves the branch in any case. `-` is where HEAD was before. For `precision` see
    `switch`.
    """
    how = How(force, precision, progress)
    if revision == "-":
        return _back(repo, how, detach=detach)
    ref = None
    if not detach:
        if repo.refs.get(BRANCHES + revision) is not None and not revision.startswith("refs/"):
            return switch(repo, revision, force=force, precision=precision, progress=progress)
        ref = repo.refs.head().ref if revision in ("HEAD", "@") else None
    target = revisions.resolve(repo, revision)
    name = ref.removeprefix(BRANCHES) if ref else revision
    return _go(repo, target, ref, name, how)


def move(
    repo: Repository,
    tree: Worktree,
    target: ObjectId,
    *,
    force: bool = False,
    precision: int | None = None,
    progress: Progress = SILENT,
) -> tuple[str, ...]:
    """Make the files those of `target`; NegativeAnswer if that would lose uncommitted work.

    Returns the files that were written.

    HEAD stays. A run that was cut off is completed by running it again: files that already have
    their new content are in nobody's way.
    """
    head, files = _head_files(tree), tree.files_of(target)
    if not force and (lost := tree.blockers(files, head, precision)):
        some = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise NegativeAnswer(
            f"uncommitted changes would be lost: {some}",
            hint="commit them, or `mvc restore FILE` or --force to drop them",
        )
    return tree.move_to(files, head, force=force, precision=precision, progress=progress)


def _go(
    repo: Repository,
    target: ObjectId,
    ref: str | None,
    name: str,
    how: How,
    *,
    create: bool = False,
) -> SwitchResult:
    # What nothing but this switch reaches must not be collected before HEAD does.
    with locked_worktree(repo) as tree, pinned(repo.scratch):
        merging.refuse(repo, "going elsewhere")
        before = _head(repo)
        written = move(
            repo, tree, target, force=how.force, precision=how.precision, progress=how.progress
        )
        reduced = tree.at_precision(written)
        if create and ref:
            old = repo.refs.get(ref)
            done = "created" if old is None else f"moved to {target.hex()[:12]}"
            repo.refs.update(ref, old, target, repo.change(old, target, f"branch: {done}"))
        change = repo.change(before.commit, target, _moving(before, name))
        if ref is None or before.ref != ref or before.commit != target:
            repo.refs.set_head(ref or target, change)
    count = _left_behind(repo, before, target)
    left = before.commit if count else None
    return SwitchResult(
        ref.removeprefix(BRANCHES) if ref else None, target, len(written), left, count, reduced
    )


def _moving(before: Head, name: str) -> str:
    start = before.branch or (before.commit.hex()[:12] if before.commit else "nowhere")
    return f"checkout: moving from {start} to {name[:80]}"


def _back(repo: Repository, how: How, *, detach: bool = False) -> SwitchResult:
    """Go where HEAD was before it came to where it is."""
    for change in repo.refs.history(keys.HEAD):
        if moved := _MOVED.fullmatch(change.reason):
            name = moved.group(1)
            if change.old and change.old.hex().startswith(name):
                name = change.old.hex()
            return checkout(
                repo,
                name,
                detach=detach,
                force=how.force,
                precision=how.precision,
                progress=how.progress,
            )
    raise NotFoundError("HEAD has been nowhere else yet", hint="`mvc branch` lists the branches")


def _left_behind(repo: Repository, before: Head, target: ObjectId) -> int:
    """Count the commits of a detached HEAD that nothing but the reflog leads to now."""
    if before.ref is not None or before.commit is None or before.commit == target:
        return 0
    tips = [target]
    for tip in repo.refs.all().values():
        with suppress(MvcError):
            tips.append(revisions.peel(repo, tip))
    # What is damaged cannot be counted, and HEAD has moved already.
    with suppress(MvcError):
        return sum(1 for _ in walk(repo, [before.commit], tips))
    return 0


def _advice(repo: Repository, name: str) -> str:
    try:
        revisions.resolve(repo, name)
    except MvcError:
        return f"`mvc switch -c {name[:80]}` makes it"
    return f"`mvc switch --detach {name[:80]}` goes to that version"


def _head(repo: Repository) -> Head:
    try:
        return repo.refs.head()
    except IntegrityError:
        # Going elsewhere is how a damaged HEAD is mended.
        return Head(None, None)


def _head_files(tree: Worktree) -> dict[str, Entry]:
    try:
        return tree.head_files()
    except IntegrityError:
        # Nothing is known to be unchanged then, so every file that differs is in the way.
        return {}


def _unborn(repo: Repository, branch: str) -> SwitchResult:
    change = repo.change(None, None, _moving(repo.refs.head(), branch))
    repo.refs.set_head(BRANCHES + branch, change)
    return SwitchResult(branch, None, 0)
