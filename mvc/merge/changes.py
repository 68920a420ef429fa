"""What each side changed against the base, read part by part and seen block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.merge.numbers import Floats, Words
from mvc.merge.work import Reading, Work, blocks

Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """A block of a side: its words, where they differ from the base, and by how much.

    A change is the difference of the two numbers in float64, 0 where the bits are equal.
    """

    words: Words
    differs: Flags
    values: Floats


ChangeOf: TypeAlias = Callable[[slice], Change]


@dataclass(frozen=True, slots=True)
class Against:
    """One part of the base, and the sides that have another: (place, blocks of its change)."""

    base: Words
    numbers: Floats
    sides: Iterator[tuple[int, ChangeOf]]


def against_base(work: Work, number: int) -> Against:
    """Read a part of the base; the sides are read one after the other, those that differ."""
    assert work.base is not None  # noqa: S101
    everyone = (work.base, *work.sides)
    reading = Reading(everyone, number, work.numbers.word)
    base = reading.words(0)
    numbers = np.empty(len(base), np.float64)
    with np.errstate(all="ignore"):
        for at in blocks(len(base)):
            numbers[at] = work.numbers.values(base[at])

    def sides() -> Iterator[tuple[int, ChangeOf]]:
        name = work.base.part_id(number) if work.base else None
        for place, side in enumerate(work.sides):
            if name is None or side.part_id(number) != name:
                yield place, _change(work, base, numbers, reading.words(place + 1))

    return Against(base, numbers, sides())


def _change(work: Work, base: Words, numbers: Floats, words: Words) -> ChangeOf:
    def change(at: slice) -> Change:
        with np.errstate(all="ignore"):
            differs = words[at] != base[at]
            values = work.numbers.values(words[at])
            values -= numbers[at]
            # NaN minus itself is NaN.
            values[~differs] = 0.0
        return Change(words[at], differs, values)

    return change
