"""Words of a dtype as float64 numbers, and float64 numbers rounded to words once.

Rounding is to the nearest, ties to even, straight from float64: going through float32, as casts
to bfloat16 and to 8 bits do, would round twice. NaN has one pattern a type, so that results do
not depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base import dtypes
from mvc.codec.segments import UNITS

Words: TypeAlias = NDArray[np.unsignedinteger]
Floats: TypeAlias = NDArray[np.float64]

NO_NUMBERS = frozenset(("float8_e8m0fnu",))
"""Types with a value that is no weight: the shared exponents of blocks."""

_NAN = {"float64": 0x7FF8 << 48, "float32": 0x7FC0 << 16, "float16": 0x7E00, "bfloat16": 0x7FC0}
_PARTS = {"complex128": "float64", "complex64": "float32", "complex32": "float16"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """How words of a dtype are read and written.

    Attributes:
        word: The words; a complex element is two.
        values: The numbers of words. Not for integers of 64 bits above 2^53.
        rounded: The words of numbers.
        integer: The type and its limits where words are integers or booleans, else None.
    """

    word: np.dtype[np.unsignedinteger]
    values: Callable[[Words], Floats]
    rounded: Callable[[Floats], Words]
    integer: Integer | None = None


@dataclass(frozen=True, slots=True)
class Integer:
    """The limits of an integer type, and how to see words as such."""

    kind: np.dtype[np.generic]
    low: int
    high: int

    def seen(self, words: Words) -> NDArray[np.integer]:
        """Return words as integers; any byte but 0 of a boolean is 1."""
        if self.kind == np.bool_:
            truth: NDArray[np.uint8] = (words != 0).astype(np.uint8)
            return truth
        found: NDArray[np.integer] = words.view(self.kind)
        return found


def numbers(label: str) -> Numbers | None:
    """Return how to compute with a dtype, None for packed, quantised and unknown types."""
    return _numbers(_PARTS.get(label, label))


@cache
def _numbers(label: str) -> Numbers | None:
    scalar = None if label in NO_NUMBERS else dtypes.numpy_dtype(label)
    if scalar is None:
        return None
    word = UNITS[scalar.itemsize]
    if label == "bool":
        return _integers(Integer(scalar, 0, 1), word)
    if scalar.kind in "iu":
        bits = 8 * scalar.itemsize
        low = -(1 << bits - 1) if scalar.kind == "i" else 0
        return _integers(Integer(scalar.newbyteorder("<"), low, low + (1 << bits) - 1), word)
    if label == "bfloat16":
        return Numbers(word, _from_bfloat16, _to_bfloat16)
    if scalar.itemsize == 1:
        return _eight_bits(scalar)
    plain = scalar.newbyteorder("<")
    rounded = partial(_round, kind=plain, nan=_NAN[label])
    return Numbers(word, partial(_cast, kind=plain), rounded)


def _integers(kind: Integer, word: np.dtype[np.unsignedinteger]) -> Numbers:
    return Numbers(
        word,
        lambda words: kind.seen(words).astype(np.float64),
        partial(_round_integers, kind=kind, word=word),
        kind,
    )


def _eight_bits(scalar: np.dtype[np.generic]) -> Numbers:
    with np.errstate(all="ignore"):
        table = np.arange(256, dtype=np.uint8).view(scalar).astype(np.float64)
    finite = np.isfinite(table)
    most = None if np.isinf(table).any() else float(table[finite].max())
    nan = int(np.flatnonzero(np.isnan(table))[0])
    return Numbers(
        UNITS[1],
        lambda words: table[words],
        partial(_round_eight, kind=scalar, most=most, nan=nan),
    )


def _cast(words: Words, kind: np.dtype[np.generic]) -> Floats:
    # Some processors flag NaNs of the signalling kind.
    with np.errstate(invalid="ignore"):
        return words.view(kind).astype(np.float64)


def _round(values: Floats, kind: np.dtype[np.generic], nan: int) -> Words:
    with np.errstate(all="ignore"):
        words: Words = values.astype(kind).view(UNITS[kind.itemsize])
    return _with_nan(words, values, nan)


def _round_integers(values: Floats, kind: Integer, word: np.dtype[np.unsignedinteger]) -> Words:
    """Round to the nearest integer in range; NaN, which integers lack, becomes 0."""
    with np.errstate(all="ignore"):
        whole = np.rint(np.where(np.isnan(values), 0.0, values))
    # The greatest integers of 64 bits are no float64, so limits are put in afterwards.
    inside = (whole > kind.low) & (whole < kind.high)
    found = np.where(inside, whole, 0.0).astype(_storage(kind))
    found = np.where(inside, found, np.where(whole <= kind.low, kind.low, kind.high))
    return found.astype(_storage(kind)).view(word)


def _storage(kind: Integer) -> np.dtype[np.generic]:
    return np.dtype(np.uint8) if kind.kind == np.bool_ else kind.kind


def _from_bfloat16(words: Words) -> Floats:
    return _cast(words.astype(np.uint32) << np.uint32(16), np.dtype(np.float32))


def _to_bfloat16(values: Floats) -> Words:
    words = to_odd(values).view(np.uint32)
    words += np.uint32(0x7FFF) + ((words >> np.uint32(16)) & np.uint32(1))
    return _with_nan((words >> np.uint32(16)).astype("<u2"), values, _NAN["bfloat16"])


def _round_eight(values: Floats, kind: np.dtype[np.generic], most: float | None, nan: int) -> Words:
    near = values if most is None else np.clip(values, -most, most)
    with np.errstate(all="ignore"):
        words = to_odd(near).astype(kind).view(np.uint8)
    return _with_nan(words, values, nan)


def _with_nan(words: Words, values: Floats, nan: int) -> Words:
    unknown = np.isnan(values)
    if unknown.any():
        words[unknown] = nan
    return words


def to_odd(values: Floats) -> NDArray[np.float32]:
    """Return float32 numbers from which rounding to at most 22 bits equals rounding `values`.

    Rounding to odd: what a float32 cannot hold is cut off and noted in its last bit (Boldo and
    Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
    odd", 2008).
    """
    with np.errstate(all="ignore"):
        near = values.astype(np.float32)
        back = near.astype(np.float64)
        inexact = back != values
        words = near.view(np.uint32)
        words -= (np.abs(back) > np.abs(values)).astype(np.uint32)
        words |= inexact.astype(np.uint32)
    return words.view(np.float32)
