"""The inner loops by NumPy, for machines where nothing could be compiled.

Groups are formed block by block: sorting and gathering 2^16 words stays in the processor's cache,
which makes both about four times as fast as on a whole chunk. The result does not depend on the
blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mvc.codec import golomb
from mvc.codec.ordering import flipped, ordered_top, unordered_top, unzigzag, zigzag
from mvc.codec.segments import Segment

BLOCK = 1 << 16
_PLACE_BITS = 24
_MOST = 255


class _Sorted:
    """Groups as the orders of blocks, and the runs that lead from blocks to groups and back."""

    def __init__(self, keys: Segment, table: NDArray[np.uint8], sizes: Sequence[int]) -> None:
        groups = table[keys].astype(np.uint32)
        blocks = [groups[start : start + BLOCK] for start in range(0, len(keys), BLOCK)]
        counts = np.array([np.bincount(block, minlength=len(sizes)) for block in blocks])
        self._orders = [_order(block << np.uint32(_PLACE_BITS)) for block in blocks]
        self._inward = _cuts(counts, by_block=True)
        self._outward = _cuts(counts, by_block=False)

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

    def size_keys(
        self,
        top: Segment,
        levels: bytes,
        columns: int,
        start: int,
        exponent: int,
        reference: int,
        octave: int,
    ) -> NDArray[np.uint8]:
        rows = np.repeat(np.frombuffer(levels, np.uint8), columns)[start : start + len(top)]
        shift = top.dtype.type(top.itemsize * 8 - 1 - exponent)
        fields = top >> shift & top.dtype.type((1 << exponent) - 1)
        below = reference - np.minimum(fields, top.dtype.type(reference)).astype(np.int16)
        keys: NDArray[np.uint8] = np.minimum(rows + below * octave, _MOST).astype(np.uint8)
        return keys

    def golomb_write(self, places: NDArray[np.int64], divisor: int) -> tuple[int, bytes]:
        return golomb.write(places, divisor)

    def golomb_read(
        self, body: memoryview, ones: int, unary: int, divisor: int, count: int
    ) -> tuple[NDArray[np.int64], int]:
        return golomb.read(body, ones, unary, divisor, count)


def _order(groups: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the places of a block in the order of groups, which stand above the place's bits.

    Numbers that hold both are sorted several times faster than places by their groups.
    """
    groups |= np.arange(len(groups), dtype=np.uint32)
    groups.sort()
    groups &= np.uint32((1 << _PLACE_BITS) - 1)
    return groups.astype(np.intp)


def _cuts(counts: NDArray[np.int64], *, by_block: bool) -> list[slice]:
    """Return the runs that lead from block order to group order (`by_block`), or back."""
    source = counts if by_block else counts.T
    starts = np.cumsum(source).reshape(source.shape) - source
    ends = starts + source
    pairs = zip(starts.T.ravel().tolist(), ends.T.ravel().tolist(), strict=True)
    return [slice(start, end) for start, end in pairs if start != end] or [slice(0, 0)]


KERNELS = _Kernels()
