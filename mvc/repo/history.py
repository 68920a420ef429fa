"""Walking commits, newest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
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


def by_line(
    repo: Repository, starts: Iterable[ObjectId], excluded: Iterable[ObjectId] = ()
) -> Iterator[Version]:
    """Yield what `topological` yields, one line of history after another, for drawing.

    After a merge comes the whole line of its last parent, then that of the one before. Reads all
    of it first.
    """
    versions = {version.id: version for version in walk(repo, starts, excluded)}
    parents = {
        item: [parent for parent in repo.parents(item, version.commit) if parent in versions]
        for item, version in versions.items()
    }
    children = dict.fromkeys(versions, 0)
    for each in parents.values():
        for parent in each:
            children[parent] += 1
    # The walk gave the newest first; the last one of a stack comes first.
    ready = [item for item in versions if not children[item]][::-1]
    while ready:
        item = ready.pop()
        yield versions[item]
        for parent in parents[item]:
            children[parent] -= 1
            if not children[parent]:
                ready.append(parent)


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


def merge_bases(repo: Repository, commits: Sequence[ObjectId]) -> list[ObjectId]:
    """Return the best common ancestors of all of some commits, newest first.

    Best: none leads to another. There are several where lines crossed, none for unrelated
    histories. Reads what the commits do not share and, where clocks agree, hardly more.
    """
    if not commits:
        return []
    painter = _Painter(repo, len(commits))
    for number, item in enumerate(commits):
        painter.paint(item, 1 << number)
    found = painter.run()
    if len(found) > 1:
        # Where clocks disagree, one may be seen to lead to another only now.
        above = [parent for item in found for parent in repo.parents(item, painter.commits[item])]
        older = {version.id for version in _all(repo, above)}
        found = [item for item in found if item not in older]
    return sorted(found, key=lambda item: (-painter.commits[item].time, item))


class _Painter:
    """Paints commits with the starts that lead to them, newest first."""

    def __init__(self, repo: Repository, starts: int) -> None:
        self._repo = repo
        self._every = (1 << starts) - 1
        # Ancestors of what all starts lead to.
        self._stale = 1 << starts
        self._queue: list[tuple[int, ObjectId]] = []
        self._waiting: set[ObjectId] = set()
        self._fresh: set[ObjectId] = set()
        self._flags: dict[ObjectId, int] = {}
        self.commits: dict[ObjectId, Commit] = {}

    def paint(self, item: ObjectId, flags: int) -> None:
        """Add starts to a commit, which is passed on to its parents later."""
        before = self._flags.get(item, 0)
        after = before | flags
        if after == before:
            return
        self._flags[item] = after
        if item not in self.commits:
            self.commits[item] = self._repo.commit(item)
        if item not in self._waiting:
            self._waiting.add(item)
            heapq.heappush(self._queue, (-self.commits[item].time, item))
        if after & self._stale:
            self._fresh.discard(item)
        else:
            self._fresh.add(item)

    def run(self) -> list[ObjectId]:
        """Paint until only ancestors of common ones wait; return the common ones."""
        common: dict[ObjectId, None] = {}
        while self._fresh:
            _, item = heapq.heappop(self._queue)
            self._waiting.discard(item)
            self._fresh.discard(item)
            flags = self._flags[item]
            if flags & self._every == self._every:
                if not flags & self._stale:
                    common[item] = None
                flags |= self._stale
            for parent in self._repo.parents(item, self.commits[item]):
                self.paint(parent, flags)
        return [item for item in common if not self._flags[item] & self._stale]
