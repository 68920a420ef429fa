"""Differences in the integer domain, segment by segment (docs/format.md, "Transforms").

Floats are never subtracted. Their words are mapped to integers that sort as the floats do, and
each segment is subtracted from the same segment of the base modulo its width, then zigzagged, so
a small step up or down gives a small number. The map works segment by segment: only the sign,
which is in the top segment, decides how lower segments are flipped.
"""

from __future__ import annotations

import numpy as np

from mvc.codec.segments import Segment, Segments


def residual(new: Segments, base: Segments, *, floats: bool) -> Segments:
    """Return the zigzagged differences that lead from `base` to `new`."""
    if floats:
        new, base = ordered(new), ordered(base)
    return tuple(_zigzag(one - two) for one, two in zip(new, base, strict=True))


def restore(differences: Segments, base: Segments, *, floats: bool) -> Segments:
    """Return the segments that `residual` was given; fewer differences give as many segments."""
    if floats:
        base = ordered(base[: len(differences)])
    mapped = tuple(_unzigzag(one) + two for one, two in zip(differences, base, strict=False))
    return _unordered(mapped) if floats else mapped


def rotate(top: Segment) -> Segment:
    """Move the sign to the lowest bit, so that the exponent fills whole bytes."""
    bits = top.itemsize * 8
    return (top << top.dtype.type(1)) | (top >> top.dtype.type(bits - 1))


def unrotate(top: Segment) -> Segment:
    """Undo `rotate`."""
    bits = top.itemsize * 8
    return (top >> top.dtype.type(1)) | (top << top.dtype.type(bits - 1))


def _signs(top: Segment) -> Segment:
    """Return all ones where the top bit is set, else zero."""
    bits = top.itemsize * 8
    return (top.view(f"<i{top.itemsize}") >> (bits - 1)).view(top.dtype)


def _flips(negative: Segment, segment: Segment) -> Segment:
    return (
        negative.view(f"<i{negative.itemsize}").astype(f"<i{segment.itemsize}").view(segment.dtype)
    )


def ordered(segments: Segments) -> Segments:
    """Return segments of floats as those of integers that sort as the floats do."""
    top = segments[0]
    negative = _signs(top)
    high = top.dtype.type(1 << (top.itemsize * 8 - 1))
    return (top ^ (negative | high), *(low ^ _flips(negative, low) for low in segments[1:]))


def _unordered(segments: Segments) -> Segments:
    top = segments[0]
    negative = ~_signs(top)
    high = top.dtype.type(1 << (top.itemsize * 8 - 1))
    return (top ^ (negative | high), *(low ^ _flips(negative, low) for low in segments[1:]))


def _zigzag(difference: Segment) -> Segment:
    return (difference << difference.dtype.type(1)) ^ _signs(difference)


def _unzigzag(coded: Segment) -> Segment:
    one = coded.dtype.type(1)
    signs: Segment = np.negative(coded & one)
    return (coded >> one) ^ signs
