"""Fit the left factor of a low-rank delta to a chunk, given the right one.

Any factors decode to the same words; better ones leave less to store. So nothing here is part of
the format, and results may differ from machine to machine.

A word tells what was added to its base to within half its last place, so small words tell more
than large ones: the fit is by weighted least squares. And any prediction within that half is as
good as another: later passes fit the words alone that are missed, which comes near what the true
factors would predict. The values are then rounded to the coarsest grid at which a finer one would
cost more than it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from mvc.codec.lowrank import Factor, pieces, rows_of
from mvc.codec.lowrank_bytes import MANTISSA, MAX_EXPONENT, MIN_EXPONENT
from mvc.codec.lowrank_rows import FIT_WORDS, Block, block, whole_rows
from mvc.codec.lowrank_words import FLOATS, Doubles, joined
from mvc.codec.segments import Segments

TRIAL_WORDS = 1 << 15
"""Words that a grid is tried on."""

DIRECT_RANK = 16
DIRECT_VALUES = 1 << 20
"""Above these, rows are fitted by conjugate gradients, not with a matrix of their own."""

DESCENTS = 4
PASSES = 2
MARGIN = 0.25
"""Where later passes aim, as part of the last place; 0.5 would be the edge."""

SATISFIED = 0.03
"""Weight of a word that is met already beside one that is missed."""

RIDGE = 1e-10
SPREAD_WORDS = 1 << 11
MAX_ERROR = 2.0**500
COARSEST, FINEST = -2, 8
USUAL = 5


def fit_left(
    new: Segments, base: Segments, kind: str, columns: int, start: int, right: Factor
) -> Factor:
    """Return the left factor (rows of the chunk x rank, on a grid) that goes with `right`.

    Args:
        new: the segments of a chunk.
        base: the segments of its base, as many words.
        kind: a label of `FLOATS`.
        columns: words of a row of the matrix.
        start: place of the chunk's first word in the matrix.
        right: what `find_right` found, or `decode_right` gave.
    """
    spec, count = FLOATS[kind], len(new[0])
    left = np.zeros((rows_of(count, columns, start), len(right)))
    places = []
    with np.errstate(all="ignore"):
        for piece in pieces(count, columns, start, max(FIT_WORDS, columns)):
            shape = (piece.rows.stop - piece.rows.start, -1)
            after, before = (
                joined((part[piece.words] for part in side), spec).reshape(shape)
                for side in (new, base)
            )
            part = block(after, before, spec)
            left[piece.rows] = improved(
                part, left[piece.rows], right[:, piece.columns], PASSES, anew=True
            )
            places.append(np.median(part.place))
        candidates = grids(left.T, right, float(np.median(places)))
    rows = whole_rows(new, base, kind, columns, start)
    if rows is None:
        return np.ascontiguousarray(next(islice(candidates, USUAL, None)).T)
    step = rows.step(TRIAL_WORDS // columns)
    trial, first = rows.every(step), 1 if start % columns else 0
    taken = slice(first, first + rows.shape[0], step)
    chosen = settled(candidates, lambda one: trial.bits(one.T[taken], right) * count)
    return np.ascontiguousarray(chosen.T)


def improved(
    part: Block, left: Doubles, right: Doubles, passes: int, *, anew: bool = False
) -> Doubles:
    """Return a better `left` (rows x rank) for a block (rows x columns).

    With `anew` all words are fitted first, then, as often as `passes`, those that `left` misses.
    """
    if anew:
        left = left + (part.added - left @ right) @ right.T @ _inverse(right)
        miss = part.added - left @ right
        weight = _weight(part, miss)
        left = left + _step(miss, weight, right)
    half = MARGIN * part.place
    for _ in range(passes):
        miss = part.added - left @ right
        weight = _weight(part, miss)
        miss -= np.clip(miss, -half, half)
        left = left + _step(miss, np.where(miss == 0.0, SATISFIED, 1.0) * weight, right)
    return left


def _weight(part: Block, miss: Doubles) -> Doubles:
    """Return the weights of words, more even ones as long as `miss` is more than rounding."""
    typical = slice(None, None, max(1, miss.size // SPREAD_WORDS))
    error = float(np.median(np.abs(miss.ravel()[typical])))
    if error < float(np.median(part.place.ravel()[typical])):
        return part.weight
    return part.weight / (1.0 + part.weight * min(error / part.unit, MAX_ERROR) ** 2)


def grids(values: Doubles, other: Doubles, place: float) -> Iterator[Factor]:
    """Yield `values` (rank x length) rounded to ever finer grids, twice as fine each time.

    The units suit a product with `other` (rank x any length) for words whose last place is worth
    `place`: what rounding adds to a sum is the same for each component.
    """
    size = np.sqrt(np.mean(other * other, axis=1) * len(other))
    unit = np.log2(place / np.where(size > 0.0, size, 1.0))
    for finer in range(COARSEST, FINEST):
        yield on_grid(values, np.floor(unit) - finer)


def on_grid(values: Doubles, exponents: Doubles) -> Factor:
    """Return values rounded to multiples of powers of two, one for each row; NaN becomes 0.

    The exponents are raised where multiples or values would be too large to be stored.
    """
    with np.errstate(all="ignore"):
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        least = np.frexp(np.abs(values).max(axis=1))[1] - MANTISSA
        unit = np.exp2(np.clip(np.maximum(exponents, least), MIN_EXPONENT, MAX_EXPONENT))[:, None]
        most = float((1 << MANTISSA) - 1)
        multiples = np.clip(np.rint(values / unit), -most, most)
    # A negative zero would come back from its bytes as a positive one.
    factor: Factor = multiples * unit + 0.0
    return factor


def settled(candidates: Iterator[Factor], bits: Callable[[Factor], float]) -> Factor:
    """Return the candidate that costs least together with what it leaves, in `bits`.

    Each candidate is supposed to take one bit a value more than the one before.
    """
    best = next(candidates)
    least = bits(best)
    for number, one in enumerate(candidates, 1):
        total = number * one.size + bits(one)
        if total >= least:
            break
        best, least = one, total
    return best


def _step(miss: Doubles, weight: Doubles, basis: Doubles) -> Doubles:
    """Return x (rows x rank) that about minimises the weighted squares of miss - x @ basis."""
    moments = (weight * miss) @ basis.T
    first, second = np.triu_indices(len(basis))
    if len(basis) > DIRECT_RANK or len(first) * basis.shape[1] > DIRECT_VALUES:
        return _descended(moments, weight, basis)
    gram = np.empty((len(miss), len(basis), len(basis)))
    gram[:, first, second] = weight @ (basis[first] * basis[second]).T
    gram[:, second, first] = gram[:, first, second]
    return _solved(gram, moments[:, None])[:, 0]


def _descended(moments: Doubles, weight: Doubles, basis: Doubles) -> Doubles:
    """Return what `_step` does by conjugate gradients, all rows at once.

    The matrix without weights is near enough to those with them to be the preconditioner.
    """
    inverse = _inverse(basis)
    solution = np.zeros_like(moments)
    ahead = moments @ inverse
    size = np.sum(moments * ahead, axis=1, keepdims=True)
    direction = ahead
    for _ in range(DESCENTS):
        change = (weight * (direction @ basis)) @ basis.T
        length = _ratio(size, np.sum(direction * change, axis=1, keepdims=True))
        solution += length * direction
        moments = moments - length * change
        ahead = moments @ inverse
        before, size = size, np.sum(moments * ahead, axis=1, keepdims=True)
        direction = ahead + _ratio(size, before) * direction
    return solution


def _ratio(over: Doubles, under: Doubles) -> Doubles:
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0.0)


def _inverse(basis: Doubles) -> Doubles:
    inverse: Doubles = _solved((basis @ basis.T)[None], np.eye(len(basis))[None])[0]
    return inverse


def _solved(gram: Doubles, moments: Doubles) -> Doubles:
    """Return x of x @ gram = moments, for each of many symmetric matrices."""
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))[:, :, None]
    gram = gram * scale * scale.transpose(0, 2, 1) + RIDGE * np.eye(gram.shape[1])
    solution = np.linalg.solve(gram, moments.transpose(0, 2, 1) * scale) * scale
    return solution.transpose(0, 2, 1)
