"""Move the working copy to another version."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from mvc.base.errors import IntegrityError, MvcError, NegativeAnswer, NotFoundError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import revisions
from mvc.repo.history import walk
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, Head
from mvc.repo.repository import Repository
from mvc.repo.worktree import Worktree, locked_worktree


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """Where HEAD is now; `branch` is None when it is detached.

    `left` is the commit HEAD was at if no branch or tag leads to it: only the reflog keeps it.
    """

    branch: str | None
    commit: ObjectId | None
    written: int
    left: ObjectId | None = None


def switch(
    repo: Repository,
    branch: str,
    *,
    create: bool = False,
    start: str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> SwitchResult:
    """Go to a branch, making it at `start` (default HEAD) if `create`.

    Raises NegativeAnswer, and changes nothing, if that would lose uncommitted work.
    """
    full = BRANCHES + branch
    if create:
        check_branch(branch)
        if repo.refs.get(full) is not None:
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
            raise NotFoundError(f"there is no branch {branch[:80]}", hint=_advice(repo, branch))
        target = found
    return _go(repo, target, full, force=force, create=create, progress=progress)


def checkout(
    repo: Repository, revision: str, *, force: bool = False, progress: Progress = SILENT
) -> SwitchResult:
    """Go to a branch by its name, or to any other version with HEAD detached."""
    if repo.refs.get(BRANCHES + revision) is not None and not revision.startswith("refs/"):
        return switch(repo, revision, force=force, progress=progress)
    if revision in ("HEAD", "@"):
        target = revisions.resolve(repo, revision)
        return _go(repo, target, repo.refs.head().ref, force=force, progress=progress)
    return _go(repo, revisions.resolve(repo, revision), None, force=force, progress=progress)


def move(
    repo: Repository,
    tree: Worktree,
    target: ObjectId,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Make the files those of `target`; NegativeAnswer if that would lose uncommitted work.

    HEAD stays. A run that was cut off is completed by running it again: files that already have
    their new content are in nobody's way.
    """
    head, files = _head_files(tree), tree.files_of(target)
    if not force and (lost := tree.blockers(files, head)):
        some = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        raise NegativeAnswer(
            f"uncommitted changes would be lost: {some}",
            hint="commit them, or `mvc restore FILE` or --force to drop them",
        )
    return tree.move_to(files, head, force=force, progress=progress)


def _go(
    repo: Repository,
    target: ObjectId,
    ref: str | None,
    *,
    force: bool,
    create: bool = False,
    progress: Progress,
) -> SwitchResult:
    with locked_worktree(repo) as tree:
        before = _head(repo)
        written = move(repo, tree, target, force=force, progress=progress)
        name = ref.removeprefix(BRANCHES) if ref else target.hex()[:12]
        if create and ref:
            repo.refs.update(ref, None, target, repo.change(None, target, "branch: created"))
        change = repo.change(before.commit, target, f"checkout: moving to {name}")
        if ref is None or before.ref != ref or before.commit != target:
            repo.refs.set_head(ref or target, change)
    left = _left_behind(repo, before, target) if before.ref is None else None
    return SwitchResult(ref.removeprefix(BRANCHES) if ref else None, target, written, left)


def _left_behind(repo: Repository, before: Head, target: ObjectId) -> ObjectId | None:
    """Return the commit a detached HEAD was at if nothing but the reflog leads to it now."""
    if before.commit is None or before.commit == target:
        return None
    tips = [target]
    for tip in repo.refs.all().values():
        with suppress(MvcError):
            tips.append(revisions.peel(repo, tip))
    reachable = any(version.id == before.commit for version in walk(repo, tips))
    return None if reachable else before.commit


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
    repo.refs.set_head(BRANCHES + branch, repo.change(None, None, f"checkout: new {branch}"))
    return SwitchResult(branch, None, 0)
