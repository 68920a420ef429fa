"""Tensors by layer, and layers as a grid: what kind of layer they are, and in which block.

A layer is what has the tensors' name up to the last part: `encoder.layer.3.attention.query` of
`...query.weight` and `...query.bias`; parts end at dots and slashes. A block is a numbered part
of a name: the tensors `layer.0.norm.weight` and `layer.1.norm.weight` are of the kind
`layer.norm.weight`, in the blocks 0 and 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mvc.diff.weights import Histogram, Weights

_PARTS = re.compile(r"[^./]+[./]?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}(?=[./]?\Z)", re.ASCII)


class Measured(Protocol):
    """A tensor that changed."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def bytes(self) -> int:
        """Its size."""
        ...

    @property
    def weights(self) -> Weights | None:
        """How far it changed, None if that was not asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """Changed tensors of one layer, and how far all of them changed together.

    `largest` is the tensor with the largest change of an element; `weights.max_at` is an index of
    it. `weights` have no rank, and are None if those of a tensor are.
    """

    name: str
    tensors: tuple[str, ...]
    bytes: int
    weights: Weights | None
    largest: str | None


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a tensor is in the grid: its kind, and its block if its name has a number."""

    kind: str
    block: int | None


def layer_of(name: str) -> str:
    """Return the layer of a tensor; a name of one part is a layer of its own."""
    parts = _PARTS.findall(name)
    if len(parts) < 2:
        return name
    return name[: len(name) - len(parts[-1])].rstrip("./") or name


def layers(tensors: Iterable[Measured]) -> tuple[Layer, ...]:
    """Return the layers of some tensors, in the order of the first of each."""
    groups: dict[str, list[Measured]] = {}
    for tensor in tensors:
        groups.setdefault(layer_of(tensor.name), []).append(tensor)
    return tuple(_layer(name, group) for name, group in groups.items())


def grid(names: Iterable[str]) -> dict[str, Cell]:
    """Return where each of these tensors is in a grid of kinds and blocks.

    Of several numbers in a name the first counts that differs among these names (whatever other
    numbers are before it), so that the `2` of `vit2.layers.11.norm` does not; if none does, the
    first that is a whole part.
    """
    numbered = {name: _numbers(name) for name in names}
    seen: dict[str, set[str]] = {}
    for places in numbered.values():
        for place in places:
            seen.setdefault(place.before, set()).add(place.digits)
    found = {}
    for name, places in numbered.items():
        several = [place for place in places if len(seen[place.before]) > 1]
        whole = [place for place in places if place.whole]
        chosen = next(iter(several or whole), None)
        found[name] = Cell(chosen.kind, int(chosen.digits)) if chosen else Cell(name, None)
    return found


def combined(weights: Sequence[Weights]) -> Weights:
    """Return how far several tensors changed together, as if they were one; without a rank.

    `max_at` is the index in whichever tensor has the largest change.
    """
    numeric = [item for item in weights if item.histogram is not None]
    elements, changed = (
        sum(item.elements for item in weights),
        sum(item.changed for item in weights),
    )
    if not numeric:
        return Weights("word", elements, changed, None, None, 0, 0, *[None] * 5)
    # A tensor without a finite element has no numbers and adds nothing to those of others.
    counted = [item for item in numeric if _finite(item) or not item.elements]
    norm, new_norm, l2 = (
        _joint([getattr(item, field) for item in counted]) for field in ("norm", "new_norm", "l2")
    )
    largest = _largest(counted)
    return Weights(
        "element",
        elements,
        changed,
        sum(item.grown or 0 for item in numeric),
        sum(item.shrunk or 0 for item in numeric),
        sum(item.old_nonfinite for item in numeric),
        sum(item.new_nonfinite for item in numeric),
        norm,
        l2,
        _relative(l2, norm),
        _cosine(counted, norm, new_norm),
        None if largest is None else largest.max_abs,
        new_norm,
        None if largest is None else largest.max_at,
        _mean(counted),
        _flips(numeric),
        summed([item.histogram for item in numeric if item.histogram is not None]),
    )


def summed(histograms: Sequence[Histogram]) -> Histogram:
    """Return the histogram of all elements that these count."""
    zero = sum(item.zero for item in histograms)
    held = [item for item in histograms if item.grown]
    if not held:
        return Histogram(zero)
    first = min(item.first for item in held)
    length = max(item.first + len(item.grown) for item in held) - first
    grown, shrunk = [0] * length, [0] * length
    for item in held:
        for number, (up, down) in enumerate(zip(item.grown, item.shrunk, strict=True)):
            grown[item.first - first + number] += up
            shrunk[item.first - first + number] += down
    return Histogram(zero, first, tuple(grown), tuple(shrunk))


@dataclass(frozen=True, slots=True)
class _Place:
    """A number at the end of a part of a name: what is before it, and the name without it."""

    digits: str
    before: str
    whole: bool
    kind: str


def _numbers(name: str) -> list[_Place]:
    found = []
    at, before = 0, ""
    for part in _PARTS.findall(name):
        match = _NUMBER.search(part)
        if match:
            stem = part[: match.start()]
            # A part that is all number goes with its separator.
            rest = part[match.end() :] if stem else ""
            kind = name[:at] + stem + rest + name[at + len(part) :]
            before += stem
            found.append(_Place(match[0], before, not stem, kind))
            before += "#" + part[match.end() :]
        else:
            before += part
        at += len(part)
    return found


def _layer(name: str, group: list[Measured]) -> Layer:
    weights = [tensor.weights for tensor in group if tensor.weights is not None]
    joint = combined(weights) if len(weights) == len(group) else None
    largest = None
    if joint is not None and joint.max_at is not None:
        largest = next(
            tensor.name
            for tensor in group
            if tensor.weights and tensor.weights.max_abs == joint.max_abs
        )
    names = tuple(tensor.name for tensor in group)
    return Layer(name, names, sum(tensor.bytes for tensor in group), joint, largest)


def _finite(item: Weights) -> int:
    held = item.histogram
    return 0 if held is None else held.zero + sum(held.grown) + sum(held.shrunk)


def _joint(norms: list[float | None]) -> float | None:
    known = [norm for norm in norms if norm is not None]
    return math.hypot(*known) if known and len(known) == len(norms) else None


def _relative(l2: float | None, norm: float | None) -> float | None:
    if l2 is None or norm is None or (l2 and not norm):
        return None
    return l2 / norm if norm else 0.0


def _cosine(items: list[Weights], norm: float | None, new_norm: float | None) -> float | None:
    if not norm or not new_norm:
        return None
    # Divided before they are multiplied, since squares of large norms overflow.
    shares = [
        item.cosine * ((item.norm or 0.0) / norm) * ((item.new_norm or 0.0) / new_norm)
        for item in items
        if item.cosine is not None
    ]
    return max(-1.0, min(1.0, math.fsum(shares)))


def _mean(items: list[Weights]) -> float | None:
    total = sum(map(_finite, items))
    if not total or any(item.mean_shift is None and item.elements for item in items):
        return None
    return math.fsum((item.mean_shift or 0.0) * (_finite(item) / total) for item in items)


def _flips(items: list[Weights]) -> int | None:
    known = [item.sign_flips for item in items if item.sign_flips is not None]
    return sum(known) if known else None


def _largest(items: list[Weights]) -> Weights | None:
    if not items or any(item.max_abs is None for item in items):
        return None
    return max(items, key=lambda item: item.max_abs or 0.0)
