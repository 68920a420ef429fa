"""Which chunk is stored as a difference from which: few bytes, and none far from its start.

The chunks of one place of a model, over all versions, are the nodes of a graph; an edge is a base
that a chunk could be coded against, with the bytes that would take. Wanted is a forest of least
bytes in which recovering any node (its record and all below) costs at most `budget` times what a
record without base costs. That is the problem of Bhattacherjee et al., "Principles of Dataset
Versioning" (2015), and hard; here: grow the forest as they do (MP), then improve it by moves.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

ROUNDS = 8
STARTS = 3
HUB_STEPS = (5, 7, 9, 11, 13, 15, 17, 21, 25, 33, 49, 65)
AS_GOOD = 0.995
"""A plan made from what is there must be smaller than this, as it may be a tangle."""
_GAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """`budget`: recovery relative to a record without base; `depth`: deltas in a row."""

    budget: float
    depth: int


@dataclass(frozen=True, slots=True)
class Node:
    """A chunk: bytes without base, work of decoding a record (in bytes), and possible bases.

    `edges` are (number of the base, bytes against it). A chunk whose record stays as it is has
    `settled`: what recovering it costs, and its depth.
    """

    full: float
    work: float
    edges: tuple[tuple[int, float], ...] = ()
    settled: tuple[float, int] | None = None


def plan(
    nodes: Sequence[Node], limits: Limits, now: Sequence[int | None] | None = None
) -> list[int | None]:
    """Return the base of each node, None where it has none or is settled.

    `now` are the bases that the nodes have. Where they keep the limits, a plan starts from them,
    too, and is taken unless the others are as good.
    """
    forests = [_Forest(nodes, limits) for _ in range(3)]
    forests[0].grow()
    forests[1].spread()
    forests[2] = _from_hubs(nodes, limits)
    kept = _Forest(nodes, limits)
    adopted = now is not None and kept.adopt(now)
    if adopted:
        forests.append(kept)
    for forest in forests:
        rounds = 0
        while forest.improve() and rounds < ROUNDS:
            rounds += 1
    totals = [forest.total for forest in forests]
    if adopted:
        totals[-1] /= AS_GOOD
    return forests[totals.index(min(totals))].base


def _from_hubs(nodes: Sequence[Node], limits: Limits) -> _Forest:
    """Return the smallest of forests that grow from every so manieth node.

    In a long chain of small steps the best plan goes from a start to hubs, and from each of them in
    small steps both ways, as far as the budget allows.
    """
    users = Counter(base for node in nodes for base, _ in node.edges)
    starts = [start for start, _ in users.most_common(STARTS)] or [0]
    steps = [step for step in HUB_STEPS if 2 * step <= len(nodes)] or HUB_STEPS[:1]
    best = None
    for start, step in product(starts, steps):
        forest = _Forest(nodes, limits)
        forest.grow(start, range(step // 2, len(nodes), step))
        if best is None or forest.total < best.total:
            best = forest
    return best or _Forest(nodes, limits)


class _Forest:
    """The forest so far; recovery costs and depths follow from bases."""

    def __init__(self, nodes: Sequence[Node], limits: Limits) -> None:
        self._nodes = nodes
        self._limits = limits
        count = len(nodes)
        self.base: list[int | None] = [None] * count
        self._below: list[set[int]] = [set() for _ in range(count)]
        self._bytes = [node.full for node in nodes]
        self._cost = [node.full + node.work for node in nodes]
        self._depth = [0] * count
        self._most = [max(limits.budget, 1.0) * (node.full + node.work) for node in nodes]
        # Who could be coded against a node.
        self._users: list[list[tuple[int, float]]] = [[] for _ in range(count)]
        for number, node in enumerate(nodes):
            if node.settled is not None:
                self._bytes[number] = 0.0
                self._cost[number], self._depth[number] = node.settled
                continue
            for base, size in node.edges:
                self._users[base].append((number, size))

    def grow(self, start: int = -1, hubs: Sequence[int] = ()) -> None:
        """Take in one node after another, each the cheapest that the budget allows.

        A start comes first, and hubs straight on it.
        """
        inside = [False] * len(self._nodes)
        best = [node.full for node in self._nodes]
        queue = [
            (0.0 if node.settled else node.full, number, -1)
            for number, node in enumerate(self._nodes)
        ]
        heapq.heapify(queue)
        if start >= 0:
            sizes = dict(self._users[start])
            near = [hub for hub in hubs if hub in sizes and self._fits(hub, start, sizes[hub])]
            for hub in near:
                self._attach(hub, start, sizes[hub])
            for hub in (start, *near):
                inside[hub] = True
            for hub in (start, *near):
                self._offer(hub, inside, best, queue)
        while queue:
            size, number, base = heapq.heappop(queue)
            if inside[number]:
                continue
            inside[number] = True
            if base >= 0:
                self._attach(number, base, size)
            self._offer(number, inside, best, queue)

    def _offer(
        self,
        base: int,
        inside: list[bool],
        best: list[float],
        queue: list[tuple[float, int, int]],
    ) -> None:
        """Let those nodes wait in the queue that come cheaper with a base that is inside."""
        for user, size in self._users[base]:
            if not inside[user] and size < best[user] and self._fits(user, base, size):
                best[user] = size
                heapq.heappush(queue, (size, user, base))

    def adopt(self, bases: Sequence[int | None]) -> bool:
        """Take over bases from the start of each chain on; return whether they keep the limits."""
        waiting: dict[int, list[int]] = {}
        ready = []
        for number, base in enumerate(bases):
            if base is None or self._nodes[number].settled is not None:
                ready.append(number)
            else:
                waiting.setdefault(base, []).append(number)
        for base in ready:
            for number in waiting.get(base, ()):
                size = dict(self._nodes[number].edges).get(base)
                if size is None or not self._fits(number, base, size):
                    return False
                self._attach(number, base, size)
                ready.append(number)
        return len(ready) == len(bases)

    def spread(self) -> None:
        """Put nodes straight on starts, then bring the one nearer that saves most, and again."""
        for start in sorted(range(len(self._nodes)), key=lambda item: -len(self._users[item])):
            if self.base[start] is None:
                self._gather(start, lambda user: not self._below[user])
        queue = [
            (-self._promotion(number)[0], number)
            for number, node in enumerate(self._nodes)
            if node.settled is None
        ]
        heapq.heapify(queue)
        while queue:
            _, number = heapq.heappop(queue)
            gain = self._promotion(number)[0]
            if queue and gain < -queue[0][0] - _GAIN:
                # Others took what it could have gained; its turn comes later.
                if gain > _GAIN:
                    heapq.heappush(queue, (-gain, number))
                continue
            self._promote(number)

    def improve(self) -> bool:
        """Make every move that saves bytes once; return whether there was one."""
        moved = False
        for number, node in enumerate(self._nodes):
            if node.settled is None:
                moved |= self._rebase(number, node)
                moved |= self._promote(number)
        return moved

    @property
    def total(self) -> float:
        """Bytes of all records."""
        return sum(self._bytes)

    def _rebase(self, number: int, node: Node) -> bool:
        """Give a node the smallest base that fits it and all above it."""
        choice: int | None = None
        least = self._bytes[number] - _GAIN
        for base, size in node.edges:
            if size < least and self._can_move(number, base, size):
                choice, least = base, size
        if choice is None:
            return False
        self._attach(number, choice, least)
        return True

    def _promote(self, number: int) -> bool:
        """Give a node another base where it and its neighbours together gain by it."""
        gain, base, size = self._promotion(number)
        if gain <= _GAIN:
            return False
        self._attach(number, base, size)
        self._gather(number, lambda _: True)
        return True

    def _gather(self, base: int, wanted: Callable[[int], bool]) -> None:
        """Let those nodes have a base that are smaller with it."""
        for user, size in self._users[base]:
            smaller = size < self._bytes[user] - _GAIN
            if smaller and wanted(user) and self._can_move(user, base, size):
                self._attach(user, base, size)

    def _promotion(self, number: int) -> tuple[float, int | None, float]:
        """Return what is saved at most by giving a node another base, which, and its bytes."""
        node = self._nodes[number]
        best: tuple[float, int | None, float] = (0.0, None, 0.0)
        for base, size in ((None, node.full), *node.edges):
            cost, depth = size + node.work, 0
            if base is not None:
                if not self._fits(number, base, size) or self._above(base, number):
                    continue
                cost, depth = cost + self._cost[base], self._depth[base] + 1
            nearer = cost <= self._cost[number] and depth <= self._depth[number]
            if nearer or not self._below[number]:
                gain = self._bytes[number] - size + self._gains(number, cost, depth)
                if gain > best[0]:
                    best = (gain, base, size)
        return best

    def _gains(self, number: int, cost: float, depth: int) -> float:
        """Return what others save if this node came to cost so much."""
        total = 0.0
        if depth >= self._limits.depth:
            return total
        for user, size in self._users[number]:
            saved = self._bytes[user] - size
            if saved > 0 and self.base[number] != user:
                after = cost + size + self._nodes[user].work
                free = not self._below[user] or (
                    after <= self._cost[user] and depth < self._depth[user]
                )
                if free and after <= self._most[user]:
                    total += saved
        return total

    def _fits(self, number: int, base: int, size: float) -> bool:
        cost = self._cost[base] + size + self._nodes[number].work
        return cost <= self._most[number] and self._depth[base] < self._limits.depth

    def _can_move(self, number: int, base: int, size: float) -> bool:
        """Tell whether a node may get this base, with all that stand on it."""
        if not self._fits(number, base, size) or self._above(base, number):
            return False
        more = self._cost[base] + size + self._nodes[number].work - self._cost[number]
        deeper = self._depth[base] + 1 - self._depth[number]
        if more <= 0 and deeper <= 0:
            return True
        return all(
            self._cost[item] + more <= self._most[item]
            and self._depth[item] + deeper <= self._limits.depth
            for item in self._tree(number)
        )

    def _above(self, number: int, other: int) -> bool:
        """Tell whether a node stands on another, or is it."""
        following: int | None = number
        while following is not None:
            if following == other:
                return True
            following = self.base[following]
        return False

    def _attach(self, number: int, base: int | None, size: float) -> None:
        before = self.base[number]
        if before is not None:
            self._below[before].discard(number)
        if base is not None:
            self._below[base].add(number)
        self.base[number] = base
        self._bytes[number] = size
        cost = (0.0 if base is None else self._cost[base]) + size + self._nodes[number].work
        depth = 0 if base is None else self._depth[base] + 1
        more, deeper = cost - self._cost[number], depth - self._depth[number]
        for item in self._tree(number):
            self._cost[item] += more
            self._depth[item] += deeper

    def _tree(self, number: int) -> list[int]:
        """Return a node and all that stand on it."""
        found = [number]
        for item in found:
            found.extend(self._below[item])
        return found
