"""Sums of tensors with a factor each: the average, and the arc of slerp."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mvc.base.parallel import ordered_map
from mvc.merge.arc import factors
from mvc.merge.numbers import Words
from mvc.merge.work import Part, Reading, Work, blocks, computed, same_part, total


def average(work: Work) -> Part:
    """Return the weighted mean: the sum of weight times side, divided by the sum of the weights.

    With the numbers of examples as weights this is FedAvg (arXiv 1602.05629).
    """
    return _sum(work, work.weights, math.fsum(work.weights), keep=True)


def slerp(work: Work) -> Part:
    """Return the point at `t` of the arc between two tensors (Shoemake 1985).

    Where the angle is tiny or none, as between equal, opposite, zero or infinite tensors, the
    point at `t` of the straight line.
    """
    t = work.strategy.t
    found = None if t in (0.0, 1.0) else factors(_cosine(work), t)
    first, second = found or (1.0 - t, t)
    return _sum(work, (first, second), 1.0, keep=found is None)


def _sum(work: Work, factors: Sequence[float], divisor: float, *, keep: bool) -> Part:
    """Return sum(factor * side) / divisor; `keep` the bits of elements that all sides share."""
    pairs = [(held, factor) for held, factor in zip(work.sides, factors, strict=True) if factor]
    sides = tuple(held for held, _ in pairs)
    numbers = work.numbers

    def part(number: int) -> Words:
        reading = Reading(sides, number, numbers.word)
        first = reading.words(0)
        if keep and same_part(sides, number):
            return first
        sums = np.empty(len(first), np.float64)
        same = np.ones(len(first), np.bool_)
        with np.errstate(all="ignore"):
            for place, (_, factor) in enumerate(pairs):
                words = reading.words(place) if place else first
                for at in blocks(len(first)):
                    values = numbers.values(words[at])
                    values *= factor
                    if place:
                        sums[at] += values
                        same[at] &= words[at] == first[at]
                    else:
                        sums[at] = values

        def block(at: slice) -> Words:
            values = sums[at] if divisor == 1.0 else sums[at] / divisor
            kept = same[at] if keep else same[at] & np.isnan(values)
            return np.where(kept, first[at], numbers.rounded(values))

        return computed(len(first), numbers.word, block)

    return part


def _cosine(work: Work) -> float:
    """Return the cosine between two tensors, NaN where there is none."""
    first = second = both = 0.0
    for one, two, product in ordered_map(lambda number: _products(work, number), _numbers(work)):
        first, second, both = first + one, second + two, both + product
    norms = math.sqrt(first), math.sqrt(second)
    if not all(norm > 0 and math.isfinite(norm) for norm in norms) or not math.isfinite(both):
        return math.nan
    return max(-1.0, min(1.0, both / norms[0] / norms[1]))


def _numbers(work: Work) -> range:
    return range(work.first.parts)


def _products(work: Work, number: int) -> tuple[float, float, float]:
    reading = Reading(work.sides, number, work.numbers.word)
    one, two = reading.words(0), reading.words(1)
    sums = [0.0, 0.0, 0.0]
    with np.errstate(all="ignore"):
        for at in blocks(len(one)):
            a, b = work.numbers.values(one[at]), work.numbers.values(two[at])
            for place, product in enumerate((a * a, b * b, a * b)):
                sums[place] += total(product)
    return sums[0], sums[1], sums[2]
