"""What is done to the segments of a chunk before they are coded (docs/format.md, "Transforms")."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from mvc.base.dtypes import Family
from mvc.codec import delta
from mvc.codec.segments import Segments


class Transform(IntEnum):
    """What is done to the segments before they are coded."""

    PLAIN = 0
    ROTATED = 1
    INTEGER_DELTA = 2
    FLOAT_DELTA = 3
    LOW_RANK = 4

    @property
    def needs_base(self) -> bool:
        """Tell whether decoding takes the segments of a base."""
        return self >= Transform.INTEGER_DELTA

    def apply(self, segments: Segments, base: Segments | None) -> Segments:
        """Return what is coded in place of segments; a low-rank delta is made elsewhere."""
        if self is Transform.ROTATED:
            return (delta.rotate(segments[0]), *segments[1:])
        if self.needs_base and base is not None:
            return delta.residual(segments, base, floats=self is Transform.FLOAT_DELTA)
        return segments


def alone(family: Family) -> Transform:
    """Return the transform of words without a base."""
    return Transform.ROTATED if family == "float" else Transform.PLAIN


def against(family: Family) -> Transform:
    """Return the transform of words with a base."""
    return Transform.FLOAT_DELTA if family == "float" else Transform.INTEGER_DELTA


def fit(base: Segments, count: int) -> Segments:
    """Return the segments of a base cut to `count` words, or repeated up to there."""
    if len(base[0]) == count:
        return base
    return tuple(np.resize(part, count) for part in base)
