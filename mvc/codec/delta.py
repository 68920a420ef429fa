"""Differences in the integer domain, segment by segment (docs/format.md, "Transforms").

Floats are never subtracted. Their words are mapped to integers that sort as the floats do, and
each segment is subtracted from the same segment of the base modulo its width, then zigzagged, so
a small step up or down gives a small number.
"""

from __future__ import annotations

from mvc.codec import kernels
from mvc.codec.segments import Segment, Segments


def residual(new: Segments, base: Segments, *, floats: bool) -> Segments:
    """Return the zigzagged differences that lead from `base` to `new`."""
    run = kernels.chosen
    pairs = zip(new[1:], base[1:], strict=True)
    if floats:
        lower = [run.low_step(one, two, new[0], base[0]) for one, two in pairs]
    else:
        lower = [run.step(one, two, floats=False) for one, two in pairs]
    return (run.step(new[0], base[0], floats=floats), *lower)


def restore(differences: Segments, base: Segments, *, floats: bool) -> Segments:
    """Return the segments that `residual` was given; fewer differences give as many segments."""
    run = kernels.chosen
    top = run.back(differences[0], base[0], floats=floats)
    pairs = zip(differences[1:], base[1:], strict=False)
    if floats:
        return (top, *(run.low_back(one, two, top, base[0]) for one, two in pairs))
    return (top, *(run.back(one, two, floats=False) for one, two in pairs))


def rotate(top: Segment) -> Segment:
    """Move the sign to the lowest bit, so that the exponent fills whole bytes."""
    bits = top.itemsize * 8
    return (top << top.dtype.type(1)) | (top >> top.dtype.type(bits - 1))


def unrotate(top: Segment) -> Segment:
    """Undo `rotate`."""
    bits = top.itemsize * 8
    return (top >> top.dtype.type(1)) | (top << top.dtype.type(bits - 1))
