"""Matrices whose axes were swapped and whose words are equal otherwise."""

from __future__ import annotations

import numpy as np

from mvc.diff.values import Run, count
from mvc.repo.tensors import Held

MAX_ELEMENTS = 1 << 25
"""Elements of a matrix that is compared with its transpose: one side is in memory as a whole."""

_ROWS_WORDS = 1 << 18


def is_transposed(old: Held, new: Held) -> bool:
    """Tell whether a matrix has the words of another one with its axes swapped.

    Never of words that are also equal as they lie: symmetric or constant ones.
    """
    shape = old.tensor.shape
    if len(shape) != 2 or new.tensor.shape != shape[::-1] or min(shape) < 2:
        return False
    if old.tensor.content == new.tensor.content or count(shape) > MAX_ELEMENTS:
        return False
    one, two = Run(old, raw=True), Run(new, raw=True)
    if one.length != count(shape) or two.length != count(shape):
        return False
    if not _corner_is(one, two, shape):
        return False
    whole = one.between(0, one.length).reshape(shape)
    step = max(1, _ROWS_WORDS // shape[0])
    for start in range(0, shape[1], step):
        stop = min(start + step, shape[1])
        rows = two.between(start * shape[0], stop * shape[0]).reshape(-1, shape[0])
        if not np.array_equal(rows, whole[:, start:stop].T):
            return False
    return True


def _corner_is(one: Run, two: Run, shape: tuple[int, ...]) -> bool:
    """Compare the first row with the first column, before a matrix is read for it."""
    column = np.array([one.between(row * shape[1], row * shape[1] + 1)[0] for row in range(2)])
    return bool(np.array_equal(two.between(0, 2), column))
