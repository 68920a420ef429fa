"""The k-th largest change of each side, exactly, without holding a tensor.

A radix selection: magnitudes of float64 order like their bits, so a histogram of the top 16 bits
tells in which bucket the k-th lies; a bucket that is small is then sorted, one that is not is
divided by the next 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvc.base.parallel import ordered_map
from mvc.merge.changes import Flags, against_base
from mvc.merge.numbers import Floats
from mvc.merge.work import Work, ahead, blocks

DIGIT = 16
_BUCKETS = 1 << DIGIT
GATHERED = 1 << 17
"""Changes that are sorted in memory, for each side."""

_WIDTH = 64
_NAN = np.uint64(0x7FF8 << 48)
_SIGN = np.uint64((1 << 63) - 1)

Bits = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Limit:
    """The size that a change must have to be kept.

    Greater ones are; of those that are equal, as many in each part as `equal` says, the first
    ones. `equal` is None where all are.
    """

    bits: int
    equal: tuple[int, ...] | None

    def keep(self, number: int) -> Keeper:
        """Return what tells, for the blocks of a part in order, which changes are kept."""
        return Keeper(np.uint64(self.bits), None if self.equal is None else self.equal[number])


class Keeper:
    """Tells which changes of a part are kept; its blocks come in order."""

    def __init__(self, bits: np.uint64, left: int | None) -> None:
        self._bits = bits
        self._left = left

    def __call__(self, at: slice, change: Floats) -> Flags:
        """Tell for the next block."""
        del at
        sizes = magnitudes(change)
        if self._left is None:
            return sizes >= self._bits
        equal = sizes == self._bits
        first = np.cumsum(equal) <= self._left
        self._left = max(0, self._left - int(np.count_nonzero(equal)))
        found: Flags = (sizes > self._bits) | (equal & first)
        return found


def magnitudes(change: Floats) -> Bits:
    """Return the bits of |change|, which order as it does; NaN is the largest."""
    bits: Bits = np.minimum(change.view(np.uint64) & _SIGN, _NAN)
    return bits


@dataclass(slots=True)
class _Search:
    """What is known of the k-th largest size of one side.

    It begins with the `known` bits of `prefix`, is the `left`-th among the sizes that do, and
    there are `inside` of those. At the end these are gathered, or only counted where they are
    one and the same size.
    """

    left: int
    prefix: int = 0
    known: int = 0
    inside: int = 0
    limit: Limit | None = None

    @property
    def stage(self) -> str:
        if self.limit is not None:
            return "done"
        if self.known == _WIDTH:
            return "count"
        return "gather" if self.known and self.inside <= GATHERED else "divide"

    def among(self, sizes: Bits) -> Bits:
        """Return what of a block is sought among."""
        if not self.known:
            return sizes
        inner: Bits = sizes[sizes >> np.uint64(_WIDTH - self.known) == np.uint64(self.prefix)]
        return inner

    def digits(self, sizes: Bits) -> NDArray[np.int64]:
        """Return how many sizes go on with each digit."""
        digits = (sizes >> np.uint64(_WIDTH - self.known - DIGIT)) & np.uint64(_BUCKETS - 1)
        return np.bincount(digits.astype(np.intp), minlength=_BUCKETS)


def thresholds(work: Work, density: float) -> list[Limit | None]:
    """Return what keeps the largest `density` of each side's changes, at least one.

    None keeps all. Of changes of one size those nearest the tensor's start are kept.
    """
    count = sum(work.words(number) for number in range(work.parts))
    wanted = max(1, int(density * count))
    if wanted >= count:
        return [None] * len(work.sides)
    searches = [_Search(wanted) for _ in work.sides]
    while any(search.limit is None for search in searches):
        _narrow(work, searches)
    return [search.limit for search in searches]


def _narrow(work: Work, searches: list[_Search]) -> None:
    """Read all changes once, and come closer to every limit."""
    stages = [search.stage for search in searches]
    divided = {
        place: np.zeros(_BUCKETS, np.int64)
        for place, stage in enumerate(stages)
        if stage == "divide"
    }
    parts: list[list[Bits]] = [[] for _ in searches]
    room = len(searches) * _BUCKETS * 16
    looks = ordered_map(
        lambda number: _look(work, searches, number), range(work.parts), ahead=ahead(room)
    )
    for found in looks:
        for place, part in found.items():
            if place in divided:
                divided[place] += part.astype(np.int64)
            else:
                parts[place].append(part)
    for place, search in enumerate(searches):
        if place in divided:
            _descend(search, divided[place])
        elif stages[place] == "gather":
            _finish(search, parts[place])
        elif stages[place] == "count":
            counts = [int(part[0]) for part in parts[place]]
            search.limit = _limit(search.prefix, search.left, counts)


def _look(work: Work, searches: list[_Search], number: int) -> dict[int, Bits]:
    """Return what a part says to each search: counts of digits, sizes, or one count."""
    words = work.words(number)
    found: dict[int, Bits] = {}
    for place, change in against_base(work, number).sides:
        if searches[place].limit is None:
            sizes = (magnitudes(change(at).values) for at in blocks(words))
            found[place] = _seen(searches[place], sizes)
    for place, search in enumerate(searches):
        if search.limit is None and place not in found:
            found[place] = _nothing_changed(search, words)
    return found


def _seen(search: _Search, sizes: Iterator[Bits]) -> Bits:
    inner = (search.among(block) for block in sizes)
    if search.stage == "divide":
        counts = np.zeros(_BUCKETS, np.int64)
        for block in inner:
            counts += search.digits(block)
        return counts.astype(np.uint64)
    if search.stage == "gather":
        return np.concatenate(list(inner))
    return np.array([sum(len(block) for block in inner)], np.uint64)


def _nothing_changed(search: _Search, words: int) -> Bits:
    """Return what a part of zeros says."""
    count = 0 if search.prefix else words
    if search.stage == "gather":
        return np.zeros(count, np.uint64)
    counts = np.zeros(_BUCKETS if search.stage == "divide" else 1, np.uint64)
    counts[0] = count
    return counts


def _descend(search: _Search, counts: NDArray[np.int64]) -> None:
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, search.left))
    digit = _BUCKETS - 1 - place
    search.inside = int(counts[digit])
    search.left -= int(above[place]) - search.inside
    search.prefix = search.prefix << DIGIT | digit
    search.known += DIGIT
    if search.known == _WIDTH and (search.inside == search.left or not search.prefix):
        # What did not change adds nothing, kept or not.
        search.limit = Limit(search.prefix, None)


def _finish(search: _Search, parts: list[Bits]) -> None:
    sizes = np.concatenate(parts)
    place = len(sizes) - search.left
    bits = np.partition(sizes, place)[place]
    left = search.left - int(np.count_nonzero(sizes > bits))
    search.limit = _limit(int(bits), left, [int(np.count_nonzero(part == bits)) for part in parts])


def _limit(bits: int, left: int, counts: list[int]) -> Limit:
    """Return the limit that keeps `left` of the changes of size `bits`, of which parts have some.

    Those of the first parts are kept.
    """
    if left == sum(counts) or not bits:
        return Limit(bits, None)
    equal = []
    for count in counts:
        equal.append(min(left, count))
        left -= equal[-1]
    return Limit(bits, tuple(equal))
