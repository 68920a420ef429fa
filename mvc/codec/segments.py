"""Cut words into segments, most significant bytes first, and join them again.

Words are little-endian in memory. A segment is an array of little-endian units: 1, 2 or 4 bytes
of every word. The top segment of a float32 chunk is its truncation to bfloat16
(docs/format.md, "Chunk").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base.dtypes import SEGMENTS

Segment: TypeAlias = NDArray[np.unsignedinteger]
Segments: TypeAlias = tuple[Segment, ...]

UNITS: dict[int, np.dtype[np.unsignedinteger]] = {
    width: np.dtype(f"<u{width}") for width in (1, 2, 4, 8)
}


def split(data: bytes | bytearray | memoryview, word: int) -> Segments:
    """Return the segments of the words in `data`, whose length is a multiple of `word`."""
    widths = SEGMENTS[word]
    if len(widths) == 1:
        return (np.frombuffer(data, UNITS[word]),)
    parts = []
    end = word
    for width in widths:
        end -= width
        lanes = np.frombuffer(data, UNITS[width]).reshape(-1, word // width)
        parts.append(np.ascontiguousarray(lanes[:, end // width]))
    return tuple(parts)


def join(segments: Sequence[Segment], word: int) -> memoryview:
    """Return the bytes of the words that `segments` make up."""
    widths = SEGMENTS[word]
    if len(widths) == 1:
        return np.ascontiguousarray(segments[0]).view(np.uint8).data
    out = np.empty(len(segments[0]) * word, np.uint8)
    end = word
    for width, segment in zip(widths, segments, strict=True):
        end -= width
        out.view(UNITS[width]).reshape(-1, word // width)[:, end // width] = segment
    return out.data


def swapped(data: bytes | memoryview, word: int) -> memoryview:
    """Return the words with their bytes in the opposite order."""
    return np.frombuffer(data, UNITS[word]).byteswap().view(np.uint8).data
