"""Whole rows of a chunk and of its base: their difference, and what a prediction leaves of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mvc.codec.lowrank import Factor, Factors, predict
from mvc.codec.lowrank_words import FLOATS, Doubles, Float, Words, joined, widened
from mvc.codec.segments import Segments

FIT_WORDS = 1 << 16
"""Words fitted at a time."""

MAX_ADDED = 2.0**100
"""Largest difference that is looked at: squares and sums of such values do not overflow."""


@dataclass(frozen=True, slots=True)
class Block:
    """Words of some rows: what was added, their last place, their weight (0: to be ignored).

    A weight is that of a variance in units of `unit` squared.
    """

    added: Doubles
    place: Doubles
    weight: Doubles
    unit: float

    @property
    def transposed(self) -> Block:
        """Return the block with rows and columns exchanged."""
        added, place, weight = (
            np.ascontiguousarray(part.T) for part in (self.added, self.place, self.weight)
        )
        return Block(added, place, weight, self.unit)


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole rows of a chunk and of its base: each segment is a matrix of rows x columns."""

    new: Segments
    base: Segments
    kind: str

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of rows and of columns."""
        rows, columns = self.new[0].shape
        return rows, columns

    def step(self, most: int) -> int:
        """Return the step that takes at most `most` rows, evenly spaced."""
        return -(-self.shape[0] // max(1, most))

    def every(self, step: int) -> Rows:
        """Return the first row and those that follow in steps."""
        new, base = (tuple(part[::step] for part in side) for side in (self.new, self.base))
        return Rows(new, base, self.kind)

    def runs(self, columns: Sequence[slice]) -> Rows:
        """Return some runs of columns, side by side."""
        new, base = (
            tuple(np.hstack([part[:, run] for run in columns]) for part in side)
            for side in (self.new, self.base)
        )
        return Rows(new, base, self.kind)

    def block(self, rows: slice, columns: slice) -> Block:
        """Return the block of some rows and columns."""
        spec = FLOATS[self.kind]
        new, base = (
            joined((part[rows, columns] for part in side), spec) for side in (self.new, self.base)
        )
        return block(new, base, spec)

    def row_blocks(self) -> Iterator[tuple[slice, Block]]:
        """Yield all rows, about `FIT_WORDS` words at a time."""
        rows, columns = self.shape
        for part in _slices(rows, FIT_WORDS // columns):
            yield part, self.block(part, slice(columns))

    def column_blocks(self) -> Iterator[tuple[slice, Block]]:
        """Yield all columns, about `FIT_WORDS` words at a time."""
        rows, columns = self.shape
        for part in _slices(columns, FIT_WORDS // rows):
            yield part, self.block(slice(rows), part)

    def bits(self, left: Factor, right: Factor) -> float:
        """Return about how many bits a word costs beside its prediction."""
        base = tuple(np.ascontiguousarray(part).ravel() for part in self.base)
        factors = Factors(np.ascontiguousarray(left), right)
        return self._cost(predict(base, self.kind, self.shape[1], 0, factors))

    def plain_bits(self) -> float:
        """Return about how many bits a word costs beside its base."""
        return self._cost(tuple(np.ascontiguousarray(part).ravel() for part in self.base))

    def _cost(self, predicted: Segments) -> float:
        spec = FLOATS[self.kind]
        new = joined((part.ravel() for part in self.new), spec)
        return cost(_ordered(new) - _ordered(joined(predicted, spec)))


def whole_rows(new: Segments, base: Segments, kind: str, columns: int, start: int) -> Rows | None:
    """Return the rows that lie in a chunk from end to end, None if there are none."""
    head = -start % columns
    rows = (len(new[0]) - head) // columns
    if rows < 1:
        return None
    new, base = (
        tuple(part[head : head + rows * columns].reshape(rows, columns) for part in side)
        for side in (new, base)
    )
    return Rows(new, base, kind)


def block(new: Words, base: Words, kind: Float) -> Block:
    """Return what can be told of a difference.

    Ignored are words without a value or far away, and zeros that stayed zeros, for they may be
    masked.
    """
    values, lost = widened(new, kind)
    before, gone = widened(base, kind)
    added = values - before
    ignored = ~(np.abs(added) < MAX_ADDED) | ((values == 0.0) & (before == 0.0))
    for without in (lost, gone):
        if without is not None:
            ignored |= without
    place = _last_place(new, kind)
    if ignored.any():
        added[ignored] = 0.0
        place[ignored] = np.median(place)
    # What was added had been rounded itself, to about as many bits.
    own = np.abs(added) * 2.0**-kind.mantissa
    weight = 1.0 / (np.square(place) + np.square(own))
    weight[ignored | ~np.isfinite(weight)] = 0.0
    most = float(weight.max()) or 1.0
    return Block(added, place, weight / most, most**-0.5)


def cost(difference: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    """Return about how many bits an integer costs: the entropy of its length, and its digits."""
    length = np.frexp(np.abs(difference).astype(np.float64))[1].ravel()
    share = np.bincount(length, minlength=2) / max(1, len(length))
    present = share[share > 0]
    # All digits but the first, and a sign.
    return float(share[1:] @ np.arange(1, len(share)) - present @ np.log2(present))


def _slices(count: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    for at in range(0, count, step):
        yield slice(at, min(at + step, count))


def _ordered(words: Words) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    signed = words.view(f"<i{words.itemsize}").astype(np.int64)
    most = (1 << (8 * words.itemsize - 1)) - 1
    return np.where(signed < 0, -(signed & most) - 1, signed)


def _last_place(words: Words, kind: Float) -> Doubles:
    exponent = (words >> words.dtype.type(kind.mantissa)).astype(np.int64)
    exponent &= 2 * kind.bias + 1
    np.maximum(exponent, 53 if kind.word == 8 else 1, out=exponent)
    exponent += 1023 - kind.bias - kind.mantissa
    return (exponent << 52).view(np.float64)
