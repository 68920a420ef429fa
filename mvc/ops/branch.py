"""List, create, rename and delete branches."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.base.ids import ObjectId
from mvc.repo import remotes, revisions
from mvc.repo.history import is_ancestor
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, REMOTES
from mvc.repo.repository import Repository
from mvc.repo.tracking import Tracking, tracking
from mvc.store.locks import pinned


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch; `subject` is the first line of its last commit's message.

    `upstream` is how it stands to what it follows; it is looked up where that was asked for.
    """

    name: str
    commit: ObjectId
    current: bool
    subject: str
    upstream: Tracking | None = None


def branches(repo: Repository, *, upstreams: bool = False) -> tuple[Branch, ...]:
    """Return all branches in order of their names."""
    current = repo.refs.head().ref
    return tuple(
        Branch(
            name := ref.removeprefix(BRANCHES),
            commit,
            ref == current,
            _subject(repo, commit),
            tracking(repo, name, commit) if upstreams else None,
        )
        for ref, commit in repo.refs.all(BRANCHES).items()
    )


def remote_branches(repo: Repository) -> tuple[Branch, ...]:
    """Return the branches of remotes as they were seen last, in order: `origin/main`."""
    return tuple(
        Branch(ref.removeprefix(REMOTES), commit, False, _subject(repo, commit))
        for ref, commit in repo.refs.all(REMOTES).items()
    )


def follow(repo: Repository, name: str | None, upstream: str | None) -> remotes.Upstream | None:
    """Let a branch (None: the current one) follow `origin/main`, or nothing any more."""
    branch = name or repo.refs.head().branch
    if branch is None:
        raise NegativeAnswer("HEAD is at no branch", hint="name the branch that is to follow")
    if branch != repo.refs.head().branch:
        _existing(repo, branch)
    if upstream is None:
        remotes.forget_branch(repo, branch)
        return None
    remote, _, rest = upstream.partition("/")
    found = remotes.find(repo, remote)
    if not rest or repo.refs.get(found.tracking + rest) is None:
        raise NotFoundError(
            f"nothing was seen of {upstream[:80]!r}", hint=f"`mvc fetch {remote}` looks for it"
        )
    remotes.follow(repo, branch, remote, BRANCHES + rest)
    return remotes.upstream(repo, branch)


def _subject(repo: Repository, commit: ObjectId) -> str:
    return repo.commit(commit).message.partition("\n")[0]


def create(repo: Repository, name: str, start: str = "HEAD") -> ObjectId:
    """Make a branch at a revision and return its commit."""
    ref = BRANCHES + check_branch(name)
    _check_free(repo, name)
    # What no ref reached so far must not be collected before this one does.
    with pinned(repo.scratch):
        commit = revisions.resolve(repo, start)
        repo.refs.update(ref, None, commit, repo.change(None, commit, f"branch: from {start}"))
    return commit


def delete(repo: Repository, name: str, *, force: bool = False) -> ObjectId:
    """Delete a branch and return where it was.

    Raises NegativeAnswer for the current branch and, unless `force`, for one whose commits HEAD
    does not have.
    """
    commit = _existing(repo, name)
    head = repo.refs.head()
    if head.branch == name:
        raise NegativeAnswer(
            f"{name!r} is the current branch", hint="`mvc switch OTHER` leaves it first"
        )
    if not force and (head.commit is None or not is_ancestor(repo, commit, head.commit)):
        raise NegativeAnswer(
            f"{name!r} has commits that HEAD does not have",
            hint=f"`mvc branch -D {name}` deletes it anyway",
        )
    ref = BRANCHES + name
    repo.refs.update(ref, commit, None, repo.change(commit, None, "branch: deleted"))
    remotes.forget_branch(repo, name)
    return commit


def rename(repo: Repository, old: str | None, new: str) -> str:
    """Rename a branch, the current one if `old` is None; return its old name."""
    check_branch(new)
    head = repo.refs.head()
    name = old or head.branch
    if name is None:
        raise NegativeAnswer("HEAD is at no branch", hint="`mvc branch -m OLD NEW` names one")
    _check_free(repo, new)
    reason = f"branch: renamed {name} to {new}"
    if head.branch == name and head.commit is None:
        repo.refs.set_head(BRANCHES + new, repo.change(None, None, reason))
        remotes.rename_branch(repo, name, new)
        return name
    commit = _existing(repo, name)
    change = repo.change(commit, commit, reason)
    repo.refs.rename(BRANCHES + name, BRANCHES + new, change)
    remotes.rename_branch(repo, name, new)
    return name


def _check_free(repo: Repository, name: str) -> None:
    if repo.refs.get(BRANCHES + name) is not None:
        raise NegativeAnswer(
            f"there is a branch {name!r} already", hint=f"`mvc switch {name}` goes to it"
        )


def _existing(repo: Repository, name: str) -> ObjectId:
    commit = repo.refs.get(BRANCHES + check_branch(name))
    if commit is None:
        raise NotFoundError(f"there is no branch {name!r}", hint="`mvc branch` lists them")
    return commit
