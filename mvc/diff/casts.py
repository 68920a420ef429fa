"""What became of the values of a tensor that got another dtype: nothing lost, rounded, changed.

The nearest value is that of IEEE 754, ties to even. Numbers are sums in float64 in a fixed order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mvc.base.parallel import ordered_map
from mvc.codec.segments import UNITS
from mvc.diff.findings import Cast, CastKind
from mvc.diff.values import Array, Floats, Run, as_floats, dot, scalar
from mvc.repo.tensors import Held

BLOCK = 1 << 16


@dataclass(slots=True)
class Errors:
    """Sums over pairs of an old and a new value that are both finite."""

    finite: int = 0
    old_squares: float = 0.0
    new_squares: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    greatest: float = 0.0

    def take(self, old: Floats, new: Floats) -> None:
        """Add pairs of values."""
        if not len(old):
            return
        both = np.isfinite(old) & np.isfinite(new)
        if not both.all():
            old, new = old[both], new[both]
        with np.errstate(all="ignore"):
            change = new - old
        self.finite += len(old)
        self.old_squares += dot(old, old)
        self.new_squares += dot(new, new)
        self.squares += dot(change, change)
        self.products += dot(old, new)
        self.greatest = max(self.greatest, float(np.abs(change).max(initial=0.0)))

    def add(self, other: Errors) -> None:
        """Add the sums of another part."""
        self.finite += other.finite
        self.old_squares += other.old_squares
        self.new_squares += other.new_squares
        self.squares += other.squares
        self.products += other.products
        self.greatest = max(self.greatest, other.greatest)

    @property
    def cosine(self) -> float | None:
        """The cosine between old and new values, None where one has no length."""
        lengths = math.sqrt(self.old_squares) * math.sqrt(self.new_squares)
        if not lengths or not math.isfinite(lengths):
            return None
        return max(-1.0, min(1.0, self.products / lengths))

    def cast(
        self,
        kind: CastKind,
        elements: int,
        differing: int,
        scale: str | None = None,
        zero_point: str | None = None,
    ) -> Cast:
        """Return the sums as what became of a tensor's values."""
        numbers = bool(self.finite) and math.isfinite(self.squares)
        l2 = math.sqrt(self.squares) if numbers else None
        norm = math.sqrt(self.old_squares) if numbers else 0.0
        relative = l2 / norm if l2 is not None and norm else (0.0 if l2 == 0.0 else None)
        cosine = self.cosine if numbers else None
        greatest = self.greatest if numbers else None
        return Cast(kind, elements, differing, l2, relative, cosine, greatest, scale, zero_point)


@dataclass(slots=True)
class _Sums:
    elements: int
    inexact: int
    unrounded: int
    untruncated: int
    errors: Errors


def measure(old: Held, new: Held) -> Cast | None:
    """Return what a cast did to the values of a tensor, None where they are no real numbers.

    Both have one shape. Memory is bounded by the size of a chunk and the number of processors.
    """
    one, two = old.tensor, new.tensor
    if scalar(one.dtype) is None or scalar(two.dtype) is None or one.shape != two.shape:
        return None
    if Run(old).length != Run(new).length:
        return None
    total = _Sums(0, 0, 0, 0, Errors())
    runs = Run(old)
    spans = [
        (start, min(start + runs.step(), runs.length))
        for start in range(0, runs.length, runs.step())
    ]
    for found in ordered_map(lambda span: _part(old, new, *span), spans):
        total.elements += found.elements
        total.inexact += found.inexact
        total.unrounded += found.unrounded
        total.untruncated += found.untruncated
        total.errors.add(found.errors)
    kind, differing = _kind(total)
    return total.errors.cast(kind, total.elements, differing)


def _kind(total: _Sums) -> tuple[CastKind, int]:
    if not total.inexact:
        return "exact", 0
    if not total.unrounded:
        return "rounded", 0
    if not total.untruncated:
        return "truncated", 0
    return "changed", total.unrounded


def _part(old: Held, new: Held, start: int, stop: int) -> _Sums:
    before, after = Run(old).between(start, stop), Run(new).between(start, stop)
    sums = _Sums(len(before), 0, 0, 0, Errors())
    for at in range(0, len(before), BLOCK):
        _block(sums, before[at : at + BLOCK], after[at : at + BLOCK])
    return sums


def _block(sums: _Sums, old: Array, new: Array) -> None:
    one, two = as_floats(old), as_floats(new)
    with np.errstate(all="ignore"):
        nearest = old.astype(new.dtype)
        back = new.astype(old.dtype) if old.dtype.kind in "iu" else one
    numbers = ~(np.isnan(one) & np.isnan(two))
    lost = (one != two) & numbers
    if old.dtype.kind in "iu":
        lost |= back != old
    sums.inexact += int(np.count_nonzero(lost))
    apart = (_words(nearest) != _words(new)) & numbers
    sums.unrounded += int(np.count_nonzero(apart))
    if (old.dtype.name, new.dtype.name) == ("float32", "bfloat16"):
        top = (old.view(np.uint32) >> 16).astype(np.uint16)
        sums.untruncated += int(np.count_nonzero((top != _words(new)) & numbers))
    else:
        sums.untruncated += 1
    sums.errors.take(one, two)


def _words(values: Array) -> Array:
    return values.view(UNITS[values.dtype.itemsize])
