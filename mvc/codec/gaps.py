"""Small numbers that are mostly zero: the gaps between those that are not, as Golomb codes.

Where words change independently of each other, the gaps between them are distributed
geometrically, for which the codes of Golomb (1966), with the parameter of Gallager and van Voorhis
(1975), are the best prefix codes: within one percent of the entropy below a density of a tenth,
with a few bytes to tell besides.

What is larger than one is coded the same way: among the numbers that are not zero, the gaps between
those that are larger than the smallest, and so on for a few rungs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import pco
from mvc.codec.segments import UNITS, Segment

MAX_RUNGS = 4
MAX_DIVISOR = 1 << 15
_Gaps = NDArray[np.int64]


def encode(segment: Segment) -> bytes:
    """Return the body of a section; the odd numbers are steps down, the even ones steps up."""
    places = np.flatnonzero(segment != 0)
    held = segment[places]
    one = segment.dtype.type(1)
    signs = np.packbits((held & one).astype(np.uint8)).tobytes()
    rungs, count = [_rung(places)], 1
    above = (held - one) >> one
    while count < MAX_RUNGS and len(above):
        places = np.flatnonzero(above != 0)
        rungs.append(_rung(places))
        above = above[places] - one
        count += 1
    rest = pco.compress(above) if above.any() else b""
    return bytes([count]) + b"".join(rungs) + signs + rest


def decode(body: memoryview, count: int, width: int) -> Segment:
    """Return the `count` units of `width` bytes, or raise FormatError."""
    rungs = body[0] if len(body) else 0
    if not 1 <= rungs <= MAX_RUNGS:
        raise FormatError("a section of gaps has no rungs, or too many")
    body = body[1:]
    found: list[_Gaps] = []
    for _ in range(rungs):
        places, body = _read_rung(body, len(found[-1]) if found else count)
        found.append(places)
    changed = len(found[0])
    signs, rest = body[: -(-changed // 8)], body[-(-changed // 8) :]
    if len(signs) != -(-changed // 8):
        raise FormatError("a section of gaps ends inside its signs")
    unit = UNITS[width]
    largest = len(found[-1])
    above = pco.decompress(rest, largest, width) if len(rest) else np.zeros(largest, unit)
    for lower, upper in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        sized = np.zeros(len(lower), unit)
        sized[upper] = above + unit.type(1)
        above = sized
    out = np.zeros(count, unit)
    odd = np.unpackbits(np.frombuffer(signs, np.uint8), count=changed).astype(unit)
    one = unit.type(1)
    out[found[0]] = ((above + one) << one) - odd
    return out


def _rung(places: NDArray[np.intp]) -> bytes:
    if not len(places):
        return _numbers(0, 1, 0)
    gaps = np.diff(places, prepend=-1) - 1
    divisor = _divisor(gaps)
    quotients, remainders = np.divmod(gaps, divisor)
    ends = np.cumsum(quotients + 1)
    unary = np.zeros(int(ends[-1]), np.uint8)
    unary[ends - 1] = 1
    coded = np.packbits(unary).tobytes()
    head = _numbers(len(gaps), divisor, len(coded)) + coded
    if divisor == 1:
        return head
    width, cutoff = _truncated(divisor)
    long = remainders >= cutoff
    stored = np.where(long, remainders + cutoff, remainders << 1)
    extra = np.packbits((stored[long] & 1).astype(np.uint8)).tobytes()
    return head + _packed(stored >> 1, width - 1) + extra


def _divisor(gaps: _Gaps) -> int:
    """Return the divisor that suits the mean of geometrically distributed gaps."""
    zero = float(gaps.mean()) / (1 + float(gaps.mean()))
    if zero <= 0.5:
        return 1
    best = math.ceil(math.log(1 + zero) / -math.log(zero))
    return min(best, MAX_DIVISOR)


def _truncated(divisor: int) -> tuple[int, int]:
    """Return the bits of a long remainder, and how many remainders take a bit less."""
    width = (divisor - 1).bit_length()
    return width, (1 << width) - divisor


def _packed(numbers: _Gaps, width: int) -> bytes:
    if width <= 0:
        return b""
    wide = numbers.astype(">u2").view(np.uint8).reshape(-1, 2)
    bits = np.unpackbits(wide, axis=1)[:, 16 - width :]
    return np.packbits(bits).tobytes()


def _read_rung(body: memoryview, count: int) -> tuple[_Gaps, memoryview]:
    """Return the places of a rung among `count` units, and what follows it."""
    ones, body = _read_number(body)
    divisor, body = _read_number(body)
    length, body = _read_number(body)
    if ones > count or not 1 <= divisor <= MAX_DIVISOR:
        raise FormatError("a section of gaps has an impossible rung")
    width, cutoff = _truncated(divisor)
    fixed_size = -(-ones * max(0, width - 1) // 8)
    if len(body) < length + fixed_size:
        raise FormatError("a section of gaps ends inside a rung")
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(body[:length], np.uint8)).view(np.bool_))
    if len(ends) != ones or length != (-(-(int(ends[-1]) + 1) // 8) if ones else 0):
        raise FormatError("a section of gaps has an impossible rung")
    if ones == 0:
        return np.zeros(0, np.int64), body
    quotients = np.diff(ends, prepend=-1) - 1
    remainders = _unpacked(body[length:][:fixed_size], ones, width - 1)
    body = body[length + fixed_size :]
    long = np.flatnonzero(remainders >= cutoff) if width else np.zeros(0, np.int64)
    extra_size = -(-len(long) // 8)
    if len(body) < extra_size:
        raise FormatError("a section of gaps ends inside a rung")
    extra = np.unpackbits(np.frombuffer(body[:extra_size], np.uint8), count=len(long))
    remainders[long] = (remainders[long] << 1) + extra - cutoff
    places = np.cumsum(quotients * divisor + remainders + 1) - 1
    if int(places[-1]) >= count:
        raise FormatError("a section of gaps goes beyond its end")
    return places, body[extra_size:]


def _unpacked(data: memoryview, count: int, width: int) -> _Gaps:
    if width <= 0:
        return np.zeros(count, np.int64)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width).reshape(-1, width)
    wide = np.zeros((count, 16), np.uint8)
    wide[:, 16 - width :] = bits
    return np.packbits(wide, axis=1).view(">u2").reshape(count).astype(np.int64)


def _numbers(*numbers: int) -> bytes:
    """Return numbers in groups of seven bits, the lowest first, the last below 128 (LEB128)."""
    out = bytearray()
    for number in numbers:
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def _read_number(body: memoryview) -> tuple[int, memoryview]:
    number = 0
    for at in range(min(4, len(body))):
        number |= (body[at] & 0x7F) << 7 * at
        if body[at] < 0x80:
            return number, body[at + 1 :]
    raise FormatError("a section of gaps has a number that does not end")
