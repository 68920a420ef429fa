"""What can be added up over the parts of two tensors that lie opposite each other.

Products are rounded one by one and added by NumPy's pairwise sum, block by block: no BLAS, whose
sums depend on threads and processors, and no fused multiplication. So every machine gets the same
bits. A block's arrays stay in the processor's cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mvc.diff.kinds import Floats, Kind, Uints, Values

BLOCK_WORDS = 1 << 14
"""Words compared at a time."""

EXPONENTS = 1 << 11
BIAS = 1023
_MANTISSA = np.uint64(52)


def _no_counts() -> NDArray[np.int64]:
    return np.zeros(2 * EXPONENTS, np.int64)


@dataclass(slots=True)
class Sums:
    """Counts and sums of the elements that are finite on both sides.

    `counts` holds how many changes that are not zero have a sign and a (biased) exponent, as these
    stand in a float64; `greatest` is the largest |change|, first found in the element `at`.
    """

    elements: int = 0
    changed: int = 0
    finite: int = 0
    grown: int = 0
    shrunk: int = 0
    flips: int = 0
    old_nonfinite: int = 0
    new_nonfinite: int = 0
    old_squares: float = 0.0
    new_squares: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    shift: float = 0.0
    greatest: float = 0.0
    at: int | None = None
    counts: NDArray[np.int64] = field(default_factory=_no_counts)

    def add(self, other: Sums) -> None:
        """Add the sums of what follows."""
        if other.greatest > self.greatest and other.at is not None:
            self.greatest, self.at = other.greatest, self.elements + other.at
        self.elements += other.elements
        self.changed += other.changed
        self.finite += other.finite
        self.grown += other.grown
        self.shrunk += other.shrunk
        self.flips += other.flips
        self.old_nonfinite += other.old_nonfinite
        self.new_nonfinite += other.new_nonfinite
        self.old_squares += other.old_squares
        self.new_squares += other.new_squares
        self.squares += other.squares
        self.products += other.products
        self.shift += other.shift
        self.counts += other.counts


def compared(kind: Kind, old: Uints, new: Uints) -> Sums:
    """Return the sums of two runs of words; one array given twice stands for equal words."""
    length = min(BLOCK_WORDS, len(old))
    space = _Space(np.empty((4, length)), np.empty(length, np.bool_))
    total = Sums()
    with np.errstate(all="ignore"):
        for start in range(0, len(old), BLOCK_WORDS):
            end = start + BLOCK_WORDS
            after = new if new is old else new[start:end]
            _Block(kind, old[start:end], None if new is old else after, space, total).add()
    return total


@dataclass(frozen=True, slots=True)
class _Space:
    """Arrays that blocks take turns to use: fresh ones would cost as much as the sums."""

    numbers: Floats
    flag: NDArray[np.bool_]


class _Block:
    """One block, on its way into the sums of its run; `new` is None where words are equal."""

    def __init__(
        self, kind: Kind, old: Uints, new: Uints | None, space: _Space, total: Sums
    ) -> None:
        self.kind = kind
        self.old = old
        self.new = new
        self.total = total
        count = len(old)
        self.before, self.after, self.change, self.product = space.numbers[:, :count]
        self.flag = space.flag[:count]
        # Where the elements of `change` are in the block; None for one after the other.
        self.places: NDArray[np.intp] | None = None

    def add(self) -> None:
        """Add the block."""
        total, lanes = self.total, self.kind.lanes
        elements, changed = len(self.old) // lanes, self._changed()
        if self.kind.values is not None:
            self._numbers(self.kind.values, elements, changed)
        total.elements += elements
        total.changed += changed

    def _changed(self) -> int:
        if self.new is None:
            return 0
        np.not_equal(self.old, self.new, out=self.flag)
        if self.kind.lanes == 1:
            return int(np.count_nonzero(self.flag))
        return int(np.count_nonzero(self.flag.reshape(-1, self.kind.lanes).any(axis=1)))

    def _numbers(self, values: Values, elements: int, changed: int) -> None:
        values(self.old, self.before)
        old_squares = self._dot(self.before, self.before)
        if self.new is None or not changed:
            if math.isfinite(old_squares):
                self._add_squares(elements, old_squares, old_squares, old_squares)
                return
            self.new, self.after, new_squares = self.old, self.before, old_squares
        else:
            values(self.new, self.after)
            new_squares = self._dot(self.after, self.after)
        if self.kind.wide:
            self.change = wide_change(self.kind, self.old, self.new)
        else:
            np.subtract(self.after, self.before, out=self.change)
        if not (math.isfinite(old_squares) and math.isfinite(new_squares)):
            elements, old_squares, new_squares = self._only_finite()
        self._add_squares(elements, old_squares, new_squares, self._dot(self.before, self.after))
        if len(self.change):
            self._add_change()

    def _add_squares(self, elements: int, old: float, new: float, products: float) -> None:
        total = self.total
        total.finite += elements
        total.old_squares += old
        total.new_squares += new
        total.products += products

    def _only_finite(self) -> tuple[int, float, float]:
        """Count the elements that are not finite and drop those pairs."""
        total, lanes = self.total, self.kind.lanes
        fine = [
            np.isfinite(values).reshape(-1, lanes).all(axis=1)
            for values in (self.before, self.after)
        ]
        total.old_nonfinite += int(np.count_nonzero(~fine[0]))
        total.new_nonfinite += int(np.count_nonzero(~fine[1]))
        both = fine[0] & fine[1]
        self.places = np.flatnonzero(both)
        chosen = np.repeat(both, lanes)
        self.before, self.after = self.before[chosen], self.after[chosen]
        self.change = self.change[chosen]
        self.product, self.flag = self.product[: len(self.before)], self.flag[: len(self.before)]
        squares = self._dot(self.before, self.before), self._dot(self.after, self.after)
        return len(self.places), *squares

    def _add_change(self) -> None:
        """Add what is known of the change; `product` still holds before times after."""
        total = self.total
        if self.kind.lanes == 1:
            total.flips += self._flips()
            total.squares += self._dot(self.change, self.change)
            greatest = float(max(self.change.max(), -self.change.min()))
            sizes: Floats | None = None
        else:
            total.squares += self._dot(self.change, self.change)
            sizes = moduli(self.change)
            greatest = float(sizes.max())
            self.change = moduli(self.after) - moduli(self.before)
        if greatest > total.greatest:
            found = int(np.argmax(np.abs(self.change) if sizes is None else sizes))
            total.greatest = greatest
            total.at = total.elements + (found if self.places is None else int(self.places[found]))
        total.shift += float(np.add.reduce(self.change))
        self._count()

    def _flips(self) -> int:
        if self.kind.word.itemsize == 8:
            # Products of doubles may come to nothing.
            return int(np.count_nonzero((self.before > 0) & (self.after < 0))) + int(
                np.count_nonzero((self.before < 0) & (self.after > 0))
            )
        return int(np.count_nonzero(np.less(self.product, 0.0, out=self.flag)))

    def _count(self) -> None:
        """Count changes by sign and exponent: the upper 12 bits of a float64."""
        exponents = np.right_shift(self.change.view(np.uint64), _MANTISSA)
        counts = np.bincount(exponents.view(np.int64), minlength=2 * EXPONENTS)
        if counts[0] or counts[EXPONENTS]:
            # Zeros share an exponent with the smallest numbers.
            grown, shrunk = (
                int(np.count_nonzero(one)) for one in (self.change > 0, self.change < 0)
            )
            counts[0] = grown - int(counts[1:EXPONENTS].sum())
            counts[EXPONENTS] = shrunk - int(counts[EXPONENTS + 1 :].sum())
        else:
            grown = int(counts[:EXPONENTS].sum())
            shrunk = len(self.change) - grown
        self.total.grown += grown
        self.total.shrunk += shrunk
        self.total.counts += counts

    def _dot(self, one: Floats, two: Floats) -> float:
        product = self.product if len(self.product) == len(one) else np.empty_like(one)
        np.multiply(one, two, out=product)
        return float(np.add.reduce(product))


def moduli(values: Floats) -> Floats:
    """Return the moduli of complex numbers, whose two halves lie side by side."""
    return np.hypot(values[0::2], values[1::2])


def wide_change(kind: Kind, old: Uints, new: Uints) -> Floats:
    """Subtract 64-bit integers before rounding, so that neighbours stay apart."""
    up = new.view(np.int64) > old.view(np.int64) if kind.signed else new > old
    size = np.where(up, new - old, old - new).astype(np.float64)
    return np.where(up, size, -size)
