"""The inner loops by NumPy, for machines where nothing could be compiled.

Groups are formed block by block: sorting and gathering 2^16 words stays in the processor's cache,
which makes both about four times as fast as on a whole chunk. The result does not depend on the
blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvc.codec import golomb
from mvc.codec.ordering import (
    exponents,
    flipped,
    ordered_top,
    unordered_top,
    unzigzag,
    zigzag,
)
from mvc.codec.segments import Segment

if TYPE_CHECKING:
    from mvc.codec.sizes import Sizes

BLOCK = 1 << 16
_PLACE_BITS = 24
_MOST = 255


class _Sorted:
    """Groups as the orders of blocks, and the runs that lead from blocks to groups and back."""

    def __init__(self, keys: Segment, table: NDArray[np.uint8], sizes: Sequence[int]) -> None:
        shifted = table.astype(np.uint32) << np.uint32(_PLACE_BITS)
        starts = np.arange(len(sizes), dtype=np.uint32) << np.uint32(_PLACE_BITS)
        self._orders, counts = [], []
        for start in range(0, len(keys), BLOCK):
            # Numbers that hold group and place are sorted several times faster than places alone.
            numbers = shifted[keys[start : start + BLOCK]]
            numbers |= np.arange(len(numbers), dtype=np.uint32)
            numbers.sort()
            counts.append(np.diff(np.searchsorted(numbers, starts), append=len(numbers)))
            numbers &= np.uint32((1 << _PLACE_BITS) - 1)
            self._orders.append(numbers.astype(np.intp))
        self._inward = _cuts(np.array(counts), by_block=True)
        self._outward = _cuts(np.array(counts), by_block=False)

    def gather(self, segment: Segment) -> Segment:
        blocks = np.empty_like(segment)
        for number, order in enumerate(self._orders):
            part = slice(number * BLOCK, number * BLOCK + BLOCK)
            np.take(segment[part], order, out=blocks[part], mode="clip")
        return np.concatenate([blocks[cut] for cut in self._inward])

    def scatter(self, gathered: Segment) -> Segment:
        blocks = np.concatenate([gathered[cut] for cut in self._outward])
        out = np.empty_like(blocks)
        for number, order in enumerate(self._orders):
            part = slice(number * BLOCK, number * BLOCK + BLOCK)
            out[part][order] = blocks[part]
        return out


class _Kernels:
    """See `mvc.codec.kernels.Kernels`."""

    def count(self, keys: Segment, values: int) -> NDArray[np.int64]:
        counts = np.zeros(values, np.int64)
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK].astype(np.intp)
            counts += np.bincount(block, minlength=values)
        return counts

    def partition(self, keys: Segment, table: NDArray[np.uint8], sizes: Sequence[int]) -> _Sorted:
        return _Sorted(keys, table, sizes)

    def step(self, new: Segment, base: Segment, *, floats: bool) -> Segment:
        if floats:
            new, base = ordered_top(new), ordered_top(base)
        return zigzag(new - base)

    def back(self, coded: Segment, base: Segment, *, floats: bool) -> Segment:
        if floats:
            return unordered_top(unzigzag(coded) + ordered_top(base))
        return unzigzag(coded) + base

    def low_step(self, new: Segment, base: Segment, top: Segment, base_top: Segment) -> Segment:
        return zigzag(flipped(new, top) - flipped(base, base_top))

    def low_back(self, coded: Segment, base: Segment, top: Segment, base_top: Segment) -> Segment:
        return flipped(unzigzag(coded) + flipped(base, base_top), top)

    def size_keys(self, rule: Sizes, top: Segment) -> NDArray[np.uint8]:
        rows = np.repeat(np.frombuffer(rule.levels, np.uint8), rule.columns)
        fields = np.minimum(exponents(top, rule.exponent), top.dtype.type(rule.reference))
        below = (rule.reference - fields.astype(np.int16)) * rule.octave
        levels = rows[rule.start : rule.start + len(top)]
        keys: NDArray[np.uint8] = np.minimum(levels + below, _MOST).astype(np.uint8)
        return keys

    def golomb_write(self, places: NDArray[np.int64], divisor: int) -> tuple[int, bytes]:
        return golomb.write(places, divisor)

    def golomb_read(
        self, body: memoryview, ones: int, unary: int, divisor: int, count: int
    ) -> tuple[NDArray[np.int64], int]:
        return golomb.read(body, ones, unary, divisor, count)


def _cuts(counts: NDArray[np.int64], *, by_block: bool) -> list[slice]:
    """Return the runs that lead from block order to group order (`by_block`), or back."""
    source = counts if by_block else counts.T
    starts = np.cumsum(source).reshape(source.shape) - source
    ends = starts + source
    pairs = zip(starts.T.ravel().tolist(), ends.T.ravel().tolist(), strict=True)
    return [slice(start, end) for start, end in pairs if start != end] or [slice(0, 0)]


KERNELS = _Kernels()
