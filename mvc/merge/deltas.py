"""Changes from a common base, added up: task arithmetic, TIES and DARE.

The change of a side is its number minus that of the base, exact wherever float64 can hold it.
An element that no side changes keeps the bits of the base, and one that a single side changes
with factor 1 gets the bits of that side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mvc.base.dtypes import CHUNK_WORDS
from mvc.base.parallel import ordered_map
from mvc.merge import draws, select
from mvc.merge.changes import Flags, against_base
from mvc.merge.numbers import Floats, Words
from mvc.merge.work import Part, Work, blocks, computed, total

Keep = Callable[[slice, Floats], Flags]
"""Tells which changes of a block are kept; blocks of a part come in order."""

Keeps = Callable[[int, int], Keep | None]
"""Return for a side and a part what tells which changes are kept, None for all."""


def task_arithmetic(work: Work) -> Part:
    """Return base + lambda * sum(weight * change) (arXiv 2212.04089)."""
    return _summed(work, [1.0] * len(work.sides), lambda place, number: None, elect=False)


def ties(work: Work) -> Part:
    """Return base + lambda * mean of the changes that agree in sign (arXiv 2306.01708).

    Of each side the largest `density` of the changes count. The sign of an element is that of
    the weighted sum of what is left; the mean is weighted and over the sides of that sign.
    """
    limits = select.thresholds(work, work.strategy.density)

    def keeps(place: int, number: int) -> Keep | None:
        limit = limits[place]
        return None if limit is None else limit.keep(number)

    return _summed(work, [1.0] * len(work.sides), keeps, elect=True)


def dare(work: Work) -> Part:
    """Return base + lambda * sum(weight * rescaled rest of the change) (arXiv 2311.03099)."""
    return _dropped(work, elect=False)


def dare_ties(work: Work) -> Part:
    """Return TIES with random drops and rescaling in place of trimming by size."""
    return _dropped(work, elect=True)


def _dropped(work: Work, *, elect: bool) -> Part:
    density, seed = work.strategy.density, work.strategy.seed
    keys = [draws.key(seed, work.name, side) for side in work.places]

    def keeps(place: int, number: int) -> Keep | None:
        start = number * CHUNK_WORDS

        def keep(at: slice, change: Floats) -> Flags:
            return draws.kept(keys[place], start + at.start, len(change), density)

        return None if density >= 1 else keep

    return _summed(work, _scales(work, keeps), keeps, elect=elect)


def _scales(work: Work, keeps: Keeps) -> list[float]:
    """Return what makes up for dropped changes, for each side."""
    rescale, density = work.strategy.rescale, work.strategy.density
    if rescale != "l1" or density >= 1:
        return [1 / density if rescale == "density" else 1.0] * len(work.sides)
    sums = [[0.0, 0.0] for _ in work.sides]
    for found in ordered_map(lambda number: _magnitudes(work, keeps, number), range(work.parts)):
        for side, (whole, rest) in zip(sums, found, strict=True):
            side[0] += whole
            side[1] += rest
    return [
        whole / rest if rest > 0 and math.isfinite(whole / rest) else 1.0 for whole, rest in sums
    ]


def _magnitudes(work: Work, keeps: Keeps, number: int) -> list[tuple[float, float]]:
    """Return the sums of |change| of each side, of all elements and of those kept."""
    found = [(0.0, 0.0)] * len(work.sides)
    for place, change in against_base(work, number).sides:
        keep = keeps(place, number)
        whole = rest = 0.0
        for at in blocks(work.words(number)):
            sizes = np.abs(change(at).values)
            whole += total(sizes)
            rest += total(np.where(keep(at, sizes), sizes, 0.0)) if keep else total(sizes)
        found[place] = whole, rest
    return found


class _Plain:
    """The sum of all changes."""

    def __init__(self, count: int) -> None:
        self._sum = np.zeros(count, np.float64)

    def add(self, at: slice, change: Floats, weight: float) -> None:
        """Add a block of weighted changes."""
        del weight
        self._sum[at] += change

    def result(self, at: slice) -> Floats:
        """Return what a block changes by."""
        return self._sum[at]


class _Elected:
    """The mean of the changes whose sign is that of the sum of all."""

    def __init__(self, count: int) -> None:
        self._up, self._down, self._ups, self._downs = np.zeros((4, count), np.float64)

    def add(self, at: slice, change: Floats, weight: float) -> None:
        """Add a block of weighted changes."""
        self._up[at] += np.maximum(change, 0.0)
        self._down[at] += np.minimum(change, 0.0)
        self._ups[at] += np.where(change > 0, weight, 0.0)
        self._downs[at] += np.where(change < 0, weight, 0.0)

    def result(self, at: slice) -> Floats:
        """Return what a block changes by; where the sum is 0 the positive side is elected."""
        up, down = self._up[at], self._down[at]
        elected = up + down >= 0
        share = np.where(elected, self._ups[at], self._downs[at])
        share[share == 0] = 1.0
        found: Floats = np.where(elected, up, down) / share
        return found


class _Lone:
    """Which elements no side changed, and which a single one did, with factor 1."""

    def __init__(self, base: Words) -> None:
        self._base = base
        self._found = np.zeros(len(base), np.uint8)
        self._sole = np.empty_like(base)

    def add(self, at: slice, differs: Flags, words: Words, *, exact: bool) -> None:
        """Note a block of a side."""
        found = self._found[at]
        if exact:
            np.copyto(self._sole[at], words, where=differs)
            found[differs] = np.minimum(found[differs] + 1, 2)
        else:
            found[differs] = 2

    def put(self, at: slice, words: Words) -> Words:
        """Return a block of results with those elements replaced."""
        found = self._found[at]
        words = np.where(found == 1, self._sole[at], words)
        return np.where(found == 0, self._base[at], words)


def _summed(work: Work, scales: Sequence[float], keeps: Keeps, *, elect: bool) -> Part:
    scale = work.strategy.scale
    factors = [factor * weight for factor, weight in zip(scales, work.weights, strict=True)]
    whole = [scale * one == 1.0 for one in (scales if elect else factors)]

    def part(number: int) -> Words:
        against = against_base(work, number)
        count = len(against.base)
        sums = _Elected(count) if elect else _Plain(count)
        lone = _Lone(against.base)
        for place, change in against.sides:
            keep = keeps(place, number)
            for at in blocks(count):
                found = change(at)
                values, differs = found.values, found.differs
                if keep is not None:
                    kept = keep(at, values)
                    values, differs = np.where(kept, values, 0.0), differs & kept
                with np.errstate(all="ignore"):
                    sums.add(at, values * factors[place], work.weights[place])
                lone.add(at, differs, found.words, exact=whole[place])

        def block(at: slice) -> Words:
            values = against.numbers[at] + scale * sums.result(at)
            return lone.put(at, work.numbers.rounded(values))

        return computed(count, work.numbers.word, block)

    return part
