"""How two lines of versions stand to each other, without walking all that they share."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.repo.remotes import Upstream, upstream
from mvc.repo.repository import Repository

_ONE, _TWO = 1, 2
_BOTH = _ONE | _TWO


@dataclass(frozen=True, slots=True)
class Tracking:
    """A branch beside what it follows; `commit` is None where that is not there (any more)."""

    upstream: Upstream
    commit: ObjectId | None
    ahead: int = 0
    behind: int = 0


def tracking(repo: Repository, branch: str, commit: ObjectId | None) -> Tracking | None:
    """Return how a branch at `commit` stands to its upstream, None if it has none."""
    followed = upstream(repo, branch)
    if followed is None:
        return None
    try:
        there = repo.refs.get(followed.local)
        if there is None or commit is None:
            return Tracking(followed, there)
        return Tracking(followed, there, *ahead_behind(repo, commit, there))
    except MvcError:
        # A damaged ref or version is told by whoever needs it.
        return Tracking(followed, None)


def ahead_behind(repo: Repository, one: ObjectId, two: ObjectId) -> tuple[int, int]:
    """Return how many commits `one` has that `two` does not, and the other way round.

    Reads what they do not share and, where clocks agree, hardly more.
    """
    if one == two:
        return 0, 0
    painter = _Painter(repo)
    painter.paint(one, _ONE)
    painter.paint(two, _TWO)
    painter.run()
    flags = list(painter.flags.values())
    return flags.count(_ONE), flags.count(_TWO)


class _Painter:
    """Paints commits with the sides that lead to them, newest first."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._commits: dict[ObjectId, Commit] = {}
        self._queue: list[tuple[int, ObjectId]] = []
        self._queued: dict[ObjectId, int] = {}
        self._single = 0
        self._oldest = 2**63
        self.flags: dict[ObjectId, int] = {}

    def paint(self, item: ObjectId, flags: int) -> None:
        """Add sides to a commit, which is then passed on to its parents."""
        before = self.flags.get(item, 0)
        after = before | flags
        if after == before:
            return
        self.flags[item] = after
        if item not in self._commits:
            self._commits[item] = self._repo.commit(item)
        if item in self._queued:
            self._single += (after != _BOTH) - (self._queued[item] != _BOTH)
        else:
            heapq.heappush(self._queue, (-self._commits[item].time, item))
            self._single += after != _BOTH
        self._queued[item] = after

    def run(self) -> None:
        """Paint until nothing can change any more that one side alone leads to."""
        # A commit that only one side has may turn out shared as long as what is shared is newer.
        while self._queue and (self._single or -self._queue[0][0] >= self._oldest):
            _, item = heapq.heappop(self._queue)
            flags = self._queued.pop(item)
            if flags != _BOTH:
                self._single -= 1
                self._oldest = min(self._oldest, self._commits[item].time)
            for parent in self._repo.parents(item, self._commits[item]):
                self.paint(parent, flags)
