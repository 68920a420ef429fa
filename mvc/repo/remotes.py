"""Remotes: other repositories by name, how their refs are called here, and what branches follow.

[remote.origin]              url = "..."  prefix = "devices/cam-07/"  token_file = "..."
                             precision = 16
[branch.main]                remote = "origin"  merge = "refs/heads/devices/cam-07/main"

A branch `X` there is `refs/remotes/NAME/X` here. Tags have one name on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mvc.base.dtypes import REDUCED_BITS
from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.repo.config import Value
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, REMOTES, TAGS
from mvc.repo.repository import Repository

DEFAULT = "origin"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remote:
    """Another repository; `prefix` stands before the names of branches that are pushed there.

    With `precision` the lower bits of what is fetched stay there.
    """

    name: str
    url: str
    prefix: str = ""
    token_file: str | None = None
    precision: int | None = None

    @property
    def tracking(self) -> str:
        """What the refs start with that tell where its branches were seen last."""
        return f"{REMOTES}{self.name}/"

    def tracked(self, ref: str) -> str | None:
        """Return the ref that remembers a branch of it, None for anything but a branch."""
        if not ref.startswith(BRANCHES):
            return None
        return self.tracking + ref.removeprefix(BRANCHES)

    def pushed(self, ref: str) -> str:
        """Return what a branch or a tag of ours is called there."""
        if ref.startswith(BRANCHES):
            return BRANCHES + self.prefix + ref.removeprefix(BRANCHES)
        return ref


@dataclass(frozen=True, slots=True)
class Upstream:
    """What a branch follows: a ref of a remote, and the ref here that remembers where it is."""

    remote: str
    ref: str
    local: str

    @property
    def name(self) -> str:
        """What people call it: `origin/main`."""
        return self.local.removeprefix(REMOTES)


def check_remote(name: str) -> str:
    """Return a text that can be the name of a remote, or raise UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a remote",
            hint="use letters, digits, '-' and '_', for example origin",
        )
    return name


def check_prefix(prefix: str) -> str:
    """Return a text that can stand before names of branches, or raise UsageError."""
    if prefix and not prefix.endswith("/"):
        raise UsageError(
            f"the prefix {prefix[:80]!r} does not end with '/'", hint="for example devices/cam-07/"
        )
    if prefix:
        check_branch(prefix + "x")
    return prefix


def check_ref(ref: str) -> str:
    """Return the full name of a branch or tag that a peer sent, or raise FormatError."""
    for start in (BRANCHES, TAGS):
        if ref.startswith(start):
            try:
                check_branch(ref.removeprefix(start))
            except UsageError as error:
                raise FormatError(f"a ref has a name that cannot be: {ref[:80]!r}") from error
            return ref
    raise FormatError(f"not a branch or tag: {ref[:80]!r}")


def remotes(repo: Repository) -> list[Remote]:
    """Return the remotes in order of their names."""
    urls = repo.config.named("remote", "url")
    return [_read(repo, name, urls[name]) for name in sorted(urls) if _NAME.fullmatch(name)]


def find(repo: Repository, name: str) -> Remote:
    """Return a remote by its name, or raise NotFoundError."""
    url = repo.config.text(f"remote.{name}.url") if _NAME.fullmatch(name) else None
    if url is None:
        known = ", ".join(remote.name for remote in remotes(repo))
        way = f"there is {known}" if known else f"`mvc remote add {DEFAULT} URL` makes one"
        raise NotFoundError(f"there is no remote {name[:80]!r}", hint=way)
    return _read(repo, name, url)


def usual(repo: Repository, branch: str | None = None) -> Remote:
    """Return the remote that is meant where none is named, or raise NotFoundError.

    That of the branch's upstream, else `origin`, else the only one.
    """
    if branch is not None and (followed := upstream(repo, branch)) is not None:
        return find(repo, followed.remote)
    known = remotes(repo)
    if len(known) == 1:
        return known[0]
    return find(repo, DEFAULT)


def add(repo: Repository, remote: Remote) -> None:
    """Write the settings of a new remote; NegativeAnswer if the name is taken."""
    check_remote(remote.name)
    check_prefix(remote.prefix)
    if repo.config.text(f"remote.{remote.name}.url") is not None:
        raise NegativeAnswer(
            f"there is a remote {remote.name!r} already",
            hint=f"`mvc remote set-url {remote.name} URL` changes where it is",
        )
    values: dict[str, Value | None] = {
        "url": remote.url,
        "prefix": remote.prefix or None,
        "token_file": remote.token_file,
        "precision": remote.precision,
    }
    _write(repo, {("remote", remote.name, key): value for key, value in values.items()})


def set_url(repo: Repository, name: str, url: str) -> None:
    """Change where a remote is; what was seen of it stays until the next fetch."""
    find(repo, name)
    _write(repo, {("remote", name, "url"): url})


def set_precision(repo: Repository, name: str, precision: int | None) -> None:
    """Say whether the lower bits of what is fetched stay at a remote."""
    find(repo, name)
    _write(repo, {("remote", name, "precision"): precision})


def remove(repo: Repository, name: str) -> list[str]:
    """Forget a remote, what was seen of it and who follows it; return the branches that did.

    Lower bits that are there are read by its address from now on.
    """
    remote = find(repo, name)
    repo.offloaded.move(name, remote.url)
    followers = _followers(repo, name)
    values: dict[tuple[str, ...], Value | None] = {("remote", name): None}
    for branch in followers:
        values |= {("branch", branch, key): None for key in ("remote", "merge")}
    repo.refs.update_many(
        (ref, target, None, repo.change(target, None, "remote: removed"))
        for ref, target in repo.refs.all(remote.tracking).items()
    )
    _write(repo, values)
    return followers


def rename(repo: Repository, old: str, new: str) -> None:
    """Give a remote another name, also where it is remembered or followed."""
    remote = find(repo, old)
    add(repo, replace(remote, name=new))
    server = repo.config.text(f"remote.{old}.token_origin")
    _write(repo, {("remote", new, "token_origin"): server})
    moved = find(repo, new)
    repo.offloaded.move(old, new)
    reason = f"remote: renamed {old} to {new}"
    for ref, target in repo.refs.all(remote.tracking).items():
        name = moved.tracking + ref.removeprefix(remote.tracking)
        repo.refs.rename(ref, name, repo.change(target, target, reason))
    values: dict[tuple[str, ...], Value | None] = {("remote", old): None}
    values |= {("branch", branch, "remote"): new for branch in _followers(repo, old)}
    _write(repo, values)


def upstream(repo: Repository, branch: str) -> Upstream | None:
    """Return what a branch follows, None if nothing is configured that makes sense."""
    name = repo.config.text(f"branch.{branch}.remote")
    ref = repo.config.text(f"branch.{branch}.merge")
    if name is None or ref is None or not _NAME.fullmatch(name):
        return None
    local = Remote(name, "").tracked(ref)
    return None if local is None else Upstream(name, ref, local)


def follow(repo: Repository, branch: str, remote: str, ref: str) -> None:
    """Let a branch follow a ref of a remote."""
    check_branch(branch)
    _write(
        repo, {("branch", branch, "remote"): remote, ("branch", branch, "merge"): check_ref(ref)}
    )


def offered(repo: Repository, branch: str) -> list[tuple[Remote, str]]:
    """Return the remotes that were seen to have a branch, and the ref it has there.

    What a remote keeps under its prefix is ours, so it comes before what others call the same.
    """
    found = []
    for remote in remotes(repo):
        for ref in dict.fromkeys((remote.pushed(BRANCHES + branch), BRANCHES + branch)):
            local = remote.tracked(ref)
            if local is not None and repo.refs.get(local) is not None:
                found.append((remote, ref))
                break
    return found


def forget_branch(repo: Repository, branch: str) -> None:
    """Drop what a branch follows."""
    if upstream(repo, branch) is not None:
        _write(repo, {("branch", branch): None})


def rename_branch(repo: Repository, old: str, new: str) -> None:
    """Let a branch of a new name follow what it followed under its old one."""
    if (followed := upstream(repo, old)) is not None:
        follow(repo, new, followed.remote, followed.ref)
        forget_branch(repo, old)


def seen(repo: Repository, remote: Remote) -> dict[str, ObjectId]:
    """Return where the branches of a remote were seen last, by their full names there."""
    return {
        BRANCHES + ref.removeprefix(remote.tracking): target
        for ref, target in repo.refs.all(remote.tracking).items()
    }


def _followers(repo: Repository, remote: str) -> list[str]:
    return sorted(
        branch for branch, name in repo.config.named("branch", "remote").items() if name == remote
    )


def _read(repo: Repository, name: str, url: str) -> Remote:
    config = repo.config
    prefix = config.text(f"remote.{name}.prefix") or ""
    bits = config.get(f"remote.{name}.precision")
    token_file = config.text(f"remote.{name}.token_file")
    precision = REDUCED_BITS if bits == REDUCED_BITS else None
    return Remote(name, url, check_prefix(prefix), token_file, precision)


def _write(repo: Repository, values: Mapping[tuple[str, ...], Value | None]) -> None:
    repo.config.change(values, "repository", repo.scratch)
