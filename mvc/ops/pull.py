"""Fetch, then take the current branch along."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import NegativeAnswer, NotFoundError, RemoteMovedError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.ops.checkout import move
from mvc.ops.fetch import FetchRequest, FetchResult, fetch
from mvc.ops.links import Access
from mvc.repo import merging, remotes
from mvc.repo.refs import BRANCHES, Head, short
from mvc.repo.repository import Repository
from mvc.repo.tracking import ahead_behind
from mvc.repo.worktree import locked_worktree
from mvc.store.locks import pinned


@dataclass(frozen=True, slots=True)
class PullResult:
    """What came, and where the branch is now.

    `status` is `same`, `ahead` (it has all and more), `forward`, or `new` for a first version.
    `reduced` are the files that were written at reduced precision.
    """

    fetched: FetchResult
    branch: str
    upstream: str
    old: ObjectId | None
    commit: ObjectId
    status: str
    written: int = 0
    reduced: tuple[str, ...] = ()


def pull(
    repo: Repository,
    request: FetchRequest,
    branch: str | None = None,
    access: Access | None = None,
    progress: Progress = SILENT,
) -> PullResult:
    """Fetch, and move the current branch and its files forward to `branch` there.

    By default that is what it follows, else the branch of its name. Raises NegativeAnswer where
    both have versions that the other lacks, or uncommitted work would be lost.
    """
    head = repo.refs.head()
    if head.branch is None:
        raise NegativeAnswer("HEAD is at no branch", hint="`mvc switch BRANCH` goes to one first")
    if repo.worktree is None:
        raise NegativeAnswer("a bare repository has no files to update", hint="`mvc fetch`")
    found = fetch(repo, request, access, progress)
    local = _followed(repo, head.branch, found, branch)
    target = repo.refs.get(local)
    if target is None:
        raise NotFoundError(
            f"{found.remote} has no {short(local).removeprefix(found.remote + '/')!r}",
            hint=f"`mvc push` sends this one; `mvc ls-remote {found.remote}` lists what is there",
        )
    return forward(repo, found, head, local, target, progress)


def forward(
    repo: Repository,
    found: FetchResult,
    head: Head,
    local: str,
    target: ObjectId,
    progress: Progress = SILENT,
    verb: str = "pull",
) -> PullResult:
    """Move the branch that HEAD is at, and its files, forward to a version that was fetched.

    Where lower bits stay at the remote, files are written without them.
    """
    branch, name = head.branch or "", short(local)
    if head.commit == target:
        return PullResult(found, branch, name, head.commit, target, "same")
    if head.commit is not None:
        ahead, behind = ahead_behind(repo, head.commit, target)
        if not behind:
            return PullResult(found, branch, name, head.commit, head.commit, "ahead")
        if ahead:
            raise NegativeAnswer(
                f"{branch} and {name} have diverged: {ahead} here, {behind} there",
                hint=f"`mvc log {branch}...{name}` shows both, `mvc merge {name}` merges them",
            )
    with locked_worktree(repo) as tree, pinned(repo.scratch):
        merging.refuse(repo, f"this {verb}")
        if repo.refs.head() != head:
            raise RemoteMovedError("HEAD was moved meanwhile", hint="run it again")
        precision = remotes.find(repo, found.remote).precision
        written = move(repo, tree, target, precision=precision, progress=progress)
        reduced = tree.at_precision(written)
        repo.advance(head.commit, target, f"{verb}: forward to {name}")
    status = "forward" if head.commit is not None else "new"
    return PullResult(found, branch, name, head.commit, target, status, len(written), reduced)


def _followed(repo: Repository, branch: str, found: FetchResult, wanted: str | None) -> str:
    """Return the ref here that the branch is to be moved to."""
    remote = remotes.find(repo, found.remote)
    if wanted is not None:
        return remote.tracking + wanted.removeprefix(BRANCHES)
    followed = remotes.upstream(repo, branch)
    if followed is not None and followed.remote == remote.name:
        return followed.local
    own = remote.tracked(remote.pushed(BRANCHES + branch)) or ""
    return own if repo.refs.get(own) is not None else remote.tracking + branch
