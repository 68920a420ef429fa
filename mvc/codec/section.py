"""One segment of one chunk as bytes: constant, raw, or byte planes (docs/format.md, "Sections").

A section is never more than a few bytes longer than the segment. A sample decides first whether
anything can be gained, so noise costs next to no time.
"""

from __future__ import annotations

import struct
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import zstd
from mvc.codec.segments import UNITS, Segment

SAMPLE_BYTES = 1 << 16
SAMPLE_SLICES = 16
NOISE_RATIO = 0.975
_PLANE = struct.Struct("<BI")


class Mode(IntEnum):
    """How a whole section is coded."""

    CONSTANT = 0
    RAW = 1
    PLANES = 2


class Plane(IntEnum):
    """How one byte plane is coded."""

    CONSTANT = 0
    RAW = 1
    ZSTD = 2


def encode(segment: Segment, level: int = 1) -> bytes:
    """Return the section of a non-empty segment."""
    if bool((segment[:1] == segment[-1:]).all()) and bool((segment == segment[0]).all()):
        return bytes([Mode.CONSTANT]) + segment[:1].tobytes()
    lanes = _lanes(segment)
    worth = [_worth(lanes[:, lane], level) for lane in range(lanes.shape[1])]
    if not any(worth):
        return bytes([Mode.RAW]) + segment.tobytes()
    parts = [bytes([Mode.PLANES])]
    for lane in reversed(range(lanes.shape[1])):
        code, payload = _encode_plane(
            np.ascontiguousarray(lanes[:, lane]), level, worth=worth[lane]
        )
        parts += [_PLANE.pack(code, len(payload)), payload]
    return b"".join(parts)


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
    raise FormatError("a section has an unknown mode or the wrong length")


def estimate(segment: Segment, level: int = 1) -> int:
    """Return about how many bytes the section of a small sample segment takes."""
    lanes = _lanes(segment)
    return sum(
        len(zstd.compress(np.ascontiguousarray(lanes[:, lane]).data, level))
        for lane in range(lanes.shape[1])
    )


def sample(segment: Segment, units: int) -> Segment:
    """Return `units` units taken in slices all over a segment; the whole if it is that short."""
    if len(segment) <= units:
        return segment
    width = units // SAMPLE_SLICES
    starts = np.linspace(0, len(segment) - width, SAMPLE_SLICES).astype(np.int64)
    return np.concatenate([segment[start : start + width] for start in starts])


def _lanes(segment: Segment) -> NDArray[np.uint8]:
    return segment.view(np.uint8).reshape(len(segment), segment.itemsize)


def _worth(plane: NDArray[np.uint8], level: int) -> bool:
    """Tell from a sample whether zstd gains anything on this plane."""
    taken = sample(plane, SAMPLE_BYTES)
    packed = zstd.compress(np.ascontiguousarray(taken).data, level)
    return len(packed) < NOISE_RATIO * len(taken)


def _encode_plane(plane: NDArray[np.uint8], level: int, *, worth: bool) -> tuple[Plane, bytes]:
    if worth:
        if not plane.any() or bool((plane == plane[0]).all()):
            return Plane.CONSTANT, plane[:1].tobytes()
        packed = zstd.compress(plane.data, level)
        if len(packed) < len(plane):
            return Plane.ZSTD, packed
    return Plane.RAW, plane.tobytes()


def _decode_planes(body: memoryview, count: int, width: int) -> Segment:
    out = np.empty((count, width), np.uint8)
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
        out[:, lane] = _decode_plane(code, payload, count)
    if at != len(body):
        raise FormatError("a section has bytes behind its last plane")
    return out.view(UNITS[width]).reshape(count)


def _decode_plane(code: int, payload: memoryview, count: int) -> NDArray[np.uint8]:
    if code == Plane.CONSTANT and len(payload) == 1:
        return np.full(1, payload[0], np.uint8)
    if code == Plane.RAW and len(payload) == count:
        return np.frombuffer(payload, np.uint8)
    if code == Plane.ZSTD:
        return np.frombuffer(zstd.decompress(payload, count), np.uint8)
    raise FormatError("a plane has an unknown code or the wrong length")
