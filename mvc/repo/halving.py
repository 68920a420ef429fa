"""Which version to test next, so that the first bad one is found in few tests.

As git bisect does it: of the versions that lead to the bad one and to no good one, the next is the
one for which the smaller of two numbers is greatest: how many of them lead to it, and how many do
not. A version that is skipped may be the first bad one; then the answer is one of several.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from mvc.base.ids import ObjectId


@dataclass(frozen=True, slots=True)
class Suspects:
    """The versions that may be the first bad one.

    `order` has the versions between good and bad, each before its children, with its parents
    (others than those in `order` do not matter). `counted` are those that may be the answer.
    """

    order: Sequence[ObjectId]
    parents: Mapping[ObjectId, Sequence[ObjectId]]
    counted: Collection[ObjectId]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to test next, None if nothing is left; `left` are the versions that may be the answer.

    `steps` is about how many tests it takes to the end.
    """

    candidate: ObjectId | None
    left: tuple[ObjectId, ...]
    steps: int


def choose(suspects: Suspects, bad: ObjectId, skipped: Collection[ObjectId]) -> Choice:
    """Return the version to test next."""
    left = tuple(item for item in suspects.order if item in suspects.counted)
    testable = {item for item in left if item != bad and item not in skipped}
    steps = max(0, len(left) - 1).bit_length()
    if not testable:
        return Choice(None, left, 0)
    counts = _counts(suspects, testable.__contains__)
    whole = len(left)
    best = sorted(counts, key=lambda item: -min(counts[item], whole - counts[item]))
    met = sum(item in skipped for item in left)
    # Where some cannot be tested, their neighbours mostly cannot either: look further away.
    place = int(len(best) * _spread(met) ** 1.5) if met else 0
    return Choice(best[place], left, steps)


def _counts(suspects: Suspects, wanted: Callable[[ObjectId], bool]) -> dict[ObjectId, int]:
    """Return how many of those counted lead to each wanted version, itself among them."""
    children = dict.fromkeys(suspects.order, 0)
    for item in suspects.order:
        for parent in suspects.parents[item]:
            if parent in children:
                children[parent] += 1
    # Sets as bits of an integer, each dropped after the last child: a line of versions needs one.
    sets: dict[ObjectId, int] = {}
    found: dict[ObjectId, int] = {}
    number = 0
    for item in suspects.order:
        above = 0
        for parent in suspects.parents[item]:
            if parent not in children:
                continue
            above |= sets[parent]
            children[parent] -= 1
            if not children[parent]:
                del sets[parent]
        if item in suspects.counted:
            above |= 1 << number
            number += 1
        sets[item] = above
        if wanted(item):
            found[item] = above.bit_count()
    return found


def _spread(number: int) -> float:
    """Return a number from 0 to 1 (the van der Corput sequence), so that all places get a turn."""
    found, step = 0.0, 0.5
    while number:
        found += step * (number & 1)
        number >>= 1
        step /= 2
    return found
