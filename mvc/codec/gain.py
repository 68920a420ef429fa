"""What grouping by the base would gain, from the entropy of a sample.

Residuals are sorted into buckets of about a quarter of an octave; inside a bucket their low bits
are noise to any coder, so the entropy of the bucket tells how much a grouping saves. Counted
entropies are too low for small samples; the correction is that of Miller (1955) and Madow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvc.codec.grouping import merged
from mvc.codec.segments import Segment

GROUP_BYTES = 20
BIN_BYTES = 3
"""About what a group takes besides its units, and for each of the bins that a coder tells apart."""

_STEPS = 21
_ONE = 127 << 2


@dataclass(frozen=True, slots=True)
class Field:
    """A key: `bits` leading bits of a word, or of its magnitude, the word without its sign."""

    bits: int
    signed: bool = True


def saving(
    keys: NDArray[np.intp], residuals: Sequence[Segment], least: int, share: float
) -> tuple[float, ...]:
    """Return the bytes of each residual of a sample that groups of equal keys save.

    Groups of a sample are as large as `least` words; the sample is the `share` of a chunk.
    """
    _, rows = _present(keys)
    groups = merged(np.bincount(rows), least)
    tables = [_table(rows, residual) for residual in residuals]
    return tuple(_saved(table, _whole(table), groups, share) for table in tables)


def savings(
    tops: Segment,
    residuals: Sequence[Segment],
    candidates: Sequence[Field],
    least: int,
    share: float,
) -> dict[Field, tuple[float, ...]]:
    """Return, for each key, the bytes of each residual that grouping saves.

    `tops` are the top units of the base, `least` and `share` as for `saving`.
    """
    finest = max(field.bits + (not field.signed) for field in candidates)
    keys = (tops >> tops.dtype.type(tops.itemsize * 8 - finest)).astype(np.intp)
    values, rows = _present(keys)
    counts = np.bincount(rows)
    tables = [_table(rows, residual) for residual in residuals]
    whole = [_whole(table) for table in tables]
    found = {}
    for field in candidates:
        sign = 0 if field.signed else 1 << (finest - 1)
        folded = (values & ~sign) >> (finest - field.bits - (not field.signed))
        _, inside = _present(folded)
        order = np.argsort(inside, kind="stable")
        groups = merged(np.bincount(inside, counts).astype(np.int64), least)[inside[order]]
        found[field] = tuple(
            _saved(table[order], alone, groups, share)
            for table, alone in zip(tables, whole, strict=True)
        )
    return found


def _present(keys: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the keys that occur, ascending, and for each unit which of them it has."""
    values = np.flatnonzero(np.bincount(keys))
    ranks = np.empty(int(values[-1]) + 1, np.intp)
    ranks[values] = np.arange(len(values))
    return values, ranks[keys]


def _whole(table: NDArray[np.int64]) -> float:
    return _bits(table.sum(axis=0, keepdims=True))


def _saved(table: NDArray[np.int64], alone: float, groups: NDArray[np.intp], share: float) -> float:
    """Return the bytes saved by coding runs of rows apart, less what it takes to tell of them.

    `alone` is the entropy of the columns without the rows.
    """
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    apart = _bits(np.add.reduceat(table, starts, axis=0))
    bins = 2 ** (alone / max(1, int(table.sum())))
    told = (GROUP_BYTES + BIN_BYTES * bins) * (len(starts) - 1)
    return (alone - apart) / 8 - told * share


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
