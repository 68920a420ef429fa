"""Units in groups that a decoder can form by itself (docs/format.md, "Groups").

The words of a base say something about the residuals against it: weight decay and the size of an
update relative to the word show in the word's sign, exponent and first mantissa bits. Units whose
base agrees in these bits are put together and coded as one group. The order costs no bytes, since
whoever decodes has the base.

Work goes block by block: sorting and gathering 2^16 words stays in the processor's cache, which
makes both about four times as fast as on a whole chunk. The result does not depend on the blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec.segments import Segment

BLOCK = 1 << 16
_PLACE_BITS = 24
MAX_GROUPS = 256


class Grouping(Protocol):
    """A division of the units of a chunk."""

    sizes: tuple[int, ...]

    def gather(self, segment: Segment) -> Segment:
        """Return the units, group by group; inside a group they keep their order."""
        ...

    def scatter(self, gathered: Segment) -> Segment:
        """Undo `gather`."""
        ...


class ByKey:
    """Groups of units whose keys, below `values`, are equal or neighbours.

    Keys are taken in ascending order and put into one group until it has at least 2^`floor` units;
    what is left at the end joins the last group. Raises FormatError where there are too many.
    """

    def __init__(self, keys: Segment, values: int, floor: int) -> None:
        blocks = [
            keys[start : start + BLOCK].astype(np.intp) for start in range(0, len(keys), BLOCK)
        ]
        counts = np.array([np.bincount(block, minlength=values) for block in blocks])
        table = merged(counts.sum(axis=0), 1 << floor)
        if table[-1] >= MAX_GROUPS:
            raise FormatError("a section has too many groups")
        groups = table.astype(np.uint32) << np.uint32(_PLACE_BITS)
        self._orders = [_order(groups[block]) for block in blocks]
        starts = np.flatnonzero(np.diff(table, prepend=-1))
        matrix = np.add.reduceat(counts, starts, axis=1)
        self.sizes = tuple(matrix.sum(axis=0).tolist())
        self._inward = _cuts(matrix, by_block=True)
        self._outward = _cuts(matrix, by_block=False)

    def gather(self, segment: Segment) -> Segment:
        """Return the units, group by group; inside a group they keep their order."""
        blocks = np.empty_like(segment)
        for number, order in enumerate(self._orders):
            part = slice(number * BLOCK, number * BLOCK + BLOCK)
            np.take(segment[part], order, out=blocks[part], mode="clip")
        return np.concatenate([blocks[cut] for cut in self._inward])

    def scatter(self, gathered: Segment) -> Segment:
        """Undo `gather`."""
        blocks = np.concatenate([gathered[cut] for cut in self._outward])
        out = np.empty_like(blocks)
        for number, order in enumerate(self._orders):
            part = slice(number * BLOCK, number * BLOCK + BLOCK)
            out[part][order] = blocks[part]
        return out


def _order(groups: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the places of a block in the order of groups, which stand above the place's bits.

    Numbers that hold both are sorted several times faster than places by their groups.
    """
    groups |= np.arange(len(groups), dtype=np.uint32)
    groups.sort()
    groups &= np.uint32((1 << _PLACE_BITS) - 1)
    return groups.astype(np.intp)


class ByColumn:
    """Groups of units at the same place of records of `stride` units; the first is at `phase`."""

    def __init__(self, count: int, stride: int, phase: int) -> None:
        self._starts = [(column - phase) % stride for column in range(stride)]
        self._stride = stride
        self._count = count
        self.sizes = tuple(len(range(start, count, stride)) for start in self._starts)

    def gather(self, segment: Segment) -> Segment:
        """Return the units, column by column."""
        return np.concatenate([segment[start :: self._stride] for start in self._starts])

    def scatter(self, gathered: Segment) -> Segment:
        """Undo `gather`."""
        out = np.empty_like(gathered)
        at = 0
        for start, size in zip(self._starts, self.sizes, strict=True):
            out[start :: self._stride] = gathered[at : at + size]
            at += size
        return out


def merged(counts: NDArray[np.int64], least: int) -> NDArray[np.intp]:
    """Return the group of each value, joining neighbours until a group has `least` words."""
    starts, held = [0], 0
    for value in np.flatnonzero(counts).tolist():
        held += int(counts[value])
        if held >= least:
            starts.append(value + 1)
            held = 0
    # What is left behind the last full group belongs to it.
    marks = np.zeros(len(counts), np.intp)
    marks[starts[1:-1]] = 1
    return np.cumsum(marks)


def _cuts(counts: NDArray[np.int64], *, by_block: bool) -> list[slice]:
    """Return the runs that lead from block order to group order (`by_block`), or back."""
    source = counts if by_block else counts.T
    starts = np.cumsum(source).reshape(source.shape) - source
    ends = starts + source
    pairs = zip(starts.T.ravel().tolist(), ends.T.ravel().tolist(), strict=True)
    return [slice(start, end) for start, end in pairs if start != end] or [slice(0, 0)]


def boundaries(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return where each group starts and ends."""
    return list(itertools.pairwise([0, *itertools.accumulate(sizes)]))
