"""Tell whether a delta is of low rank, and find the right factor that all its chunks share.

Nothing here is part of the format, and results may differ from machine to machine.

A sample decides first: the diagonal of its QR decomposition falls to the level of rounding noise
at its rank. Most deltas of ordinary training are of full rank and end here. Then a randomised
range finder gives the leading singular vectors (Halko, Martinsson, Tropp 2011, SIAM Review 53,
algorithms 4.4 and 5.1), a model of what factors and residuals cost gives the rank, and both
factors are improved in turn.
"""

from __future__ import annotations

import numpy as np

from mvc.codec.lowrank import MAX_RANK, Factor
from mvc.codec.lowrank_bytes import MAX_VALUES, encode_right
from mvc.codec.lowrank_fit import TRIAL_WORDS, grids, improved, on_grid, settled
from mvc.codec.lowrank_rows import Rows, whole_rows
from mvc.codec.lowrank_words import Doubles
from mvc.codec.segments import Segments

SHARE = 4
"""A rank is at most this part of the rows and of the columns."""

MIN_SIDE = 16
MAX_ROWS = 1024
MAX_COLUMNS = 1 << 17

GAIN = 0.9
"""Factors and residual must cost less than this part of a plain delta."""

NEAR_NOISE = 2.0
WANTED, WANTED_FAR = 2.0, 8.0
"""How much a sample must fall: to the level of rounding noise, or to one far above it."""

NARROW = 0.9
"""Share of a change that as many rows or columns as its rank do not have by chance."""

STANDS_OUT = 1.5
OVERSAMPLING = 10
EDGE = 1.2
VALUE_BITS = 4.0
ROUNDS = 8
HELPS = 0.98
RUNS = 4
PLACE_STEP = 31
SEED = 2011


def find_right(
    new: Segments, base: Segments, kind: str, columns: int, start: int, rows: int | None = None
) -> Factor | None:
    """Return the right factor (rank x columns, on a grid) of `new` less `base`, None if none pays.

    Args:
        new: the segments of a chunk, or of any whole rows of the matrix put together: the more
            rows, up to 1024, the better the factor.
        base: the segments of its base.
        kind: a label of `FLOATS`.
        columns: words of a row of the matrix.
        start: place of the first word in the matrix; 0 for rows put together.
        rows: rows of the matrix, which share the cost of the factor; None for those given alone.

    Only a small sample is looked at unless that is of low rank.
    """
    whole = whole_rows(new, base, kind, columns, start)
    if whole is None or columns > MAX_COLUMNS:
        return None
    share = rows or whole.shape[0]
    whole = whole.every(whole.step(MAX_ROWS))
    side = min(whole.shape)
    if side < MIN_SIDE:
        return None
    limit = min(MAX_RANK, side // SHARE, MAX_VALUES // columns)
    with np.errstate(all="ignore"):
        guess = _screen(whole, limit)
        if not guess:
            return None
        left, right = _spanned(whole, guess, limit, share)
        return _settled(whole, *_fitted(whole, left, right), share) if len(right) else None


def _screen(rows: Rows, limit: int) -> int:
    """Return the rank that a sample shows, 0 if it shows none that could pay."""
    added, place = _sample(rows, limit + limit // 8 + MIN_SIDE)
    live = added != 0.0
    if 2 * min(live.any(axis=0).sum(), live.any(axis=1).sum()) < len(live):
        return 0
    size, noise = _rms(added), _rms(place) / np.sqrt(12.0)
    diagonal = np.abs(np.diagonal(np.linalg.qr(added / size, mode="r"))) * size
    diagonal /= np.sqrt(np.arange(len(diagonal), 0, -1))
    floor = max(noise, _rms(diagonal[-max(8, len(diagonal) // 8) :]))
    wanted = WANTED if floor < NEAR_NOISE * noise else WANTED_FAR
    rank = min(limit, int(np.sum(diagonal > STANDS_OUT * floor))) if size > wanted * floor else 0
    return 0 if _narrow(added, rank) else rank


def _narrow(added: Doubles, rank: int) -> bool:
    """Tell whether as few rows or columns as the rank changed: what the words of a batch do."""
    for axis in (0, 1):
        energy = np.sort(np.sum(np.square(added), axis=axis))
        if energy[len(energy) - rank :].sum() > NARROW * energy.sum():
            return True
    return False


def _sample(rows: Rows, side: int) -> tuple[Doubles, Doubles]:
    """Return what was added to a square of spaced rows and runs of columns, and last places."""
    count, columns = rows.shape
    side = min(side, count, columns) // RUNS * RUNS
    width = side // RUNS
    starts = np.linspace(0, columns - width, RUNS, dtype=int).tolist()
    few = rows.every(count // side).runs([slice(at, at + width) for at in starts])
    taken = few.block(slice(side), slice(side))
    return taken.added, taken.place


def _rms(values: Doubles) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _spanned(rows: Rows, guess: int, limit: int, share: int) -> tuple[Doubles, Doubles]:
    """Return left and right factors of the rank that pays, which may be 0."""
    count, columns = rows.shape
    width = min(guess + OVERSAMPLING, count, columns)
    right = np.random.default_rng(SEED).standard_normal((width, columns))
    for _ in range(2):
        left = np.concatenate([part.added @ right.T for _, part in rows.row_blocks()])
        left = np.linalg.qr(left)[0]
        right = np.zeros((width, columns))
        energy, places = 0.0, []
        for where, part in rows.row_blocks():
            right += left[where].T @ part.added
            energy += float(np.sum(np.square(part.added)))
            places.append(part.place.ravel()[::PLACE_STEP])
    directions, middle = np.linalg.qr(right.T)
    turn, size, back = np.linalg.svd(middle.T)
    size = size[:limit]
    remaining = (energy - np.concatenate([[0.0], np.cumsum(size * size)])).clip(0.0)
    words = count * columns
    rank = _paying_rank(
        size / np.sqrt(words), remaining / words, np.concatenate(places), (share, columns)
    )
    # Noise alone has components about as large as this, which tell nothing of other rows.
    edge = np.sqrt(remaining[rank] / words) * (np.sqrt(count) + np.sqrt(columns))
    rank = min(rank, int(np.sum(size > EDGE * edge)))
    root = np.sqrt(size[:rank])
    return (left @ turn[:, :rank]) * root, root[:, None] * (back[:rank] @ directions.T)


def _paying_rank(size: Doubles, variance: Doubles, places: Doubles, shape: tuple[int, int]) -> int:
    """Return the rank at which factors and residual cost least, 0 if that is hardly less.

    `size` is what each component adds to a word (root of the mean square), `variance` what each
    rank from 0 on leaves. A residual is taken to be normal.
    """
    rows, columns = shape
    squares = np.square(places)
    spread = [np.mean(np.log2(one / squares + 1.0 / 12.0)) for one in variance]
    residual = rows * columns * (np.array(spread) + np.log2(2.0 * np.pi * np.e)) / 2.0
    bits = np.log2(size / np.median(places)).clip(0.0) + VALUE_BITS
    total = residual + (rows + columns) * np.concatenate([[0.0], np.cumsum(bits)])
    best = int(np.argmin(total))
    return best if total[best] < GAIN * total[0] else 0


def _fitted(rows: Rows, left: Doubles, right: Doubles) -> tuple[Doubles, Doubles]:
    """Improve both factors in turn, as long as that helps."""
    step = rows.step(TRIAL_WORDS // rows.shape[1])
    trial = rows.every(step)
    before = np.inf
    for number in range(ROUNDS):
        anew = number == 0
        for where, part in rows.column_blocks():
            right[:, where] = improved(part.transposed, right[:, where].T, left.T, 1, anew=anew).T
        for where, part in rows.row_blocks():
            left[where] = improved(part, left[where], right, 1, anew=anew)
        bits = trial.bits(_finest(left[::step]), _finest(right))
        if bits > HELPS * before:
            break
        before = bits
    return left, right


def _finest(factor: Doubles) -> Factor:
    return on_grid(factor, np.full(len(factor), -np.inf))


def _settled(rows: Rows, left: Doubles, right: Doubles, share: int) -> Factor | None:
    """Put the right factor on the grid that pays best, None if it does not pay at all."""
    columns = rows.shape[1]
    step = rows.step(TRIAL_WORDS // columns)
    trial = rows.every(step)
    fine = _finest(left[::step])
    place = float(np.median(trial.block(slice(None), slice(None)).place))
    words = share * columns
    chosen = settled(grids(right, left.T, place), lambda one: trial.bits(fine, one) * words)
    values = 8 * len(encode_right(chosen)) * (share + columns) / columns
    pays = trial.bits(fine, chosen) * words + values < GAIN * trial.plain_bits() * words
    return chosen if pays else None
