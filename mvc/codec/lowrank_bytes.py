"""The factors of a low-rank delta as bytes.

The values of one component (a column of `left`, a row of `right`) are whole multiples of a power
of two, below 2^31 in size. Each multiple is cut in two: its upper 8 bits, which have few likely
values and are compressed, and the bits below, which are noise and stored as they are. A factor of
`rank` components with `length` values each, little-endian:

| field | bytes |
|---|---|
| rank, 1 to 256 | 2 |
| length, 1 to 2^20 | 4 |
| bytes of the upper parts | 4 |
| exponent of the unit, -128 to 127, of each component | rank |
| number of lower bits, 0 to 24, of each component | rank |
| rank x length upper parts: as they are where that takes as many bytes, else one zstd frame | |
| lower bits of each component, least significant first, filled up to a byte with zeros | the rest |

The value is (upper * 2^bits + lower) * 2^exponent, exact in float64; exponent and upper are signed.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError, LimitError
from mvc.codec import zstd
from mvc.codec.lowrank import MAX_RANK, Factor

MAX_LENGTH = 1 << 20
"""Most values of one component."""

MAX_VALUES = 1 << 22
"""Most values of one factor."""

MIN_EXPONENT = -128
MAX_EXPONENT = 127
MANTISSA = 31
"""Bits of a multiple, beside its sign."""

MOST = 1 << MANTISSA
_UPPER = 8
_MAX_LOWER = MANTISSA + 1 - _UPPER
_HEAD = struct.Struct("<HII")
_LEVEL = 9

Multiples = NDArray[np.int32]


def encode_left(left: Factor) -> bytes:
    """Return the bytes of a `left` (rows x rank); raises ValueError if it is not on a grid."""
    return _encode(np.ascontiguousarray(left.T))


def encode_right(right: Factor) -> bytes:
    """Return the bytes of a `right` (rank x columns); raises ValueError if it is not on a grid."""
    return _encode(np.ascontiguousarray(right))


def decode_left(data: bytes | memoryview, rows: int, rank: int) -> Factor:
    """Return `left` (rows x rank), or raise FormatError."""
    return np.ascontiguousarray(_decode(data, rows, rank).T)


def decode_right(data: bytes | memoryview, columns: int) -> Factor:
    """Return `right` (rank x columns), or raise FormatError."""
    return _decode(data, columns, None)


def _encode(factor: Factor) -> bytes:
    exponents, multiples = _units(factor)
    lower = _lower_bits(multiples)
    upper = _packed((multiples >> lower[:, None]).astype(np.int8).tobytes())
    head = _HEAD.pack(*factor.shape, len(upper))
    parts = [head, exponents.astype(np.int8).tobytes(), lower.astype(np.uint8).tobytes(), upper]
    parts += [_pack(row, int(bits)) for row, bits in zip(multiples, lower, strict=True)]
    return b"".join(parts)


def _packed(upper: bytes) -> bytes:
    frame = zstd.compress(upper, _LEVEL)
    return frame if len(frame) < len(upper) else upper


def _unpacked(data: memoryview, count: int) -> bytes | memoryview:
    return data if len(data) == count else zstd.decompress(data, count)


def _units(factor: Factor) -> tuple[NDArray[np.int64], Multiples]:
    """Return the exponent of the largest unit of each component, and its values in units."""
    if factor.ndim != 2 or not factor.size or not np.isfinite(factor).all():
        raise ValueError("a factor is no matrix of finite values")
    if (np.signbit(factor) & (factor == 0.0)).any():
        raise ValueError("a factor holds a negative zero, which would not come back")
    fraction, exponent = np.frexp(factor)
    whole = (fraction * float(1 << 53)).astype(np.int64)
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    absent = 1 << 20
    lowest = np.where(whole != 0, exponent - 53 + trailing, absent).min(axis=1)
    exponents = np.where(lowest == absent, 0, lowest).astype(np.int64).clip(None, MAX_EXPONENT)
    multiples = np.ldexp(factor, -exponents[:, None])
    if exponents.min() < MIN_EXPONENT or not -MOST <= multiples.min() <= multiples.max() < MOST:
        raise ValueError("the values of a component have no common unit")
    whole_multiples: Multiples = multiples.astype(np.int32)
    return exponents, whole_multiples


def _lower_bits(multiples: Multiples) -> NDArray[np.int32]:
    """Return how many bits of each component do not fit the upper part."""
    reach = np.where(multiples < 0, ~multiples, multiples).max(axis=1)
    signed = np.frexp(reach.astype(np.float64))[1] + 1
    lower: Multiples = (signed - _UPPER).clip(0).astype(np.int32)
    return lower


def _pack(row: Multiples, bits: int) -> bytes:
    places = np.arange(bits, dtype=np.int32)
    return np.packbits((row[:, None] >> places & 1).astype(np.uint8), bitorder="little").tobytes()


def _decode(data: bytes | memoryview, length: int, expected: int | None) -> Factor:
    view = memoryview(data)
    rank, upper_size = _checked_head(view, length, expected)
    at = _HEAD.size
    exponents = np.frombuffer(view[at : at + rank], np.int8).astype(np.int32)
    lower = np.frombuffer(view[at + rank : at + 2 * rank], np.uint8).astype(np.int64)
    at += 2 * rank
    if lower.max() > _MAX_LOWER:
        raise FormatError("a factor has too many lower bits")
    ends = at + upper_size + np.cumsum((length * lower + 7) // 8)
    if ends[-1] != len(view):
        raise FormatError("a factor has the wrong length")
    upper = np.frombuffer(_unpacked(view[at : at + upper_size], rank * length), np.int8)
    at += upper_size
    factor = np.empty((rank, length), np.float64)
    for k, (row, end) in enumerate(zip(upper.reshape(rank, length), ends.tolist(), strict=True)):
        bits = int(lower[k])
        multiples = (row.astype(np.int32) << bits) + _unpack(view[at:end], length, bits)
        factor[k] = multiples * 2.0 ** int(exponents[k])
        at = end
    return factor


def _checked_head(view: memoryview, length: int, expected: int | None) -> tuple[int, int]:
    if len(view) < _HEAD.size:
        raise FormatError("a factor ends inside its head")
    rank, found, upper_size = _HEAD.unpack_from(view)
    if not 1 <= rank <= MAX_RANK:
        raise LimitError(f"a factor has no rank from 1 to {MAX_RANK}")
    if found != length or (expected is not None and rank != expected):
        raise FormatError("a factor has another shape than its tensor, chunk or other factor")
    if not 1 <= length <= MAX_LENGTH or rank * length > MAX_VALUES:
        raise LimitError(f"a factor has more than {MAX_VALUES} values")
    if len(view) < _HEAD.size + 2 * rank + upper_size:
        raise FormatError("a factor ends inside its upper parts")
    return rank, upper_size


def _unpack(data: memoryview, length: int, bits: int) -> Multiples:
    if not bits:
        return np.zeros(length, np.int32)
    flat = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if flat[length * bits :].any():
        raise FormatError("a factor has bits behind its last value")
    places = flat[: length * bits].reshape(length, bits).astype(np.int32)
    places <<= np.arange(bits, dtype=np.int32)
    out: Multiples = places.sum(axis=1, dtype=np.int32)
    return out
