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

from mvc.base.errors import FormatError
from mvc.codec import kernels, pco
from mvc.codec.golomb import Places
from mvc.codec.segments import UNITS, Segment

MAX_RUNGS = 4
MAX_DIVISOR = 1 << 15


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
    found: list[Places] = []
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


def _rung(places: Places) -> bytes:
    if not len(places):
        return _numbers(0, 1, 0)
    divisor = _divisor(places)
    unary, coded = kernels.chosen.golomb_write(places, divisor)
    return _numbers(len(places), divisor, unary) + coded


def _divisor(places: Places) -> int:
    """Return the divisor that suits the mean of geometrically distributed gaps."""
    mean = (int(places[-1]) + 1 - len(places)) / len(places)
    zero = mean / (1 + mean)
    if zero <= 0.5:
        return 1
    best = math.ceil(math.log(1 + zero) / -math.log(zero))
    return min(best, MAX_DIVISOR)


def _read_rung(body: memoryview, count: int) -> tuple[Places, memoryview]:
    """Return the places of a rung among `count` units, and what follows it."""
    ones, body = _read_number(body)
    divisor, body = _read_number(body)
    unary, body = _read_number(body)
    if ones > count or not 1 <= divisor <= MAX_DIVISOR:
        raise FormatError("a section of gaps has an impossible rung")
    places, used = kernels.chosen.golomb_read(body, ones, unary, divisor, count)
    return places, body[used:]


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
