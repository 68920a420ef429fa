"""Which side's file the merged tensors are put into: three ways by what is beside the tensors.

That is the order of tensors and the bytes between them: headers, graphs, pickles. Checksums that
follow from the tensors do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mvc.merge.literals import Difference, compare
from mvc.objects.model import Checkpoint
from mvc.store.object_store import ObjectStore

Standing = Literal["agreed", "harmless", "literals", "structure"]
"""One file suits all; sides changed metadata that no program computes with; other bytes beside the
same tensors; which tensors there are, or their dtypes and shapes."""

_WORST: dict[Difference, int] = {"none": 0, "harmless": 1, "literals": 2, "structure": 3}
_STANDINGS: tuple[Standing, ...] = ("agreed", "harmless", "literals", "structure")


class Layouts:
    """The layouts of one model file in several versions."""

    def __init__(
        self, store: ObjectStore, base: Checkpoint | None, sides: Mapping[int, Checkpoint]
    ) -> None:
        self._store = store
        self._base = base
        self._sides = sides
        self._known: dict[tuple[bytes, bytes], Difference] = {}

    def standing(self) -> tuple[Standing, int]:
        """Return how the sides stand to each other, and the side whose file suits best."""
        changed = [side for side in self._sides if not self._as_before(side)]
        source = min(changed, default=min(self._sides))
        worst = 0
        for side in changed:
            difference = self._difference(self._sides[source], self._sides[side])
            worst = max(worst, _WORST[difference])
        return _STANDINGS[worst], source

    def alike(self, one: int, two: int) -> bool:
        """Tell whether two sides have the same around their tensors."""
        return self._difference(self._sides[one], self._sides[two]) == "none"

    def _as_before(self, side: int) -> bool:
        return self._base is not None and self._difference(self._base, self._sides[side]) == "none"

    def _difference(self, one: Checkpoint, two: Checkpoint) -> Difference:
        if one.layout == two.layout and one.format == two.format:
            return "none"
        key = (one.layout, two.layout)
        if key not in self._known:
            self._known[key] = compare(self._store, one, two)
        return self._known[key]
