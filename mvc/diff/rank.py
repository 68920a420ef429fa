"""How many directions a change of a matrix has: its effective rank.

Roy and Vetterli, "The effective rank: a measure of effective dimensionality" (EUSIPCO 2007): the
exponential of the entropy of the singular values, each divided by their sum. A change of rank r
whose singular values are alike gives r; a few strong directions among many weak ones give a few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mvc.diff.kinds import Floats, Kind, Values, kind_of
from mvc.diff.structure import Pair
from mvc.repo.tensors import load_both

EXACT = 2048
"""The smaller side of a matrix up to which all singular values are computed."""
HELD = 1 << 22
"""Elements of a change that are taken at a time; up to so many, a matrix is turned as a whole."""
SEED = 2007
NOISE = 1e-7
"""Singular values below this share of the greatest are rounding: a Gram matrix squares them."""


def effective_rank(pair: Pair) -> float | None:
    """Return the effective rank of new minus old, approximate in its last digits.

    A tensor of more than two axes is a matrix of its first axis by all others, as layers use
    kernels of convolutions. Elements that are not finite on both sides count as unchanged. Of a
    matrix of more than `HELD` elements and `EXACT` columns, columns are first added up, with random
    signs, into `EXACT` ones (Clarkson and Woodruff, STOC 2013; fixed seed): the rank that this
    gives is at most `EXACT`, and low where it comes near. None for vectors, scalars, complex
    numbers, and types without numbers.
    """
    shape = pair.new.tensor.shape
    kind = kind_of(pair.new.tensor.dtype, pair.new.tensor.content.word)
    if len(shape) < 2 or kind.values is None or kind.lanes > 1 or not math.prod(shape):
        return None
    rows, columns = shape[0], math.prod(shape[1:])
    if rows * columns * kind.word.itemsize != pair.new.tensor.content.size:
        return None
    blocks = _row_blocks(pair, kind, kind.values, columns)
    return entropy_rank(_gram(blocks, rows, columns))


def entropy_rank(gram: Floats) -> float | None:
    """Return the effective rank of a matrix whose product with itself transposed is `gram`."""
    if not np.isfinite(gram).all():
        return None
    squares = np.linalg.eigvalsh(gram)
    values = np.sqrt(np.maximum(squares, 0.0))
    values = values[values > NOISE * values.max(initial=0.0)]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _gram(blocks: Iterator[Floats], rows: int, columns: int) -> Floats:
    """Return the product of the matrix with itself transposed, along its smaller side if it can."""
    if rows < columns and rows * columns <= HELD:
        whole = np.concatenate(list(blocks))
        turned: Floats = whole @ whole.T
        return turned
    sketch = _Sketch(columns) if columns > EXACT else None
    total: Floats | None = None
    for block in blocks:
        part = block if sketch is None else sketch.of(block)
        product = part.T @ part
        total = product if total is None else np.add(total, product, out=total)
    return np.zeros((1, 1)) if total is None else total


class _Sketch:
    """Adds columns up, each with a random sign and into a random one of `EXACT`."""

    def __init__(self, columns: int) -> None:
        random = np.random.Generator(np.random.PCG64(SEED))
        targets = random.integers(EXACT, size=columns)
        self._order = np.argsort(targets, kind="stable")
        self._starts = np.flatnonzero(np.diff(targets[self._order], prepend=-1))
        self._signs = random.integers(2, size=columns) * 2.0 - 1.0

    def of(self, rows: Floats) -> Floats:
        """Return the rows with fewer columns."""
        rows *= self._signs
        summed: Floats = np.add.reduceat(rows[:, self._order], self._starts, axis=1)
        return summed


def _row_blocks(pair: Pair, kind: Kind, values: Values, columns: int) -> Iterator[Floats]:
    """Yield the change as whole rows; a part may end inside a row."""
    left = np.empty(0)
    for number in range(pair.new.parts):
        whole = np.concatenate([left, _change(pair, kind, values, number)])
        count = len(whole) // columns * columns
        if count:
            yield whole[:count].reshape(-1, columns)
        left = whole[count:]


def _change(pair: Pair, kind: Kind, values: Values, number: int) -> Floats:
    name = pair.new.part_id(number)
    if name is not None and name == pair.old.part_id(number):
        return np.zeros(pair.new.part_bytes(number) // kind.word.itemsize)
    sides = [np.frombuffer(side, kind.word) for side in load_both(pair.old, pair.new, number)]
    before, after = (np.empty(len(side)) for side in sides)
    with np.errstate(all="ignore"):
        values(sides[0], before)
        values(sides[1], after)
        change = np.subtract(after, before, out=after)
    change[~np.isfinite(change)] = 0.0
    return change
