"""Tensors that became longer or shorter along one axis, such as a vocabulary with more rows."""

from __future__ import annotations

import numpy as np

from mvc.diff.findings import Growth, GrowthEnd
from mvc.diff.values import Array, Run, count
from mvc.repo.tensors import Held

ROWS_WORDS = 1 << 18


def measure(old: Held, new: Held, *, words: bool = True) -> Growth | None:
    """Return how one axis grew, None unless the dtypes are equal and exactly one axis differs.

    Without `words` nothing is read, and what the common part did stays open.
    """
    one, two = old.tensor, new.tensor
    if one.dtype != two.dtype or len(one.shape) != len(two.shape):
        return None
    axes = [axis for axis, dim in enumerate(one.shape) if dim != two.shape[axis]]
    if len(axes) != 1 or not count(one.shape) or not count(two.shape):
        return None
    axis = axes[0]
    added = two.shape[axis] - one.shape[axis]
    common = min(count(one.shape), count(two.shape))
    lanes = _lanes(old)
    if not words or lanes is None:
        return Growth(axis, added, common)
    changed = _changed(old, new, axis, lanes, "end")
    if changed > common // 2:
        other = _changed(old, new, axis, lanes, "start")
        if other < changed // 2:
            return Growth(axis, added, common, other, "start")
    return Growth(axis, added, common, changed)


def _lanes(held: Held) -> int | None:
    """Return the words of an element, None where an element is no whole number of words."""
    tensor = held.tensor
    words, elements = tensor.content.size // tensor.content.word, count(tensor.shape)
    return words // elements if words % elements == 0 and words else None


def _changed(old: Held, new: Held, axis: int, lanes: int, end: GrowthEnd) -> int:
    """Count the elements of the common part that differ."""
    outer = count(old.tensor.shape[:axis])
    before = count(old.tensor.shape[axis:]) * lanes
    after = count(new.tensor.shape[axis:]) * lanes
    common = min(before, after)
    skip = (0, 0) if end == "end" else (before - common, after - common)
    one, two = Run(old, raw=True), Run(new, raw=True)
    aligned = outer == 1 and skip == (0, 0)
    if common >= ROWS_WORDS or outer == 1:
        changed = 0
        for row in range(outer):
            left, right = row * before + skip[0], row * after + skip[1]
            for start in range(0, common, one.step()):
                stop = min(start + one.step(), common)
                if aligned and _equal_part(old, new, start, stop, one.step()):
                    continue
                pieces = (
                    one.between(left + start, left + stop),
                    two.between(right + start, right + stop),
                )
                changed += _differing(*pieces, lanes)
        return changed
    return _changed_rows(one, two, (outer, before, after, common), skip, lanes)


def _changed_rows(
    one: Run, two: Run, sizes: tuple[int, int, int, int], skip: tuple[int, int], lanes: int
) -> int:
    """Count what differs in rows that are short: many at a time."""
    outer, before, after, common = sizes
    rows = max(1, ROWS_WORDS // max(before, after))
    changed = 0
    for start in range(0, outer, rows):
        stop = min(start + rows, outer)
        left = one.between(start * before, stop * before).reshape(-1, before)
        right = two.between(start * after, stop * after).reshape(-1, after)
        left = left[:, skip[0] : skip[0] + common]
        right = right[:, skip[1] : skip[1] + common]
        changed += _differing(left.reshape(-1), right.reshape(-1), lanes)
    return changed


def _equal_part(old: Held, new: Held, start: int, stop: int, step: int) -> bool:
    """Tell whether ids alone show that a full part is equal."""
    number = start // step
    same = old.part_id(number) is not None and old.part_id(number) == new.part_id(number)
    return same and stop - start == step


def _differing(one: Array, two: Array, lanes: int) -> int:
    differs = one != two
    return int(np.count_nonzero(differs.reshape(-1, lanes).any(axis=1) if lanes > 1 else differs))
