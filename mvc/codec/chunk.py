"""A chunk as sections: choose a transform, code each segment, decode (docs/format.md, "Records").

This is the seam for better codecs: `encode` and `decode` take and give segments, and all that a
record needs beside its sections is the transform's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from mvc.base.dtypes import SEGMENTS, Family
from mvc.base.errors import FormatError, IntegrityError
from mvc.codec import delta, section
from mvc.codec.segments import Segments

SAMPLE_UNITS = 1 << 14
GAIN = 0.97
LEVELS: dict[Family, int] = {"float": 1, "int": 3, "opaque": 3}


class Transform(IntEnum):
    """What is done to the segments before they are coded."""

    PLAIN = 0
    ROTATED = 1
    INTEGER_DELTA = 2
    FLOAT_DELTA = 3

    @property
    def needs_base(self) -> bool:
        """Tell whether decoding takes the segments of a base."""
        return self in (Transform.INTEGER_DELTA, Transform.FLOAT_DELTA)


@dataclass(frozen=True, slots=True)
class Coded:
    """The sections of one chunk, most significant first."""

    transform: Transform
    sections: tuple[bytes, ...]


def encode(segments: Segments, family: Family, base: Segments | None) -> Coded:
    """Return the smallest coding a sample promises, decoded again and compared.

    `base` holds the segments of a chunk with as many words of the same size. Raises
    IntegrityError if what was encoded does not decode to the same bits.
    """
    transform = _choose(segments, family, base)
    prepared = _apply(transform, segments, base)
    coded = Coded(transform, tuple(section.encode(part, LEVELS[family]) for part in prepared))
    _verify(coded, segments, base)
    return coded


def decode(
    transform: int, sections: tuple[bytes, ...], word: int, words: int, base: Segments | None
) -> Segments:
    """Return as many segments as there are sections, or raise FormatError.

    Fewer sections than the word has segments give the most significant ones: the chunk at
    reduced precision.
    """
    try:
        kind = Transform(transform)
    except ValueError:
        raise FormatError(f"unknown transform {transform}") from None
    widths = SEGMENTS[word]
    if not 1 <= len(sections) <= len(widths) or (kind.needs_base and base is None):
        raise FormatError("a record lacks sections or its base")
    parts = tuple(
        section.decode(data, words, width) for data, width in zip(sections, widths, strict=False)
    )
    if kind is Transform.ROTATED:
        return (delta.unrotate(parts[0]), *parts[1:])
    if kind.needs_base and base is not None:
        if any(len(one) != words for one in base):
            raise FormatError("a base has another number of words")
        return delta.restore(parts, base, floats=kind is Transform.FLOAT_DELTA)
    return parts


def _choose(segments: Segments, family: Family, base: Segments | None) -> Transform:
    plain = Transform.ROTATED if family == "float" else Transform.PLAIN
    if base is None:
        return plain
    against = Transform.FLOAT_DELTA if family == "float" else Transform.INTEGER_DELTA
    taken = tuple(section.sample(part, SAMPLE_UNITS) for part in segments)
    base_taken = tuple(section.sample(part, SAMPLE_UNITS) for part in base)
    cost = {
        kind: sum(section.estimate(part) for part in _apply(kind, taken, base_taken))
        for kind in (plain, against)
    }
    return against if cost[against] < GAIN * cost[plain] else plain


def _apply(transform: Transform, segments: Segments, base: Segments | None) -> Segments:
    if transform is Transform.ROTATED:
        return (delta.rotate(segments[0]), *segments[1:])
    if transform.needs_base and base is not None:
        return delta.residual(segments, base, floats=transform is Transform.FLOAT_DELTA)
    return segments


def _verify(coded: Coded, segments: Segments, base: Segments | None) -> None:
    word = sum(part.itemsize for part in segments)
    again = decode(coded.transform, coded.sections, word, len(segments[0]), base)
    for one, two in zip(again, segments, strict=True):
        if not bool((one == two).all()):
            raise IntegrityError(
                "an encoded chunk does not decode to the same bits",
                hint="nothing was stored; suspect this machine's memory",
            )
