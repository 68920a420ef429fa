"""Which chunk of the commit under way another one is like, from a sketch of each.

Three hundred models of one architecture may arrive in one commit, and their names do not tell
which of them began from which. What decides is how far their words are apart, and a few hundred
words tell that.
"""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base.dtypes import Family
from mvc.base.ids import ObjectId
from mvc.codec import plain
from mvc.codec.ordering import ordered
from mvc.codec.segments import Segment

UNITS = 256
MAX_KIN = 2048
"""Sketches kept of chunks that lie at the same place of tensors of the same shape."""
MAX_SKETCHES = 1 << 16
NEARER = 0.5
"""Bits a word by which the nearest of several must be nearer than is usual among them."""
EQUAL = 0.5
"""Share of equal units that makes a relative, whatever the others are."""
_LOGARITHM = 1 << 23

Place: TypeAlias = tuple[str, int, int, int]
"""Element type, words of a row, first word in the tensor, and words."""


class Sketch(NamedTuple):
    """A few top units of a chunk, as numbers that sort as the words do."""

    place: Place
    units: NDArray[np.int32]


class Kin:
    """Sketches of the chunks of one transaction. Safe from several threads."""

    def __init__(self) -> None:
        self._guard = Lock()
        self._held: dict[Place, tuple[NDArray[np.int32], list[ObjectId]]] = {}
        self._count = 0

    def nearest(self, sketch: Sketch) -> ObjectId | None:
        """Return the chunk that is nearest, None where none is nearer than the others."""
        with self._guard:
            held = self._held.get(sketch.place)
            if held is None:
                return None
            count = len(held[1])
            units, names = held[0][:count], held[1][:count]
        apart = np.abs(units - sketch.units)
        # The bits of a float are about the logarithm of its value.
        bits = (apart + 1).astype(np.float32).view(np.int32).mean(axis=1) / _LOGARITHM
        best = int(bits.argmin())
        equal = np.count_nonzero(apart[best] == 0) > EQUAL * len(sketch.units)
        if count <= 2 or equal or bits[best] < np.partition(bits, count // 2)[count // 2] - NEARER:
            return names[best]
        return None

    def knows(self, name: ObjectId, sketch: Sketch) -> bool:
        """Tell whether a chunk at the same place has been noted."""
        with self._guard:
            held = self._held.get(sketch.place)
            return held is not None and name in held[1]

    def note(self, name: ObjectId, sketch: Sketch) -> None:
        """Remember a chunk that can be read from now on."""
        with self._guard:
            if self._count >= MAX_SKETCHES:
                return
            none = np.empty((0, len(sketch.units)), np.int32)
            units, names = self._held.get(sketch.place, (none, []))
            count = len(names)
            if count >= MAX_KIN:
                return
            if count == len(units):
                grown = np.zeros((max(4, 2 * count), len(sketch.units)), np.int32)
                grown[:count] = units[:count]
                units = grown
            units[count] = sketch.units
            names.append(name)
            self._held[sketch.place] = (units, names)
            self._count += 1


def sketch(top: Segment, family: Family, dtype: str, columns: int, start: int) -> Sketch:
    """Return the sketch of a chunk, of which `top` is the top segment."""
    taken = plain.sample(top, UNITS)
    units = ordered((taken,))[0] if family == "float" else taken
    return Sketch((dtype, columns, start, len(top)), units.astype(np.int32))
