"""How large a residual is expected to be: the change of its row, in units of its own word.

An optimizer's step has about the same size along a row; what a word's integer residual is then
depends on the exponent of the word. So the mean change of each row is stored in a byte, and units
are grouped by it and the base's exponent together (docs/format.md, "Groups").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mvc.codec import kernels
from mvc.codec.ordering import exponents
from mvc.codec.segments import Segment, Segments

KEYS = 256
OCTAVE = 4
"""Levels of an octave."""
TAKEN = 64
"""Words of a row that its level is estimated from."""
MIN_COLUMNS = 16
EXPONENTS = {"float64": 11, "float32": 8, "bfloat16": 8, "float16": 5}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Group by how large a residual is expected to be in units of its word.

    `levels` has a byte for each row of `columns` words, the first of which begins `start` words
    before the chunk: four times the logarithm of its mean change, from an arbitrary zero. Against
    it stands the exponent of the base word, which has `exponent` bits below the sign, counted from
    `reference`.
    """

    exponent: int
    floor: int
    reference: int
    columns: int
    start: int
    levels: bytes

    octave: ClassVar[int] = OCTAVE

    def keys(self, top: Segment) -> NDArray[np.uint8]:
        """Return the key of each unit of a base's top segment."""
        return kernels.chosen.size_keys(self, top)

    def keys_at(self, top: Segment, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the keys of some units, given their top units and places."""
        rows = np.frombuffer(self.levels, np.uint8)[(places + self.start) // self.columns]
        alone = replace(self, columns=1, start=0, levels=rows.tobytes())
        return alone.keys(top).astype(np.intp)


def measure(
    new: Segments, base: Segments, dtype: str, columns: int, start: int, floor: int
) -> Sizes | None:
    """Return the sizes of the rows that a chunk holds, None where it has no rows or floats.

    `start` is the place of the chunk's first word in the tensor. Only the encoder does this, so
    nothing depends on how it rounds.
    """
    exponent = EXPONENTS.get(dtype)
    count, top = len(new[0]), base[0]
    if exponent is None or not MIN_COLUMNS <= columns <= count:
        return None
    first = start % columns
    new, base = (tuple(_taken(part, columns, first) for part in held) for held in (new, base))
    changes = _changes(new, base, exponent)
    levels = np.round(OCTAVE * np.log2(np.maximum(changes.mean(axis=1), _TINY)))
    highest = levels.max()
    if highest <= OCTAVE * np.log2(_TINY):
        return None
    # Rows without change, and rows far below the others, share the lowest level.
    shifted = (levels - (highest - SPREAD)).clip(0, SPREAD).astype(np.uint8)
    reference = int(exponents(top, exponent).max())
    return Sizes(exponent, floor, reference, columns, first, shifted.tobytes())


SPREAD = 63
HEADROOM = 80
_TINY = 2.0**-300


def _taken(segment: Segment, columns: int, first: int) -> Segment:
    """Return some words of each row; where the chunk has but a part of one, its edge repeats."""
    behind = -(first + len(segment)) % columns
    whole = np.pad(segment, (first, behind), mode="edge") if first or behind else segment
    return whole.reshape(-1, columns)[:, :: max(1, columns // TAKEN)]


def _changes(new: Segments, base: Segments, exponent: int) -> NDArray[np.float64]:
    """Return about how much words changed, as a multiple of a power of two."""
    steps: NDArray[np.float64] = np.zeros(new[0].shape)
    for one, two in zip(new, base, strict=True):
        steps *= 256.0**one.itemsize
        steps += one
        steps -= two
    # The largest step at the largest exponent, summed over a row, is still finite.
    powers = np.exp2(np.arange(1 << exponent) - ((1 << exponent - 1) + float(HEADROOM)))
    np.abs(steps, out=steps)
    steps *= powers.take(exponents(base[0], exponent))
    return steps
