"""What grouping by the base would gain, from the entropy of a sample.

Residuals are sorted into buckets of about a quarter of an octave; inside a bucket their low bits
are noise to any coder, so the entropy of the bucket tells how much a grouping saves. Counted
entropies are too low for small samples; the correction is that of Miller (1955) and Madow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvc.codec.grouping import merged
from mvc.codec.segments import Segment

_STEPS = 21
_ONE = 127 << 2


def saving(
    keys: NDArray[np.intp], residuals: Sequence[Segment], least: int, price: float
) -> tuple[float, ...]:
    """Return the bytes of each residual of a sample that groups of equal keys save.

    Groups of a sample are as large as `least` words, and each takes `price` bytes to tell.
    """
    rows = np.unique(keys, return_inverse=True)[1]
    starts = np.flatnonzero(np.diff(merged(np.bincount(rows), least), prepend=-1))
    found = []
    for residual in residuals:
        table = _table(rows, residual)
        alone = _bits(table.sum(axis=0, keepdims=True))
        apart = _bits(np.add.reduceat(table, starts, axis=0))
        found.append((alone - apart) / 8 - price * len(starts))
    return tuple(found)


def savings(
    tops: Segment,
    residuals: Sequence[Segment],
    candidates: Sequence[int],
    least: int,
    price: float,
) -> dict[int, tuple[float, ...]]:
    """Return, for each number of bits, the bytes of each residual that grouping saves.

    `tops` are the top units of the base, `least` and `price` as for `saving`.
    """
    finest = max(candidates)
    keys = (tops >> tops.dtype.type(tops.itemsize * 8 - finest)).astype(np.intp)
    values, rows = np.unique(keys, return_inverse=True)
    counts = np.bincount(rows)
    tables = [_table(rows, residual) for residual in residuals]
    alone = [_bits(table.sum(axis=0, keepdims=True)) for table in tables]
    found = {}
    for bits in candidates:
        folded, inside = np.unique(values >> (finest - bits), return_inverse=True)
        groups = merged(np.bincount(inside, counts, len(folded)).astype(np.int64), least)
        starts = np.flatnonzero(np.diff(groups[inside], prepend=-1))
        found[bits] = tuple(
            (whole - _bits(np.add.reduceat(table, starts, axis=0))) / 8 - price * len(starts)
            for whole, table in zip(alone, tables, strict=True)
        )
    return found


def _table(rows: NDArray[np.intp], residual: Segment) -> NDArray[np.int64]:
    buckets = _buckets(residual)
    width = int(buckets.max()) + 1
    joint = np.bincount(rows * width + buckets, minlength=(int(rows.max()) + 1) * width)
    return joint.reshape(-1, width)


def _buckets(residual: Segment) -> NDArray[np.int64]:
    floats = residual.astype(np.float32).view(np.uint32) >> np.uint32(_STEPS)
    return np.where(residual == 0, 0, floats.astype(np.int64) - (_ONE - 1))


def _bits(table: NDArray[np.int64]) -> float:
    """Return the entropy of the columns given the row, in bits over all words."""
    totals = table.sum(axis=1)
    held = table[table > 0].astype(np.float64)
    whole = totals[totals > 0].astype(np.float64)
    cells = np.count_nonzero(table, axis=1)[totals > 0]
    raw = float((whole * np.log2(whole)).sum() - (held * np.log2(held)).sum())
    return raw + float((cells - 1).sum()) / (2 * math.log(2))
