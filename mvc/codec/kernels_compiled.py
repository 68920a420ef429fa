"""The inner loops in C; importing this fails where they were not compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import _kernels
from mvc.codec.segments import Segment

if TYPE_CHECKING:
    from mvc.codec.sizes import Sizes

if _kernels.VERSION != 3:
    raise ImportError("the compiled loops are those of another version: install mvc again")


@dataclass(frozen=True, slots=True)
class _Labelled:
    labels: NDArray[np.uint8]
    sizes: NDArray[np.int64]

    def gather(self, segment: Segment) -> Segment:
        out = np.empty_like(segment)
        _kernels.gather(_plain(segment), segment.itemsize, self.labels, self.sizes, out)
        return out

    def scatter(self, gathered: Segment) -> Segment:
        out = np.empty_like(gathered)
        _kernels.scatter(_plain(gathered), gathered.itemsize, self.labels, self.sizes, out)
        return out


class _Kernels:
    """See `mvc.codec.kernels.Kernels`."""

    def count(self, keys: Segment, values: int) -> NDArray[np.int64]:
        counts = np.zeros(values, np.int64)
        _kernels.count(_plain(keys), keys.itemsize, counts)
        return counts

    def partition(self, keys: Segment, table: NDArray[np.uint8], sizes: Sequence[int]) -> _Labelled:
        whole = np.zeros(1 << 8 * keys.itemsize, np.uint8)
        whole[: len(table)] = table
        labels = np.empty(len(keys), np.uint8)
        _kernels.label(_plain(keys), keys.itemsize, whole, labels)
        return _Labelled(labels, np.array(sizes, np.int64))

    def step(self, new: Segment, base: Segment, *, floats: bool) -> Segment:
        return _top(new, base, floats=floats, back=False)

    def back(self, coded: Segment, base: Segment, *, floats: bool) -> Segment:
        return _top(coded, base, floats=floats, back=True)

    def low_step(self, new: Segment, base: Segment, top: Segment, base_top: Segment) -> Segment:
        return _low(new, base, top, base_top, back=False)

    def low_back(self, coded: Segment, base: Segment, top: Segment, base_top: Segment) -> Segment:
        return _low(coded, base, top, base_top, back=True)

    def size_keys(self, rule: Sizes, top: Segment) -> NDArray[np.uint8]:
        keys = np.empty(len(top), np.uint8)
        rows = rule.levels, rule.columns, rule.start
        scale = rule.exponent, rule.reference, rule.octave
        _kernels.size_keys(_plain(top), top.itemsize, *rows, *scale, keys)
        return keys

    def golomb_write(self, places: NDArray[np.int64], divisor: int) -> tuple[int, bytes]:
        return _kernels.golomb_write(np.ascontiguousarray(places, np.int64), divisor)

    def golomb_read(
        self, body: memoryview, ones: int, unary: int, divisor: int, count: int
    ) -> tuple[NDArray[np.int64], int]:
        places = np.empty(ones, np.int64)
        try:
            return places, _kernels.golomb_read(body, unary, divisor, count, places)
        except ValueError as error:
            raise FormatError(f"a section of gaps: {error}") from error


def _plain(segment: Segment) -> Segment:
    """Return the units one after the other at aligned places."""
    flags = segment.flags
    if flags.c_contiguous and flags.aligned:
        return segment
    return np.require(segment, requirements=["C", "A"])


def _top(one: Segment, base: Segment, *, floats: bool, back: bool) -> Segment:
    out = np.empty_like(one)
    _kernels.top_delta(_plain(one), _plain(base), one.itemsize, floats, back, out)
    return out


def _low(one: Segment, base: Segment, top: Segment, base_top: Segment, *, back: bool) -> Segment:
    out = np.empty_like(one)
    tops = _plain(top), _plain(base_top)
    _kernels.low_delta(_plain(one), _plain(base), *tops, one.itemsize, back, out)
    return out


KERNELS = _Kernels()
