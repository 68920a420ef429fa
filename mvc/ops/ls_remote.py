"""List what a remote has, bringing nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mvc.base.errors import UsageError
from mvc.base.ids import ObjectId
from mvc.ops.links import Access, located, meant, opened, opened_outside
from mvc.repo.refs import BRANCHES, TAGS, short
from mvc.repo.repository import Environment, Repository
from mvc.sync.listing import EVERYTHING, listed


@dataclass(frozen=True, slots=True)
class RemoteRefs:
    """The branches and tags of a remote by full name, and the branch that is current there."""

    url: str
    refs: dict[str, ObjectId]
    head: str | None


def ls_remote(
    repo: Repository | Environment,
    remote: str | None,
    patterns: Iterable[str] = (),
    *,
    heads: bool = False,
    tags: bool = False,
    access: Access | None = None,
) -> RemoteRefs:
    """Ask a remote, by its name or address, for branches (`heads`), `tags`, or both.

    Outside every repository, which its environment stands for then, only by its address. Patterns
    are globs over short or full names.
    """
    access = access or Access()
    globs = tuple(patterns)
    prefixes = (BRANCHES,) * heads + (TAGS,) * tags or EVERYTHING
    if isinstance(repo, Repository):
        found = meant(repo, remote, access.here)
        url = found.url
        with opened(repo, found, access) as link:
            listing = listed(link, prefixes)
    else:
        if remote is None:
            raise UsageError("which repository is meant?", hint="mvc ls-remote ADDRESS")
        url = str(located(remote, access.here))
        with opened_outside(url, repo, access) as link:
            listing = listed(link, prefixes)
    refs = {
        name: target
        for name, target in listing.refs.items()
        if not globs
        or any(fnmatchcase(text, glob) for text in (name, short(name)) for glob in globs)
    }
    return RemoteRefs(url, refs, listing.head)
