"""Sections that need nothing but their own bytes (docs/format.md, "Sections").

A sample decides how a segment is coded, so noise costs next to no time. A section is never more
than a few bytes longer than its segment.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import gaps, pco, zstd
from mvc.codec.segments import UNITS, Segment

SAMPLE_SLICES = 16
NOISE_RATIO = 0.985
"""A coding that leaves more than this is not worth its time."""
FASTER = 0.995
"""A slower coder must win by this much."""
MAX_DENSITY = 1 / 8
"""Share of the units that may be other than zero where gaps can be the shorter code."""
CLEAR_DENSITY, CLEAR_UNITS = 1 / 64, 1 << 12
"""Where so few of so many units are set, gaps are not even compared."""
_PLANE = struct.Struct("<BI")


class Mode(IntEnum):
    """How a whole section is coded; the last three are those of `mvc.codec.section`.

    GAPS are what an encoder that was told PCO makes of few units other than zero.
    """

    CONSTANT = 0
    RAW = 1
    PLANES = 2
    PCO = 3
    GAPS = 4
    GROUPS = 5
    LOOKUP = 6
    SPARSE = 7


class Plane(IntEnum):
    """How one byte plane is coded."""

    CONSTANT = 0
    RAW = 1
    ZSTD = 2
    PCO = 3


@dataclass(frozen=True, slots=True)
class Coding:
    """A way to code a segment: a mode and, for planes, the coder of each plane, highest first."""

    mode: Mode
    planes: tuple[Plane, ...] = ()
    level: int = 1


RAW = Coding(Mode.RAW)


def encode(segment: Segment, coding: Coding) -> bytes:
    """Return the section of a non-empty segment, coded as told unless that would be longer."""
    if bool((segment[:1] == segment[-1:]).all()) and bool((segment == segment[0]).all()):
        return bytes([Mode.CONSTANT]) + segment[:1].tobytes()
    if coding.mode is Mode.PCO:
        return _encode_numbers(segment)
    if coding.mode is Mode.PLANES:
        body = _encode_planes(segment, coding)
    else:
        return bytes([Mode.RAW]) + segment.tobytes()
    return _or_raw(coding.mode, body, segment)


def _encode_numbers(segment: Segment) -> bytes:
    """Return the shorter of what pcodec makes of the units, and of the gaps where few are set."""
    density = np.count_nonzero(segment) / len(segment)
    if density <= CLEAR_DENSITY and len(segment) >= CLEAR_UNITS:
        return _or_raw(Mode.GAPS, gaps.encode(segment), segment)
    mode, body = Mode.PCO, pco.compress(segment)
    if density <= MAX_DENSITY:
        other = gaps.encode(segment)
        if len(other) < len(body):
            mode, body = Mode.GAPS, other
    return _or_raw(mode, body, segment)


def _or_raw(mode: Mode, body: bytes, segment: Segment) -> bytes:
    if len(body) > segment.nbytes:
        return bytes([Mode.RAW]) + segment.tobytes()
    return bytes([mode]) + body


def decode(section: bytes | memoryview, count: int, width: int) -> Segment:
    """Return the segment of `count` units of `width` bytes, or raise FormatError."""
    data = memoryview(section)
    if not data:
        raise FormatError("a section is empty")
    mode, body = data[0], data[1:]
    if mode == Mode.CONSTANT and len(body) == width:
        return np.full(count, np.frombuffer(body, UNITS[width])[0], UNITS[width])
    if mode == Mode.RAW and len(body) == count * width:
        return np.frombuffer(body, UNITS[width])
    if mode == Mode.PLANES:
        return _decode_planes(body, count, width)
    if mode == Mode.PCO:
        return pco.decompress(body, count, width)
    if mode == Mode.GAPS:
        return gaps.decode(body, count, width)
    raise FormatError("a section has an unknown mode or the wrong length")


def choose(taken: Segment, level: int, *, entropy: bool) -> tuple[Coding, int]:
    """Return the coding that suits a sample, and how many bytes the sample takes with it.

    Without `entropy` only zstd and raw planes are considered, which are the fastest.
    """
    best, cost = _choose_planes(taken, level, entropy=entropy)
    if entropy:
        coded = len(pco.compress(taken))
        if coded < min(FASTER * cost, NOISE_RATIO * taken.nbytes):
            best, cost = Coding(Mode.PCO), coded
    return best, cost


def _choose_planes(taken: Segment, level: int, *, entropy: bool) -> tuple[Coding, int]:
    limit = NOISE_RATIO * len(taken)
    planes, total = [], 0
    for lane in reversed(range(taken.itemsize)):
        column = _column(taken, lane)
        plane, cost = Plane.ZSTD, len(zstd.compress(column.data, level))
        if entropy and taken.itemsize > 1:
            coded = len(pco.compress(column))
            if coded < FASTER * cost:
                plane, cost = Plane.PCO, coded
        if cost >= limit:
            plane, cost = Plane.RAW, len(taken)
        planes.append(plane)
        total += cost
    if all(plane is Plane.RAW for plane in planes):
        return RAW, taken.nbytes
    return Coding(Mode.PLANES, tuple(planes), level), total


def sample(segment: Segment, units: int) -> Segment:
    """Return `units` units taken in slices all over a segment; the whole if it is that short."""
    if len(segment) <= units:
        return segment
    return np.concatenate([segment[run] for run in _runs(len(segment), units)])


def sampled(count: int, units: int) -> NDArray[np.intp]:
    """Return the places of the units that `sample` takes of `count`."""
    if count <= units:
        return np.arange(count)
    return np.concatenate([np.arange(run.start, run.stop) for run in _runs(count, units)])


def _runs(count: int, units: int) -> list[slice]:
    width, last = units // SAMPLE_SLICES, SAMPLE_SLICES - 1
    starts = ((count - width) * number // last for number in range(SAMPLE_SLICES))
    return [slice(start, start + width) for start in starts]


def _column(segment: Segment, lane: int) -> NDArray[np.uint8]:
    """Return one byte of each unit, the lowest being 0."""
    # Shifting is three times as fast as copying every other byte.
    return (segment >> segment.dtype.type(8 * lane)).astype(np.uint8)


def _encode_planes(segment: Segment, coding: Coding) -> bytes:
    parts = []
    for lane, plane in zip(reversed(range(segment.itemsize)), coding.planes, strict=True):
        code, payload = _encode_plane(_column(segment, lane), plane, coding.level)
        parts += [_PLANE.pack(code, len(payload)), payload]
    return b"".join(parts)


def _encode_plane(column: NDArray[np.uint8], plane: Plane, level: int) -> tuple[Plane, bytes]:
    if plane is not Plane.RAW:
        if bool((column == column[0]).all()):
            return Plane.CONSTANT, column[:1].tobytes()
        if plane is Plane.PCO:
            payload = pco.compress(column)
        else:
            payload = zstd.compress(column.data, level)
        if len(payload) < len(column):
            return plane, payload
    return Plane.RAW, column.tobytes()


def _decode_planes(body: memoryview, count: int, width: int) -> Segment:
    out = np.zeros(count, UNITS[width])
    at = 0
    for lane in reversed(range(width)):
        if at + _PLANE.size > len(body):
            raise FormatError("a section ends inside a plane")
        code, length = _PLANE.unpack_from(body, at)
        at += _PLANE.size
        payload = body[at : at + length]
        if len(payload) != length:
            raise FormatError("a section ends inside a plane")
        at += length
        out |= _decode_plane(code, payload, count).astype(out.dtype) << out.dtype.type(8 * lane)
    if at != len(body):
        raise FormatError("a section has bytes behind its last plane")
    return out


def _decode_plane(code: int, payload: memoryview, count: int) -> Segment:
    if code == Plane.CONSTANT and len(payload) == 1:
        return np.full(1, payload[0], np.uint8)
    if code == Plane.RAW and len(payload) == count:
        return np.frombuffer(payload, np.uint8)
    if code == Plane.ZSTD:
        return np.frombuffer(zstd.decompress(payload, count), np.uint8)
    if code == Plane.PCO:
        return pco.decompress(payload, count, 1)
    raise FormatError("a plane has an unknown code or the wrong length")
