"""The order in which changed tensors or layers are shown, and how many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from mvc.base.errors import UsageError
from mvc.diff.layers import Measured
from mvc.diff.structure import natural_key
from mvc.diff.weights import Weights

Item = TypeVar("Item", bound=Measured)

_MEASURES: dict[str, Callable[[Weights], float | None]] = {
    "l2": lambda weights: weights.l2,
    "relative": lambda weights: weights.relative_l2,
    "changed": lambda weights: weights.changed_fraction,
    "max": lambda weights: weights.max_abs,
    # The least alike come first, as the most changed do by other measures.
    "cosine": lambda weights: None if weights.cosine is None else -weights.cosine,
}
KEYS = ("name", *_MEASURES, "bytes")


@dataclass(frozen=True, slots=True)
class Order:
    """By what to sort, the most changed first and names in natural order, unless `reverse`.

    What has no such number comes last either way. `top` is how many are shown, None for all.
    """

    key: str = "name"
    reverse: bool = False
    top: int | None = None

    @classmethod
    def parse(cls, key: str | None, top: int | None) -> Order:
        """Return the order for KEY or -KEY; the largest relative change if only `top` is given."""
        if key is None:
            return cls("name" if top is None else "relative", top=top)
        found = key.removeprefix("-")
        if found not in KEYS:
            raise UsageError(f"cannot sort by {key[:40]!r}", hint=f"sort by {', '.join(KEYS)}")
        return cls(found, key.startswith("-"), top)

    def applied(self, items: Iterable[Item]) -> tuple[Item, ...]:
        """Return the items in this order, no more than wanted."""
        if self.key == "name":
            found = sorted(items, key=lambda item: natural_key(item.name), reverse=self.reverse)
            return tuple(found[: self.top])
        known, unknown = [], []
        for item in items:
            size = self._size(item)
            if size is None:
                unknown.append(item)
            else:
                known.append((size if self.reverse else -size, item))
        known.sort(key=lambda pair: pair[0])
        return (*(item for _, item in known), *unknown)[: self.top]

    def _size(self, item: Measured) -> float | None:
        if self.key == "bytes":
            return item.bytes
        return None if item.weights is None else _MEASURES[self.key](item.weights)
