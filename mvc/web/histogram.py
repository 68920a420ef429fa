"""Histograms of changes as pictures: |change| in powers of two, growth up, shrinking down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mvc.diff.weights import Histogram

MOST_BINS = 64
TAIL = 1e-4
"""Share of the elements at the low end that is counted, not drawn."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bin: where it is, and the heights of what grew and shrank, all relative to 1."""

    x: float
    width: float
    up: float
    down: float
    title: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Bars with the exponents of two at both ends.

    `zero` elements did not change, `less` of the `changed` ones changed by less than is drawn.
    """

    bars: tuple[Bar, ...]
    first: int
    last: int
    zero: int
    less: int
    changed: int

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest |change| the picture has room for."""
        return _two_to(self.first), _two_to(self.last)


def picture(found: Histogram | None) -> Picture | None:
    """Return the bars of a histogram, None where there is nothing to draw."""
    if found is None or not found.grown:
        return None
    changed = sum(found.grown) + sum(found.shrunk)
    cut, less = _low_end(found, changed)
    first, grown, shrunk = found.first + cut, found.grown[cut:], found.shrunk[cut:]
    most = max((*grown, *shrunk), default=0)
    if not most:
        return None
    width = 1 / len(grown)
    bars = [
        Bar(at * width, width, up / most, down / most, _title(first + at, up, down))
        for at, (up, down) in enumerate(zip(grown, shrunk, strict=True))
        if up or down
    ]
    return Picture(tuple(bars), first, first + len(grown), found.zero, less, changed)


def _low_end(found: Histogram, changed: int) -> tuple[int, int]:
    """Return how many of the lowest bins are left out, and what they hold."""
    cut = max(0, len(found.grown) - MOST_BINS)
    less = sum(found.grown[:cut]) + sum(found.shrunk[:cut])
    while cut < len(found.grown) - 1:
        held = found.grown[cut] + found.shrunk[cut]
        if less + held > TAIL * changed:
            break
        cut, less = cut + 1, less + held
    return cut, less


def _title(exponent: int, up: int, down: int) -> str:
    low, high = _two_to(exponent), _two_to(exponent + 1)
    return f"|change| {low:.2g} to {high:.2g}: {up:,} grew, {down:,} shrank"


def _two_to(exponent: int) -> float:
    return math.ldexp(1.0, exponent) if exponent < 1024 else math.inf


def path(heights: Sequence[tuple[float, float]], wide: float, tall: float) -> str:
    """Return one SVG path for all bars of a small picture (x from 0 to `wide`)."""
    step = wide / max(1, len(heights))
    middle = tall / 2
    parts = []
    for at, (up, down) in enumerate(heights):
        if up or down:
            top, bottom = middle - up * middle, middle + down * middle
            parts.append(f"M{at * step:.4g} {top:.3g}h{step:.3g}V{bottom:.3g}h-{step:.3g}z")
    return "".join(parts)
