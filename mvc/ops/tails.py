"""How lower bits that a remote holds are reached."""

from __future__ import annotations

from contextlib import ExitStack

from mvc.ops.links import Access, meant, opened
from mvc.repo import remotes
from mvc.repo.refs import TAGS
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.store.tails import TailSource
from mvc.sync.link import Link
from mvc.sync.remote_tails import RemoteTails


def let_ask(repo: Repository, access: Access) -> None:
    """Let whatever needs lower bits ask remotes for them, unless that was settled before."""
    if repo.opener is None:
        repo.opener = lambda where: source(repo, where, access)


def source(repo: Repository, where: str, access: Access) -> TailSource:
    """Return who gives chunks that are at a remote, named or by its address.

    Nothing is asked before a chunk is needed. Raises NotFoundError where there is no such remote.
    """
    return source_of(repo, meant(repo, where, access.here), access)


def source_of(repo: Repository, remote: Remote, access: Access) -> TailSource:
    """Return who gives chunks that are at a remote."""

    def link(stack: ExitStack) -> Link:
        return stack.enter_context(opened(repo, remote, access))

    likely = [*remotes.seen(repo, remote).values(), *repo.refs.all(TAGS).values()]
    return RemoteTails(repo, link, likely if remote.name else ())
