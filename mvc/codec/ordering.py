"""Words of floats as integers that sort as the floats do, and signed steps as small numbers.

The map works segment by segment: only the sign, which is in the top segment, decides how lower
segments are flipped (docs/format.md, "Transforms").
"""

from __future__ import annotations

import numpy as np

from mvc.codec.segments import Segment, Segments


def ordered(segments: Segments) -> Segments:
    """Return segments of floats as those of integers that sort as the floats do."""
    top = segments[0]
    return (ordered_top(top), *(flipped(low, top) for low in segments[1:]))


def ordered_top(top: Segment) -> Segment:
    """Return the top segment of such integers."""
    return top ^ (_signs(top) | _high(top))


def unordered_top(top: Segment) -> Segment:
    """Undo `ordered_top`."""
    return top ^ (~_signs(top) | _high(top))


def flipped(low: Segment, top: Segment) -> Segment:
    """Return the lower segment of words with a top segment of floats, ordered or back again."""
    wide = _signs(top).view(f"<i{top.itemsize}").astype(f"<i{low.itemsize}")
    return low ^ wide.view(low.dtype)


def exponents(top: Segment, bits: int) -> Segment:
    """Return the `bits` bits below the sign of each top unit."""
    shift = top.dtype.type(top.itemsize * 8 - 1 - bits)
    fields: Segment = top >> shift & top.dtype.type((1 << bits) - 1)
    return fields


def zigzag(difference: Segment) -> Segment:
    """Return steps up as even numbers, steps down as odd ones."""
    return (difference << difference.dtype.type(1)) ^ _signs(difference)


def unzigzag(coded: Segment) -> Segment:
    """Undo `zigzag`."""
    one = coded.dtype.type(1)
    signs: Segment = np.negative(coded & one)
    return (coded >> one) ^ signs


def _high(top: Segment) -> np.unsignedinteger:
    return top.dtype.type(1 << (top.itemsize * 8 - 1))


def _signs(top: Segment) -> Segment:
    """Return all ones where the top bit is set, else zero."""
    bits = top.itemsize * 8
    return (top.view(f"<i{top.itemsize}") >> (bits - 1)).view(top.dtype)
