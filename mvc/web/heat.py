"""Colours of heat maps: levels on a logarithmic scale, and the legend that explains them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEVELS = 12
MOST_DECADES = 5
LEAST_DECADES = 1


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic scale from `low` to `high`; both are zero where nothing differs."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Scale:
        """Return the scale that shows these values: at least one decade, at most five."""
        found = [value for value in values if value is not None and 0 < value < math.inf]
        if not found:
            return cls(0.0, 0.0)
        high = max(found)
        low = max(min(found), high * 10.0**-MOST_DECADES)
        return cls(min(low, high * 10.0**-LEAST_DECADES), high)

    def place(self, value: float) -> float:
        """Return where a value is on the scale, from 0 to 1."""
        if value <= self.low or not self.high:
            return 0.0
        if value >= self.high:
            return 1.0
        return math.log(value / self.low) / math.log(self.high / self.low)

    def level(self, value: float | None) -> int:
        """Return the level of a value: 1 to LEVELS, 0 for no change or no value."""
        if not value or value < 0 or math.isnan(value):
            return 0
        return 1 + min(LEVELS - 1, int(self.place(value) * LEVELS))

    def bounds(self) -> list[float]:
        """Return the least value of each level; the first has everything below it, too."""
        if not self.high:
            return []
        step = math.log(self.high / self.low) / LEVELS
        return [self.low * math.exp(step * level) for level in range(LEVELS)]
