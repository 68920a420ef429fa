"""The newest heads of other branches and tags, found without reading thousands of refs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.repo.likeness import natural
from mvc.repo.refs import BRANCHES, DEFAULT_BRANCH, TAGS
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel

REFS_READ = 24


def newest(repo: Repository, count: int) -> list[ObjectId]:
    """Return the trees of the newest versions that other branches and tags are at, newest first.

    Of many refs only some are read: the default branch, the branches named most like the
    current one, and the highest tags.
    """
    here = repo.refs.head()
    found: dict[ObjectId, int] = {}
    for name in _promising(repo, here.ref):
        try:
            target = repo.refs.get(name)
            if target is None or (version := peel(repo, target)) == here.commit:
                continue
            commit = repo.commit(version)
        except MvcError:
            continue
        found[commit.tree] = max(commit.time, found.get(commit.tree, 0))
    return sorted(found, key=lambda tree: -found[tree])[:count]


def _promising(repo: Repository, current: str | None) -> Iterator[str]:
    names = [name for name in repo.refs.names() if name != current]
    branches = [name for name in names if name.startswith(BRANCHES)]
    tags = [name for name in names if name.startswith(TAGS)]
    if len(branches) + len(tags) <= REFS_READ:
        yield from (*branches, *tags)
        return
    default = BRANCHES + DEFAULT_BRANCH
    if default in branches:
        yield default
        branches.remove(default)
    at = bisect_left(branches, current or default)
    yield from branches[max(0, at - REFS_READ // 4) : at + REFS_READ // 4]
    yield from sorted(tags, key=natural)[-(REFS_READ // 2 - 1) :]
