"""Which members of a lineage could be each other's bases: few, and enough for every good plan.

A member may stand on the one it came from, on the one that came from it, on *hubs*, which are
members at every 4th, 16th, 64th... step from the start of the lineage, the nearest before and after
it, and on the start itself. Plans of any depth can be made of these, and their number grows with
the logarithm of a lineage, however long it gets; where hubs are does not change as it grows.
"""

from __future__ import annotations

from collections.abc import Sequence

SPREAD = 4
LEVELS = 4
MAX_BASES = 10
SIBLINGS = 16


def candidates(parents: Sequence[int], *, siblings: bool = False) -> list[list[int]]:
    """Return possible bases of each member, the most likely first.

    `parents` holds the number of the member each came from, which is smaller, or -1. With
    `siblings`, members that came from the same one are candidates, too.
    """
    steps = [0] * len(parents)
    start = list(range(len(parents)))
    for number, parent in enumerate(parents):
        if parent >= 0:
            steps[number], start[number] = steps[parent] + 1, start[parent]
    levels = [_level(parents, steps, SPREAD**level) for level in range(LEVELS + 1)]
    near = _siblings(parents) if siblings else [()] * len(parents)
    found = []
    for number in range(len(parents)):
        mine = [hub for level in levels for hub in level[number]]
        mine = list(dict.fromkeys([*mine, start[number], *near[number]]))
        found.append([item for item in mine if item not in (number, -1)][:MAX_BASES])
    return found


def _level(parents: Sequence[int], steps: list[int], step: int) -> list[tuple[int, int]]:
    """Return the nearest hubs before and after each member, -1 where there is none."""
    before = [-1] * len(parents)
    after = [-1] * len(parents)
    for number, parent in enumerate(parents):
        if parent >= 0:
            before[number] = parent if steps[parent] % step == 0 else before[parent]
    for number in range(len(parents) - 1, -1, -1):
        parent = parents[number]
        if parent >= 0:
            nearest = number if steps[number] % step == 0 else after[number]
            after[parent] = nearest if nearest >= 0 else after[parent]
    return list(zip(before, after, strict=True))


def _siblings(parents: Sequence[int]) -> list[tuple[int, ...]]:
    """Return for each member the first that came from the same one, and one of the last few."""
    children: dict[int, list[int]] = {}
    for number, parent in enumerate(parents):
        if parent >= 0:
            children.setdefault(parent, []).append(number)
    found: list[tuple[int, ...]] = [()] * len(parents)
    for brood in children.values():
        for place, number in enumerate(brood):
            hub = brood[place - place % SIBLINGS or max(0, place - SIBLINGS)]
            found[number] = (brood[0], hub)
    return found
