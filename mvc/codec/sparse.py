"""Segments with long runs of zeros: a map of the runs, and what is not zero.

A model whose few rows were trained differs from its base in whole rows; an embedding whose rare
words never occur differs hardly anywhere.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec import plain, zstd
from mvc.codec.plain import Mode
from mvc.codec.segments import UNITS, Segment

RUN = 64
MAX_USED = 0.7
"""Share of the runs that may hold something, or it is not worth a map."""
PROBED_RUNS, FULL = 256, 0.9
"""Where so many of a few runs hold something, the others are not even looked at."""
SAMPLE_UNITS = 1 << 15
_LENGTH = struct.Struct("<I")


def encode(segment: Segment, level: int, *, entropy: bool) -> bytes | None:
    """Return the section of a segment, None where too few of its runs are zeros."""
    width = segment.itemsize
    runs = segment[: len(segment) // RUN * RUN].view(np.uint64).reshape(-1, RUN * width // 8)
    few = _any(runs[:: 1 + len(runs) // PROBED_RUNS])
    if np.count_nonzero(few) > FULL * len(few):
        return None
    used = _any(runs)
    if not len(used) or np.count_nonzero(used) > MAX_USED * len(used):
        return None
    held = segment[_mask(used, len(segment))]
    if not held.any():
        return None
    coding, _ = plain.choose(plain.sample(held, SAMPLE_UNITS), level, entropy=entropy)
    bits = zstd.compress(np.packbits(used).tobytes(), level)
    return bytes([Mode.SPARSE]) + _LENGTH.pack(len(bits)) + bits + plain.encode(held, coding)


def decode(body: memoryview, count: int, width: int) -> Segment:
    """Return `count` units of `width` bytes of what follows the mode, or raise FormatError."""
    if len(body) < _LENGTH.size:
        raise FormatError("a sparse section is too short")
    (length,) = _LENGTH.unpack_from(body)
    bits, rest = body[_LENGTH.size :][:length], body[_LENGTH.size :][length:]
    runs = count // RUN
    if not runs:
        raise FormatError("a sparse section has no runs")
    packed = np.frombuffer(zstd.decompress(bits, -(-runs // 8)), np.uint8)
    mask = _mask(np.unpackbits(packed, count=runs).astype(np.bool_), count)
    held = int(np.count_nonzero(mask))
    if not held:
        raise FormatError("a sparse section holds nothing")
    out = np.zeros(count, UNITS[width])
    out[mask] = plain.decode(rest, held, width)
    return out


def _any(runs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell of each run whether it holds anything."""
    held: NDArray[np.bool_] = np.bitwise_or.reduce(runs, axis=1) != 0
    return held


def _mask(used: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    mask = np.ones(count, np.bool_)
    mask[: len(used) * RUN] = np.repeat(used, RUN)
    return mask
