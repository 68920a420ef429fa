"""What a TensorFlow Lite model says of its integers: scale, zero point and along which axis.

Specification: table QuantizationParameters of schema.fbs, version 3, of the TensorFlow Lite
project; a value is (integer - zero_point) * scale.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mvc.base.errors import LimitError
from mvc.formats.base import Source
from mvc.formats.flatbuffer import Flatbuffer, Table
from mvc.formats.tflite import quantised

MAX_SCALES = 1 << 22
"""Scales and zero points of one file; a network has one for each channel of its layers."""

_SCALE, _ZERO_POINT, _DIMENSION = 2, 3, 6


@dataclass(frozen=True, slots=True)
class Scales:
    """One scale for all of a tensor of so many dimensions, or one for each place along `axis`.

    `zero_points` are as many as `scales`, or one, or none for zero.
    """

    rank: int
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int


def read(source: Source) -> dict[str, Scales]:
    """Return the scales of the tensors that have some, by name; of two alike, the first counts.

    Raises:
        FormatError: a table or vector lies outside the file, or there are too many scales.
    """
    model = Flatbuffer(source).root()
    found: dict[str, Scales] = {}
    room = MAX_SCALES
    for name, shape, table in quantised(model):
        counts = [table.vector(_SCALE, 4), table.vector(_ZERO_POINT, 8)]
        room -= sum(count for _, count in filter(None, counts))
        if room < 0:
            raise LimitError(f"it has more than {MAX_SCALES} scales and zero points")
        scales = tuple(map(float, _numbers(table, counts[0], "f", 4)))
        if scales:
            zeros = tuple(map(int, _numbers(table, counts[1], "q", 8)))
            axis = table.scalar(_DIMENSION, "i32")
            found.setdefault(name, Scales(len(shape), scales, zeros, axis))
    return found


def _numbers(
    table: Table, place: tuple[int, int] | None, code: str, width: int
) -> tuple[float, ...]:
    if place is None:
        return ()
    start, count = place
    return struct.unpack(f"<{count}{code}", table.buffer.bytes_at(start, count * width))
