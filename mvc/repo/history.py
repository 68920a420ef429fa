"""Walking commits, newest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class Version:
    """A commit with its id."""

    id: ObjectId
    commit: Commit


def walk(
    repo: Repository, starts: Iterable[ObjectId], excluded: Iterable[ObjectId] = ()
) -> Iterator[Version]:
    """Yield the commits reachable from `starts` but not from `excluded`, newest first.

    Lazy: the first few cost only what they need. Where clocks disagree, a parent may come before
    one of several children; `topological` never lets that happen.
    """
    hidden = {version.id for version in _all(repo, excluded)} if excluded else set()
    queue: list[tuple[int, int, ObjectId]] = []
    loaded: dict[ObjectId, Commit] = {}
    order: dict[ObjectId, int] = {}

    def push(item: ObjectId, ceiling: int) -> None:
        if item in loaded or item in hidden:
            return
        loaded[item] = repo.commit(item)
        order[item] = min(loaded[item].time, ceiling)
        heapq.heappush(queue, (-order[item], len(loaded), item))

    for start in starts:
        push(start, 2**63)
    while queue:
        _, _, item = heapq.heappop(queue)
        commit = loaded[item]
        yield Version(item, commit)
        for parent in repo.parents(item, commit):
            push(parent, order[item] - 1)


def topological(
    repo: Repository, starts: Iterable[ObjectId], excluded: Iterable[ObjectId] = ()
) -> Iterator[Version]:
    """Yield what `walk` yields, every commit after all its children. Reads all of it first."""
    versions = {version.id: version for version in walk(repo, starts, excluded)}
    children = dict.fromkeys(versions, 0)
    for version in versions.values():
        for parent in repo.parents(version.id, version.commit):
            if parent in children:
                children[parent] += 1
    ready = [(-versions[item].commit.time, item) for item, count in children.items() if not count]
    heapq.heapify(ready)
    while ready:
        version = versions[heapq.heappop(ready)[1]]
        yield version
        for parent in repo.parents(version.id, version.commit):
            if parent in children:
                children[parent] -= 1
                if not children[parent]:
                    heapq.heappush(ready, (-versions[parent].commit.time, parent))


def is_ancestor(repo: Repository, older: ObjectId, newer: ObjectId) -> bool:
    """Tell whether `older` is `newer` or one of its ancestors."""
    return any(version.id == older for version in _all(repo, [newer]))


def merge_base(repo: Repository, one: ObjectId, two: ObjectId) -> ObjectId | None:
    """Return the newest common ancestor, None for unrelated histories."""
    ancestors = {version.id for version in _all(repo, [one])}
    return next((version.id for version in walk(repo, [two]) if version.id in ancestors), None)


def _all(repo: Repository, starts: Iterable[ObjectId]) -> Iterator[Version]:
    pending = list(starts)
    seen = set(pending)
    while pending:
        item = pending.pop()
        commit = repo.commit(item)
        yield Version(item, commit)
        for parent in repo.parents(item, commit):
            if parent not in seen:
                seen.add(parent)
                pending.append(parent)
