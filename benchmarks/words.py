"""Words of tensors as unsigned integers, and what codings do with them before they compress.

Floats are compared as integers: `ordered` maps the words of a float to unsigned integers that
sort as the numbers do, so that close numbers have a small integer difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.unsignedinteger[Any]]
Bytes = NDArray[np.uint8]

UNSIGNED: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}


def ordered(words: Words, *, is_float: bool) -> Words:
    """Map words to unsigned integers in the order of the numbers they stand for."""
    top = words.dtype.type(1 << (8 * words.itemsize - 1))
    if not is_float:
        return words ^ top
    return np.where(words & top, ~words, words | top)


def unordered(mapped: Words, *, is_float: bool) -> Words:
    """Undo `ordered`."""
    top = mapped.dtype.type(1 << (8 * mapped.itemsize - 1))
    if not is_float:
        return mapped ^ top
    return np.where(mapped & top, mapped ^ top, ~mapped)


def zigzag(residuals: Words) -> Words:
    """Map two's complement to small numbers: 0, -1, 1, -2 become 0, 1, 2, 3."""
    bits = residuals.dtype.type(8 * residuals.itemsize - 1)
    one = residuals.dtype.type(1)
    return (residuals << one) ^ (residuals.dtype.type(0) - (residuals >> bits))


def unzigzag(mapped: Words) -> Words:
    """Undo `zigzag`."""
    one = mapped.dtype.type(1)
    return (mapped >> one) ^ (mapped.dtype.type(0) - (mapped & one))


def planes(words: Words) -> Bytes:
    """Return the bytes of words by their place in the word, one row a place."""
    return np.ascontiguousarray(words.view(np.uint8).reshape(-1, words.itemsize).T)


def joined(rows: Sequence[Bytes], size: int) -> Words:
    """Undo `planes`."""
    words: Words = np.stack(rows, axis=1).reshape(-1).view(UNSIGNED[size])
    return words


def bit_lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many bits each value below 2**53 takes, 0 for 0."""
    lengths: NDArray[np.int64] = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    return lengths


def entropy_bytes(symbols: NDArray[np.int64]) -> float:
    """Return the bytes that a perfect coder of order 0 needs, its table not counted."""
    if symbols.size == 0:
        return 0.0
    counts = np.bincount(symbols - symbols.min())
    shares = counts[counts > 0] / symbols.size
    return float(-(shares * np.log2(shares)).sum() * symbols.size / 8)
