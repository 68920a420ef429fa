"""The inner loops of coding: in C where that was compiled at installation, else by NumPy.

Both give the same bits. Those in C take a fifth of the time and never hold the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mvc.codec.segments import Segment

if TYPE_CHECKING:
    from mvc.codec.sizes import Sizes


class Partition(Protocol):
    """Units in groups."""

    def gather(self, segment: Segment) -> Segment:
        """Return the units, group by group; inside a group they keep their order."""
        ...

    def scatter(self, gathered: Segment) -> Segment:
        """Undo `gather`."""
        ...


class Kernels(Protocol):
    """One way to run the inner loops."""

    def count(self, keys: Segment, values: int) -> NDArray[np.int64]:
        """Return how often each value below `values` occurs; no key may be larger."""
        ...

    def partition(self, keys: Segment, table: NDArray[np.uint8], sizes: Sequence[int]) -> Partition:
        """Return the groups of units whose keys `table` maps to the groups' numbers.

        `table` has an entry for each value that occurs, `sizes` the units of each group.
        """
        ...

    def step(self, new: Segment, base: Segment, *, floats: bool) -> Segment:
        """Return the zigzagged differences of top segments (docs/format.md, "Transforms")."""
        ...

    def back(self, coded: Segment, base: Segment, *, floats: bool) -> Segment:
        """Undo `step`."""
        ...

    def low_step(self, new: Segment, base: Segment, top: Segment, base_top: Segment) -> Segment:
        """Return the zigzagged differences of lower segments of floats with these top segments."""
        ...

    def low_back(self, coded: Segment, base: Segment, top: Segment, base_top: Segment) -> Segment:
        """Undo `low_step`, given the top segment that `back` returned."""
        ...

    def size_keys(self, rule: Sizes, top: Segment) -> NDArray[np.uint8]:
        """Return the key of each unit of a base's top segment (`mvc.codec.sizes`)."""
        ...

    def golomb_write(self, places: NDArray[np.int64], divisor: int) -> tuple[int, bytes]:
        """Return what `mvc.codec.golomb.write` does; there is at least one place."""
        ...

    def golomb_read(
        self, body: memoryview, ones: int, unary: int, divisor: int, count: int
    ) -> tuple[NDArray[np.int64], int]:
        """Return what `mvc.codec.golomb.read` does, or raise FormatError."""
        ...


def _choose() -> Kernels:
    try:
        from mvc.codec import kernels_compiled
    except ImportError:
        from mvc.codec import kernels_numpy

        return kernels_numpy.KERNELS
    return kernels_compiled.KERNELS


chosen = _choose()
