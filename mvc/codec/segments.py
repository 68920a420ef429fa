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
    # Shifting and narrowing words is several times as fast as copying every other unit.
    words = np.frombuffer(data, UNITS[word])
    return tuple(
        (words >> words.dtype.type(shift)).astype(UNITS[width])
        for width, shift in zip(widths, _shifts(widths), strict=True)
    )


def join(segments: Sequence[Segment], word: int) -> memoryview:
    """Return the bytes of the words that `segments` make up."""
    widths = SEGMENTS[word]
    if len(widths) == 1:
        return np.ascontiguousarray(segments[0]).view(np.uint8).data
    words = np.zeros(len(segments[0]), UNITS[word])
    for segment, shift in zip(segments, _shifts(widths), strict=True):
        words |= segment.astype(words.dtype) << words.dtype.type(shift)
    return words.view(np.uint8).data


def _shifts(widths: Sequence[int]) -> list[int]:
    """Return the place of each segment in a word, in bits from the lowest."""
    return [8 * sum(widths[number + 1 :]) for number in range(len(widths))]


def swapped(data: bytes | memoryview, word: int) -> memoryview:
    """Return the words with their bytes in the opposite order."""
    return np.frombuffer(data, UNITS[word]).byteswap().view(np.uint8).data
