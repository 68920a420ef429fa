"""How far a tensor is from another, for telling people of a conflict."""

from __future__ import annotations

import math

import numpy as np

from mvc.base.parallel import ordered_map
from mvc.merge.numbers import numbers
from mvc.merge.work import blocks, total
from mvc.repo.tensors import Held


def relative_change(base: Held, side: Held) -> float | None:
    """Return ||side - base|| / ||base|| over elements that are finite in both.

    None where the base is all zeros, or the dtype has no numbers. Sums in float64 in the order of
    the elements, the same on every machine. Equal parts are read once. The two have one dtype and
    shape.
    """
    found = numbers(base.tensor.dtype)
    if found is None:
        return None

    def sums(number: int) -> tuple[float, float]:
        old = np.frombuffer(base.load(number), found.word)
        same = base.part_id(number) is not None and base.part_id(number) == side.part_id(number)
        new = old if same else np.frombuffer(side.load(number), found.word)
        squares, changes = [], []
        with np.errstate(all="ignore"):
            for at in blocks(len(old)):
                before, after = found.values(old[at]), found.values(new[at])
                finite = np.isfinite(before) & np.isfinite(after)
                before, after = before[finite], after[finite]
                squares.append(total(before * before))
                delta = after - before
                changes.append(total(delta * delta))
        return math.fsum(squares), math.fsum(changes)

    pairs = list(ordered_map(sums, range(base.parts)))
    norm = math.fsum(square for square, _ in pairs)
    return math.sqrt(math.fsum(change for _, change in pairs) / norm) if norm > 0 else None
