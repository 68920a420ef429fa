"""Who can hold lower bits instead of this repository: one at a path, or a remote."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from mvc.base import fileio
from mvc.base.errors import NotAllowedError, NotFoundError, StorageError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.ops.links import Access, opened
from mvc.ops.tails import source_of
from mvc.repo.names import FOLDER
from mvc.repo.reach import Reach
from mvc.repo.refs import BRANCHES
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository, is_repository
from mvc.storage import keys
from mvc.store.locks import pinned
from mvc.store.tails import StoreSource, TailSource
from mvc.sync.fetch import plan_of
from mvc.sync.limits import MAX_BASES
from mvc.sync.link import Link
from mvc.sync.listing import listed


class Holder(Protocol):
    """Another repository as a place for lower bits; `where` is what it is listed as."""

    where: str
    source: TailSource

    def has(self, wanted: ObjectId) -> bool:
        """Tell whether it says that it has a chunk."""
        ...

    def needs(self, wanted: ObjectId) -> bool:
        """Tell whether a branch or tag there needs a chunk, which then stays."""
        ...


class _Path:
    def __init__(self, other: Repository, progress: Progress) -> None:
        self.where = str(other.folder)
        self.source: TailSource = StoreSource(other.store)
        other.store.refresh()
        self._store = other.store
        self._needed = _needed(other, progress)

    def has(self, wanted: ObjectId) -> bool:
        return self._store.contains(wanted)

    def needs(self, wanted: ObjectId) -> bool:
        return wanted in self._needed


class _Remote:
    def __init__(self, where: str, source: TailSource, chunks: set[ObjectId]) -> None:
        self.where = where
        self.source = source
        self._chunks = chunks

    def has(self, wanted: ObjectId) -> bool:
        return wanted in self._chunks

    def needs(self, wanted: ObjectId) -> bool:
        return wanted in self._chunks


@contextmanager
def at_path(repo: Repository, target: Path, progress: Progress = SILENT) -> Iterator[Holder]:
    """Return a repository on this machine as a holder, of what it holds itself.

    Raises NotFoundError if there is none, UsageError if it is this one.
    """
    with other_repository(repo, target) as other, kept(other):
        yield _Path(other, progress)


@contextmanager
def at_remote(
    repo: Repository, remote: Remote, access: Access, progress: Progress = SILENT
) -> Iterator[Holder]:
    """Return a remote as a holder of what its branches and tags lead to.

    Raises UsageError if it is this repository, and failures of the link.
    """
    with opened(repo, remote, access) as link:
        _check_other(repo, remote, link)
        listing = listed(link)
        targets = list(dict.fromkeys(listing.refs.values()))
        progress.start("asking for its versions", len(targets))
        chunks: set[ObjectId] = set()
        for at in range(0, len(targets), MAX_BASES):
            group = targets[at : at + MAX_BASES]
            chunks.update(item.id for item in plan_of(link, group) if item.kind == "chunk")
            progress.advance(len(group))
        progress.finish()
    with closing(source_of(repo, remote, access)) as source:
        yield _Remote(remote.name or remote.url, source, chunks)


def _check_other(repo: Repository, remote: Remote, link: Link) -> None:
    """Raise UsageError if a branch that is made here is seen there: they are the same then."""
    head = repo.head_commit() or next(iter(_commits(repo)), None)
    if head is None:
        return
    name = remote.pushed(f"{BRANCHES}mvc-offload-{secrets.token_hex(8)}")
    repo.refs.update(name, None, head, repo.change(None, head, "offload: a look from outside"))
    try:
        seen = listed(link, (name,)).refs
    finally:
        repo.refs.update(name, head, None, repo.change(head, None, "offload"))
    if seen:
        raise UsageError(
            f"{remote.name or remote.url} is this repository itself",
            hint="name another one that has it",
        )


def _commits(repo: Repository) -> Sequence[ObjectId]:
    found = repo.refs.all(BRANCHES).values()
    return [item for item in found if repo.store.kind(item) == "commit"]


@contextmanager
def other_repository(repo: Repository, target: Path) -> Iterator[Repository]:
    """Open the repository at a path, such that it answers only from what it holds itself."""
    folder = target / FOLDER if is_repository(target / FOLDER) else target
    if not is_repository(folder):
        raise NotFoundError(
            f"there is no repository at {target}",
            hint="name the folder of a bare repository, or that of a working copy",
        )
    folder = folder.resolve()
    if _is_same(repo.folder, folder):
        raise UsageError(f"{target} is this repository itself", hint="name another one that has it")
    source = Repository(folder, None, repo.environment)
    try:
        source.store.tails = None
        yield source
    finally:
        source.close()


def _is_same(one: Path, other: Path) -> bool:
    """Tell whether two folders hold the same packs, under whatever names."""
    if one.resolve() == other.resolve() or (one / "packs").resolve() == (other / "packs").resolve():
        return True
    return fileio.stat_file(one / keys.FORMAT) == fileio.stat_file(other / keys.FORMAT)


@contextmanager
def kept(other: Repository) -> Iterator[None]:
    """Keep the packs of the other side while inside; on a read-only disk nobody removes them."""
    pin = pinned(other.scratch)
    entered = False
    with suppress(NotAllowedError, StorageError):
        pin.__enter__()
        entered = True
    try:
        yield
    finally:
        if entered:
            pin.__exit__(None, None, None)


def _needed(repo: Repository, progress: Progress) -> set[ObjectId]:
    """Return what branches and tags reach: what stays whatever is collected."""
    starts = list(repo.refs.all().values())
    if not starts:
        return set()
    progress.start("looking at its versions", sum(repo.store.index.counts().values()))
    reach = Reach(repo, progress)
    reach.extend(starts)
    progress.finish()
    return reach.seen
