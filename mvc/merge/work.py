"""What a strategy is applied to: the sides of one tensor, read part by part and block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvc.base.ids import ObjectId
from mvc.base.parallel import worker_count
from mvc.merge.numbers import Floats, Numbers, Words
from mvc.merge.strategies import Strategy
from mvc.repo.tensors import Held

BLOCK_WORDS = 1 << 14
"""Words computed with at a time: their float64 arrays stay in the processor's cache."""

KEPT_PARTS = 8
"""Parts that are kept for a later side which has the same; more are read again."""

MEMORY = 384 << 20
"""Bytes that the parts being made may take together."""

Part = Callable[[int], Words]
"""Makes the words of a part. Safe in worker threads."""


@dataclass(frozen=True, slots=True)
class Work:
    """One tensor to be made of several.

    Attributes:
        base: What the sides come from, None where nothing needs it.
        sides: The tensors, all of one dtype and shape; those of weight 0 are left out.
        weights: The weight of each side.
        places: Where each side stood among all that were given.
        numbers: How their words are numbers.
        strategy: What to do.
        name: The tensor's name; random draws depend on it.
    """

    base: Held | None
    sides: tuple[Held, ...]
    weights: tuple[float, ...]
    places: tuple[int, ...]
    numbers: Numbers
    strategy: Strategy
    name: str

    @property
    def first(self) -> Held:
        """The first side."""
        return self.sides[0]

    @property
    def parts(self) -> int:
        """How many parts each side has."""
        return self.first.parts

    def words(self, number: int) -> int:
        """Return how many words a part has."""
        return self.first.part_bytes(number) // self.numbers.word.itemsize


class Reading:
    """Reads a part of several tensors, equal ones once as long as few of them wait."""

    def __init__(self, held: tuple[Held, ...], number: int, word: np.dtype[np.generic]) -> None:
        self._held = held
        self._number = number
        self._word = word
        self._left = Counter(name for one in held if (name := one.part_id(number)) is not None)
        self._kept: dict[ObjectId, Words] = {}

    def words(self, place: int) -> Words:
        """Return the words of the tensor at `place`; each place is asked for once."""
        one = self._held[place]
        name = one.part_id(self._number)
        if name is None:
            return self._load(one)
        self._left[name] -= 1
        found = self._kept.pop(name) if name in self._kept else self._load(one)
        if self._left[name] and len(self._kept) < KEPT_PARTS:
            self._kept[name] = found
        return found

    def _load(self, one: Held) -> Words:
        return np.frombuffer(one.load(self._number), self._word)


def ahead(room: int) -> int:
    """Return how many parts that take `room` bytes each may be under way at a time."""
    return max(1, min(2 * worker_count(), MEMORY // max(1, room)))


def same_part(held: tuple[Held, ...], number: int) -> bool:
    """Tell from ids alone that a part of all these tensors is equal."""
    name = held[0].part_id(number)
    return name is not None and all(one.part_id(number) == name for one in held[1:])


def blocks(count: int) -> Iterator[slice]:
    """Yield the blocks of a part of `count` words."""
    for at in range(0, count, BLOCK_WORDS):
        yield slice(at, min(count, at + BLOCK_WORDS))


def total(values: Floats) -> float:
    """Return the sum of numbers, added in halves, in the same order on every machine.

    NumPy's own sums depend on the width of the processor's vectors in some places.
    """
    size = 1 << max(0, len(values) - 1).bit_length()
    if size != len(values):
        values = np.concatenate((values, np.zeros(size - len(values))))
    while len(values) > 1:
        half = len(values) // 2
        values = values[:half] + values[half:]
    return float(values[0]) if len(values) else 0.0


def computed(
    count: int, word: np.dtype[np.unsignedinteger], block: Callable[[slice], Words]
) -> Words:
    """Return the words of a part that `block` makes block by block."""
    out: NDArray[np.unsignedinteger] = np.empty(count, word)
    with np.errstate(all="ignore"):
        for place in blocks(count):
            out[place] = block(place)
    return out
