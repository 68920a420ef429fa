"""Float words to float64 and back, with the same bits on every machine.

Only integer operations, float64 arithmetic on normal numbers and exact casts are used. A
subnormal word never passes a floating-point unit as such, because a library that was built with
-ffast-math may have told this process's unit to flush subnormals to zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvc.base.dtypes import SEGMENTS
from mvc.codec.segments import UNITS, Segment, Segments

Words = NDArray[np.unsignedinteger]
Doubles = NDArray[np.float64]

_SIGN = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True)
class Float:
    """A binary interchange format: bytes of a word, bits of mantissa, bias of the exponent."""

    word: int
    mantissa: int
    bias: int

    @property
    def infinity(self) -> int:
        """Return the word of +inf, which is also the mask of the exponent."""
        return (2 * self.bias + 1) << self.mantissa

    @property
    def quantum(self) -> float:
        """Return the smallest subnormal, 0.0 where float64 itself has no smaller normal one."""
        return 2.0 ** (1 - self.bias - self.mantissa) if self.bias < 1023 else 0.0


FLOATS: dict[str, Float] = {
    "float16": Float(2, 10, 15),
    "bfloat16": Float(2, 7, 127),
    "float32": Float(4, 23, 127),
    "float64": Float(8, 52, 1023),
}
"""The element types that can be predicted, by label."""


def joined(parts: Iterable[Segment], kind: Float) -> Words:
    """Return the words that segments make up, most significant first, in a new array."""
    first, *rest = parts
    words: Words = first.astype(UNITS[kind.word])
    for part in rest:
        words <<= words.dtype.type(part.itemsize * 8)
        words |= part
    return words


def cut(words: Words, kind: Float) -> Segments:
    """Return the segments of words."""
    parts = []
    shift = kind.word * 8
    for width in SEGMENTS[kind.word]:
        shift -= width * 8
        parts.append((words >> words.dtype.type(shift)).astype(UNITS[width]))
    return tuple(parts)


def widened(words: Words, kind: Float) -> tuple[Doubles, NDArray[np.bool_] | None]:
    """Return the exact values of words, and where they have none (None: nowhere).

    NaN and infinities have none and are given as 0.0; so are subnormals of float64.
    """
    unit = words.dtype.type
    size = words & unit(kind.infinity | (kind.infinity & -kind.infinity) - 1)
    least = unit(1 << kind.mantissa)
    # Unsigned wrap-around puts zeros and subnormals above the infinities.
    odd = (size - least) >= unit(kind.infinity - (1 << kind.mantissa))
    if not odd.any():
        return _cast(words, kind), None
    values = _cast(np.where(odd, words.dtype.type(0), words), kind)
    small = size[odd]
    exact = np.where(small < least, small.astype(np.float64) * kind.quantum, 0.0)
    negative = (words[odd] & unit(1 << (kind.word * 8 - 1))) != 0
    values[odd] = np.where(negative, -exact, exact)
    lost = (small >= least) | ((small != 0) & (kind.quantum == 0.0))
    if not lost.any():
        return values, None
    without = np.zeros(words.shape, np.bool_)
    without[odd] = lost
    return values, without


def _cast(words: Words, kind: Float) -> Doubles:
    if kind.word == 8:
        return words.view(np.float64).copy()
    if kind.mantissa == 10:
        return words.view(np.float16).astype(np.float64)
    if kind.word == 2:
        words = words.astype(np.uint32) << np.uint32(16)
    return words.view(np.float32).astype(np.float64)


def narrowed(values: Doubles, kind: Float) -> Words:
    """Return the words nearest to finite `values`, ties to even; too large ones give infinities.

    There is one rounding, from float64 to the word, with gradual underflow. Destroys `values`.
    """
    bits = values.view(np.uint64)
    if kind.word == 8:
        return bits
    sign = (bits & _SIGN) >> np.uint64(64 - 8 * kind.word)
    bits &= ~_SIGN
    shift = 52 - kind.mantissa
    tiny = bits < np.uint64((1024 - kind.bias) << 52)
    small = np.rint(values[tiny] / kind.quantum).astype(np.uint64) if tiny.any() else None
    odd = (bits >> np.uint64(shift)) & np.uint64(1)
    bits += odd
    bits += np.uint64((1 << (shift - 1)) - 1)
    bits >>= np.uint64(shift)
    bits -= np.uint64((1023 - kind.bias) << kind.mantissa)
    if small is not None:
        bits[tiny] = small
    np.minimum(bits, np.uint64(kind.infinity), out=bits)
    bits |= sign
    return bits.astype(UNITS[kind.word])
