"""Units in groups that a decoder can form by itself (docs/format.md, "Groups").

The words of a base say something about the residuals against it: weight decay and the size of an
update relative to the word show in the word's sign, exponent and first mantissa bits. Units whose
base agrees in these bits are put together and coded as one group. The order costs no bytes, since
whoever decodes has the base.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import kernels
from mvc.codec.kernels import Partition
from mvc.codec.segments import Segment

MAX_GROUPS = 256


class Grouping(Partition, Protocol):
    """A division of the units of a chunk."""

    sizes: tuple[int, ...]


class ByKey:
    """Groups of units whose keys, below `values`, are equal or neighbours.

    Keys are taken in ascending order and put into one group until it has at least 2^`floor` units;
    what is left at the end joins the last group. Raises FormatError where there are too many.
    """

    def __init__(self, keys: Segment, values: int, floor: int) -> None:
        counts = kernels.chosen.count(keys, values)
        table = merged(counts, 1 << floor)
        if table[-1] >= MAX_GROUPS:
            raise FormatError("a section has too many groups")
        starts = np.flatnonzero(np.diff(table, prepend=-1))
        self.sizes = tuple(np.add.reduceat(counts, starts).tolist())
        self._held = kernels.chosen.partition(keys, table.astype(np.uint8), self.sizes)

    def gather(self, segment: Segment) -> Segment:
        """Return the units, group by group; inside a group they keep their order."""
        return self._held.gather(segment)

    def scatter(self, gathered: Segment) -> Segment:
        """Undo `gather`."""
        return self._held.scatter(gathered)


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


def boundaries(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return where each group starts and ends."""
    return list(itertools.pairwise([0, *itertools.accumulate(sizes)]))
