"""Predict the words of a matrix from a base and a low-rank product, bit for bit everywhere.

A LoRA adapter (Hu et al. 2021, arXiv:2106.09685) that was merged into a matrix changed it by a
product of two thin matrices, plus the rounding of each word: new = round(base + left @ right).
What is left to store is the difference between the words and this prediction, so encoder and
decoder must predict the same bits, whatever their processor, NumPy or BLAS. That is why this
module uses elementwise float64 operations in a fixed order alone: no matrix product of a library
(its order of sums varies), no fused multiply-add. `lowrank_fit` finds the factors, where none of
this matters, and `lowrank_bytes` stores them.

A prediction, for the word at (row, column) of a matrix in row-major order:

1. acc = the base word as float64;
2. for k = 0 .. rank-1: acc = acc + (left[row, k] * right[k, column]), each operation rounded to
   float64;
3. acc rounded once to the word's type, to nearest, ties to even, with gradual underflow.

Where the base word is NaN or infinite or the result would overflow, and where the base word is a
subnormal float64, the prediction is the base word itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvc.base.errors import FormatError
from mvc.codec.lowrank_words import FLOATS, Doubles, Float, Words, cut, joined, narrowed, widened
from mvc.codec.segments import Segment, Segments

MAX_RANK = 256
"""Largest rank of a product."""

BLOCK_WORDS = 1 << 15
"""Words predicted at a time, so that what is worked on stays in a processor's cache."""

MIDPOINT = 0x8000
"""The low segment that stands for one that is not known."""

SMALLEST, LARGEST = 2.0**-200, 2.0**200
"""Bounds of the values of factors, beyond which products might not be normal float64."""

Factor = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Factors:
    """The product for one chunk: `left` (rows of the chunk x rank), `right` (rank x columns).

    The rows of a chunk are those it has a word of, so the first and the last may be there in part.
    All values are float64, and 0 or from `SMALLEST` to `LARGEST` in size. Raises FormatError
    otherwise.
    """

    left: Factor
    right: Factor

    def __post_init__(self) -> None:
        if self.left.ndim != 2 or self.right.ndim != 2 or self.left.shape[1] != len(self.right):
            raise FormatError("the factors of a low-rank delta do not fit together")
        if not 1 <= len(self.right) <= MAX_RANK:
            raise FormatError(f"a low-rank delta has no rank from 1 to {MAX_RANK}")
        for factor in (self.left, self.right):
            size = np.abs(factor)
            if (
                factor.dtype != np.float64
                or not (((size >= SMALLEST) & (size <= LARGEST)) | (size == 0.0)).all()
            ):
                raise FormatError("a low-rank delta has values beyond the limits")

    @property
    def rank(self) -> int:
        """Return the number of products summed for a word."""
        return len(self.right)


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of a matrix whose words lie side by side in a chunk.

    `rows` counts from the chunk's first row.
    """

    words: slice
    rows: slice
    columns: slice


def pieces(count: int, columns: int, start: int, limit: int) -> Iterator[Piece]:
    """Cut `count` words from word `start` of a matrix on into pieces of at most `limit` words."""
    first = start // columns
    at = 0
    while at < count:
        row, column = divmod(start + at, columns)
        whole = min(count - at, limit) // columns if column == 0 else 0
        rows = max(1, whole)
        width = columns if whole else min(columns - column, count - at, limit)
        yield Piece(
            slice(at, at + rows * width),
            slice(row - first, row - first + rows),
            slice(column, column + width),
        )
        at += rows * width


def rows_of(count: int, columns: int, start: int) -> int:
    """Return how many rows `count` words from word `start` of a matrix on have a part in."""
    return (start + count - 1) // columns - start // columns + 1


def predict(base: Segments, kind: str, columns: int, start: int, factors: Factors) -> Segments:
    """Return the predicted segments of a chunk (see the module).

    Args:
        base: the segments of the base chunk, all of one length.
        kind: a label of `FLOATS`.
        columns: words of a row of the matrix.
        start: place of the chunk's first word in the matrix.
        factors: the rows of the product that the chunk has a part in.

    Raises FormatError where the factors are not as large as the chunk and the matrix.
    """
    spec = FLOATS[kind]
    count = len(base[0])
    if factors.left.shape[0] != rows_of(count, columns, start):
        raise FormatError("a low-rank delta has another number of rows than its chunk")
    if factors.right.shape[1] != columns:
        raise FormatError("a low-rank delta has another number of columns than its tensor")
    out = tuple(np.empty_like(part) for part in base)
    scratch = np.empty(BLOCK_WORDS, np.float64)
    for piece in pieces(count, columns, start, BLOCK_WORDS):
        words = joined((part[piece.words] for part in base), spec)
        left, right = factors.left[piece.rows], factors.right[:, piece.columns]
        for target, part in zip(
            out, cut(_predicted(words, spec, left, right, scratch), spec), strict=True
        ):
            target[piece.words] = part
    return out


def predict_top(
    base_top: Segment, kind: str, columns: int, start: int, factors: Factors
) -> tuple[Segment, NDArray[np.uint8]]:
    """Return the predicted top segment where only the base's top is known, and its contexts.

    The base's low segment is taken to be `MIDPOINT`. A context, 0 to 31, tells how far off the
    true top may be. Its lower three bits are where the prediction lies between its top segment
    (0) and the next in the order of floats (7): the truth is more often one lower near 0, one
    higher near 7. Its upper two bits are 0 where the exponent falls from the base by two or more,
    1 by one, 2 where it stays, 3 where it rises: what is not known of the base weighs more the
    smaller the word is beside it. For float32 alone; raises as `predict` does.
    """
    if kind != "float32":
        raise ValueError("only a float32 has a top segment to predict")
    unknown = np.broadcast_to(base_top.dtype.type(MIDPOINT), base_top.shape)
    top, low = predict((base_top, unknown), kind, columns, start, factors)
    context = (low >> low.dtype.type(13)).astype(np.uint8)
    context ^= (top >> top.dtype.type(15)).astype(np.uint8) * np.uint8(7)
    before, after = ((part >> part.dtype.type(7)).astype(np.uint8) for part in (base_top, top))
    rise = np.clip(after.astype(np.int16) - before, -2, 1) + 2
    return top, context | rise.astype(np.uint8) << np.uint8(3)


def _predicted(words: Words, spec: Float, left: Factor, right: Factor, scratch: Doubles) -> Words:
    values, without = widened(words, spec)
    _add_products(values.reshape(len(left), right.shape[1]), left, right, scratch)
    predicted = narrowed(values, spec)
    unit = words.dtype.type
    over = (predicted & unit(spec.infinity)) == unit(spec.infinity)
    if without is not None:
        over |= without
    if over.any():
        np.copyto(predicted, words, where=over)
    return predicted


def _add_products(acc: Doubles, left: Factor, right: Factor, scratch: Doubles) -> None:
    product = scratch[: acc.size].reshape(acc.shape)
    for k in range(len(right)):
        np.multiply(left[:, k : k + 1], right[k], out=product)
        np.add(acc, product, out=acc)
