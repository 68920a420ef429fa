"""Set a device up: who it is, where it pushes to, and the release that it starts from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mvc.base.errors import MvcError, NegativeAnswer, UsageError
from mvc.base.progress import SILENT, Progress
from mvc.ops import token_files
from mvc.ops.fetch import FetchRequest, FetchResult, fetch
from mvc.ops.links import Access, located
from mvc.ops.pull import PullResult, forward
from mvc.repo import remotes
from mvc.repo.config import Value
from mvc.repo.refs import BRANCHES, DEFAULT_BRANCH
from mvc.repo.remotes import DEFAULT, Remote
from mvc.repo.repository import Repository

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What a device is called and where it pushes to.

    `began` is what its files were taken from; `left` says why they were not, though there is
    something. `fetched` is None where the remote was not asked.
    """

    name: str
    url: str
    prefix: str
    token_file: str | None
    fetched: FetchResult | None = None
    began: PullResult | None = None
    left: str | None = None


def init(
    repo: Repository,
    name: str,
    url: str,
    *,
    token_file: str | None = None,
    fetching: bool = True,
    access: Access | None = None,
    progress: Progress = SILENT,
) -> DeviceResult:
    """Write the settings of a device; done again, it changes what differs.

    A token that the caller brings along is kept in a file of the repository that only its owner
    can read, one in `token_file` stays there. Where there are no versions yet, the files become
    those that this device had pushed before, else those of the release, `main`.
    """
    access = access or Access()
    prefix = _prefix(name)
    address = str(located(url, access.here))
    kept = _token(repo, token_file, access, address)
    values: dict[tuple[str, ...], Value | None] = {
        ("user", "name"): name,
        ("remote", DEFAULT, "url"): address,
        ("remote", DEFAULT, "prefix"): prefix,
        ("remote", DEFAULT, "token_file"): kept,
        ("remote", DEFAULT, "token_origin"): token_files.origin(address) if kept else None,
    }
    repo.config.change(values, "repository", repo.scratch)
    branch = repo.refs.head().branch
    if branch is not None:
        remotes.follow(repo, branch, DEFAULT, f"{BRANCHES}{prefix}{branch}")
    if not fetching:
        return DeviceResult(name, address, prefix, kept)
    try:
        found = fetch(repo, FetchRequest(DEFAULT), access, progress)
    except MvcError as error:
        error.hint = f"the settings are written; `mvc fetch` goes on{_also(error)}"
        raise
    began, left = _begin(repo, found, progress)
    return DeviceResult(name, address, prefix, kept, found, began, left)


def _also(error: MvcError) -> str:
    return f"; {error.hint}" if error.hint else ""


def _prefix(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:80]!r} cannot be the name of a device",
            hint="use letters, digits, '-', '_' and '.', for example cam-07",
        )
    return remotes.check_prefix(f"devices/{name}/")


def _token(repo: Repository, token_file: str | None, access: Access, url: str) -> str | None:
    """Return the file that the token is read from, which is made where that is needed."""
    if token_file is not None:
        token_files.check(repo, token_file)
        token_files.bind(repo, token_file, url)
        return token_file
    if access.token is None:
        return repo.config.text(f"remote.{DEFAULT}.token_file")
    return token_files.keep(repo, DEFAULT, access.token, url)


def _begin(
    repo: Repository, found: FetchResult, progress: Progress
) -> tuple[PullResult | None, str | None]:
    head = repo.refs.head()
    if head.branch is None or head.commit is not None or repo.worktree is None:
        return None, None
    remote: Remote = remotes.find(repo, found.remote)
    own = remote.tracked(remote.pushed(BRANCHES + head.branch)) or ""
    for local in (own, remote.tracking + DEFAULT_BRANCH):
        target = repo.refs.get(local)
        if target is not None:
            try:
                return forward(repo, found, head, local, target, progress, "device"), None
            except NegativeAnswer as error:
                return None, error.message
    return None, None
