"""Gaps between places as Golomb codes, by NumPy (docs/format.md, "Gaps").

A gap is a quotient in unary and a remainder in truncated binary: first the quotients of all gaps,
then all bits but the last of the remainders, then the last bits of those remainders that have one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError

Places = NDArray[np.int64]


def write(places: Places, divisor: int) -> tuple[int, bytes]:
    """Return how many bytes the quotients take, and the codes of the gaps before all places."""
    gaps = np.diff(places, prepend=-1) - 1
    quotients, remainders = np.divmod(gaps, divisor)
    ends = np.cumsum(quotients + 1)
    unary = np.zeros(int(ends[-1]), np.uint8)
    unary[ends - 1] = 1
    coded = np.packbits(unary).tobytes()
    if divisor == 1:
        return len(coded), coded
    width, cutoff = _truncated(divisor)
    long = remainders >= cutoff
    stored = np.where(long, remainders + cutoff, remainders << 1)
    extra = np.packbits((stored[long] & 1).astype(np.uint8)).tobytes()
    return len(coded), coded + _packed(stored >> 1, width - 1) + extra


def read(body: memoryview, ones: int, unary: int, divisor: int, count: int) -> tuple[Places, int]:
    """Return so many places below `count` and the bytes they took, or raise FormatError.

    `unary` is how many bytes the quotients take.
    """
    width, cutoff = _truncated(divisor)
    fixed_size = -(-ones * max(0, width - 1) // 8)
    if len(body) < unary + fixed_size:
        raise FormatError("a section of gaps ends inside a rung")
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(body[:unary], np.uint8)).view(np.bool_))
    if len(ends) != ones or unary != (-(-(int(ends[-1]) + 1) // 8) if ones else 0):
        raise FormatError("a section of gaps has an impossible rung")
    if ones == 0:
        return np.zeros(0, np.int64), 0
    quotients = np.diff(ends, prepend=-1) - 1
    remainders = _unpacked(body[unary:][:fixed_size], ones, width - 1)
    body = body[unary + fixed_size :]
    long = np.flatnonzero(remainders >= cutoff) if width else np.zeros(0, np.int64)
    extra_size = -(-len(long) // 8)
    if len(body) < extra_size:
        raise FormatError("a section of gaps ends inside a rung")
    extra = np.unpackbits(np.frombuffer(body[:extra_size], np.uint8), count=len(long))
    remainders[long] = (remainders[long] << 1) + extra - cutoff
    places = np.cumsum(quotients * divisor + remainders + 1) - 1
    if int(places[-1]) >= count:
        raise FormatError("a section of gaps goes beyond its end")
    return places, unary + fixed_size + extra_size


def _truncated(divisor: int) -> tuple[int, int]:
    """Return the bits of a long remainder, and how many remainders take a bit less."""
    width = (divisor - 1).bit_length()
    return width, (1 << width) - divisor


def _packed(numbers: Places, width: int) -> bytes:
    if width <= 0:
        return b""
    wide = numbers.astype(">u2").view(np.uint8).reshape(-1, 2)
    bits = np.unpackbits(wide, axis=1)[:, 16 - width :]
    return np.packbits(bits).tobytes()


def _unpacked(data: memoryview, count: int, width: int) -> Places:
    if width <= 0:
        return np.zeros(count, np.int64)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width).reshape(-1, width)
    wide = np.zeros((count, 16), np.uint8)
    wide[:, 16 - width :] = bits
    return np.packbits(wide, axis=1).view(">u2").reshape(count).astype(np.int64)
