"""Elements of a tensor as arrays, in runs that need not begin or end with a part."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base import dtypes
from mvc.codec.segments import UNITS
from mvc.diff.sums import BLOCK_WORDS
from mvc.repo.tensors import Held

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.float64]


def count(shape: tuple[int, ...]) -> int:
    """Return how many elements a shape has."""
    product = 1
    for dim in shape:
        product *= dim
    return product


def scalar(label: str) -> np.dtype[np.generic] | None:
    """Return the type of a dtype's elements, None where they are no real numbers of whole bytes."""
    found = dtypes.numpy_dtype(label)
    return None if found is None or found.kind == "c" else found


class Run:
    """Reads elements of a tensor by their place in C order; keeps the part that was read last.

    With `raw`, words as unsigned integers, of which an element may have several or be a part.
    Not for use by several threads at once.
    """

    def __init__(self, held: Held, *, raw: bool = False) -> None:
        self._held = held
        content = held.tensor.content
        kind = None if raw else scalar(held.tensor.dtype)
        self.dtype: np.dtype[Any] = UNITS[content.word] if kind is None else kind
        self.length = content.size // self.dtype.itemsize
        self._step = max(1, held.part_bytes(0) // self.dtype.itemsize)
        self._number = -1
        self._part: Array = np.empty(0, self.dtype)

    def part(self, number: int) -> Array:
        """Return all elements of one part."""
        if number != self._number:
            self._part = np.frombuffer(self._held.load(number), self.dtype)
            self._number = number
        return self._part

    def between(self, start: int, stop: int) -> Array:
        """Return the elements from `start` up to `stop`."""
        pieces = []
        while start < stop:
            number, at = divmod(start, self._step)
            piece = self.part(number)[at : at + stop - start]
            pieces.append(piece)
            start += len(piece)
        if not pieces:
            return np.empty(0, self.dtype)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def parts_between(self, start: int, stop: int) -> range:
        """Return the numbers of the parts that hold these elements."""
        return range(start // self._step, -(-stop // self._step))

    def step(self) -> int:
        """Return the elements of a full part."""
        return self._step


def as_floats(values: Array) -> Floats:
    """Return real numbers as float64."""
    with np.errstate(all="ignore"):
        return values.astype(np.float64)


def dot(one: Floats, two: Floats) -> float:
    """Return the sum of products, the same on every machine; `mvc.diff.sums` says why."""
    total = 0.0
    space = np.empty(min(BLOCK_WORDS, len(one)))
    with np.errstate(all="ignore"):
        for start in range(0, len(one), BLOCK_WORDS):
            part = one[start : start + BLOCK_WORDS]
            product = space[: len(part)]
            np.multiply(part, two[start : start + BLOCK_WORDS], out=product)
            total += float(np.add.reduce(product))
    return total
