"""Integers and booleans: exact sums, rounded half to even once, kept within the type.

Counters and tables are no weights, so what strategies do beside adding does not apply to them:
`slerp` goes straight, `ties` takes the mean of all changes, `dare` drops none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvc.merge.numbers import Integer, Words
from mvc.merge.work import Part, Reading, Work, computed, same_part
from mvc.repo.tensors import Held

Whole = NDArray[np.integer]
Rows = Sequence[Whole]

EXACT = 1 << 51
"""Below this, sums of whole numbers and their quotients round in float64 as they should."""


def average(work: Work) -> Part:
    """Return the weighted mean."""
    everything = sum(map(Fraction, work.weights), Fraction(0))
    return _sums(work, work.sides, [Fraction(weight) / everything for weight in work.weights])


def slerp(work: Work) -> Part:
    """Return the point at `t` of the straight line."""
    t = Fraction(work.strategy.t)
    return _sums(work, work.sides, [1 - t, t])


def task_arithmetic(work: Work) -> Part:
    """Return base + lambda * sum(weight * change)."""
    scale = Fraction(work.strategy.scale)
    return _from_base(work, [scale * Fraction(weight) for weight in work.weights])


def ties(work: Work) -> Part:
    """Return base + lambda * weighted mean of the changes."""
    everything = sum(map(Fraction, work.weights), Fraction(0)) or Fraction(1)
    scale = Fraction(work.strategy.scale) / everything
    return _from_base(work, [scale * Fraction(weight) for weight in work.weights])


def median(work: Work) -> Part:
    """Return the median, of two middle ones their mean."""
    low, high = (len(work.sides) - 1) // 2, len(work.sides) // 2
    return _ordered(work, low, high + 1)


def trimmed_mean(work: Work) -> Part:
    """Return the mean of what is left without the lowest and highest."""
    out = trimmed(work)
    return _ordered(work, out, len(work.sides) - out)


def trimmed(work: Work) -> int:
    """Return how many sides a trimmed mean leaves out at each end."""
    return math.floor(work.strategy.trim * len(work.sides))


def _from_base(work: Work, factors: list[Fraction]) -> Part:
    assert work.base is not None  # noqa: S101
    rest = 1 - sum(factors, Fraction(0))
    return _sums(work, (work.base, *work.sides), [rest, *factors])


def _sums(work: Work, held: tuple[Held, ...], factors: Sequence[Fraction]) -> Part:
    return _parts(work, held, lambda rows: exact_sum(rows, factors))


def _ordered(work: Work, start: int, stop: int) -> Part:
    share = [Fraction(1, stop - start)] * (stop - start)

    def middle(rows: Rows) -> NDArray[Any]:
        return exact_sum(list(np.sort(np.stack(rows), axis=0)[start:stop]), share)

    return _parts(work, work.sides, middle)


def _parts(work: Work, held: tuple[Held, ...], made: Callable[[Rows], NDArray[Any]]) -> Part:
    kind, word = work.numbers.integer, work.numbers.word
    assert kind is not None  # noqa: S101

    def part(number: int) -> Words:
        reading = Reading(held, number, word)
        if same_part(held, number):
            return reading.words(0)
        sides = [reading.words(place) for place in range(len(held))]

        def block(at: slice) -> Words:
            rows = [words[at] for words in sides]
            same = np.all([row == rows[0] for row in rows], axis=0)
            found = _within(kind, made([kind.seen(row) for row in rows])).view(word)
            return np.where(same, rows[0], found)

        return computed(len(sides[0]), word, block)

    return part


def _within(kind: Integer, values: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers, of Python where they are many digits long, kept within a type."""
    plain = np.dtype(np.uint8) if kind.kind == np.bool_ else kind.kind
    over, under = values > kind.high, values < kind.low
    inside = np.where(over | under, 0, values).astype(plain)
    inside[over], inside[under] = kind.high, kind.low
    return inside


def exact_sum(rows: Rows, factors: Sequence[Fraction]) -> NDArray[Any]:
    """Return sum(factor * row) of whole numbers, rounded half to even from the exact sum.

    The result has float64 numbers that are whole, or Python's integers.
    """
    below = math.lcm(*(factor.denominator for factor in factors))
    above = [int(factor * below) for factor in factors]
    largest = max(
        (max(abs(int(row.min())), abs(int(row.max()))) for row in rows if row.size), default=0
    )
    if max(sum(map(abs, above)) * max(1, largest), below) < EXACT:
        sums = np.zeros(len(rows[0]), np.float64)
        for row, factor in zip(rows, above, strict=True):
            sums += row.astype(np.float64) * float(factor)
        return np.rint(sums / float(below))
    sums, unsure = _nearly(rows, factors)
    found = np.rint(sums).astype(object) if unsure.any() else np.rint(sums)
    for place in np.flatnonzero(unsure):
        whole = sum(int(row[place]) * factor for row, factor in zip(rows, above, strict=True))
        found[place] = round(Fraction(whole, below))
    return found


def _nearly(
    rows: Rows, factors: Sequence[Fraction]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return sums in float64, and where they may be too near the middle to be rounded."""
    sums = np.zeros(len(rows[0]), np.float64)
    sizes = np.zeros(len(rows[0]), np.float64)
    for row, factor in zip(rows, factors, strict=True):
        values = row.astype(np.float64) * float(factor)
        sums += values
        sizes += np.abs(values)
    error = sizes * (2.0**-51 * (len(rows) + 2))
    unsure: NDArray[np.bool_] = np.abs(sums - np.floor(sums) - 0.5) <= error
    return sums, unsure | (error >= 0.25)


ALGORITHMS: dict[str, Callable[[Work], Part]] = {
    "average": average,
    "slerp": slerp,
    "task-arithmetic": task_arithmetic,
    "ties": ties,
    "dare": task_arithmetic,
    "dare-ties": ties,
    "median": median,
    "trimmed-mean": trimmed_mean,
}
