"""Elements of two tensors side by side: those that changed most, or the first that changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np

from mvc.base import dtypes
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.diff.kinds import Floats, Kind, Uints, kind_of
from mvc.diff.structure import Pair
from mvc.diff.sums import moduli, wide_change
from mvc.diff.weights import comparable, unravelled
from mvc.repo.tensors import load_both

Value: TypeAlias = bool | int | float | complex


@dataclass(frozen=True, slots=True, order=True)
class _Found:
    """An element of a part; `order` is its negative size, so that the greatest come first."""

    order: float
    place: int
    old: bytes = field(compare=False)
    new: bytes = field(compare=False)
    change: float | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class ElementChange:
    """One element that differs.

    Values are short ones that are read as the same value of the element's type; None for types
    without numbers, whose index counts words. `change` is new minus old as float64 (of complex
    numbers the modulus), None unless both are finite. `old_bits` and `new_bits` are hexadecimal.
    """

    index: tuple[int, ...]
    old: Value | None
    new: Value | None
    change: float | None
    old_bits: str
    new_bits: str


def elements(
    pairs: Iterable[Pair], count: int, *, first: bool = False, progress: Progress = SILENT
) -> Iterator[tuple[ElementChange, ...]]:
    """Yield up to `count` elements of each pair: those that changed most, or the `first` ones.

    A change to or from what is not finite is the greatest there is; of equal changes, and where
    there are no numbers, the first in C order count.
    """
    listed = list(pairs)
    progress.start("looking up", sum(pair.new.tensor.content.size for pair in listed))
    jobs = _jobs([pair for pair in listed if comparable(pair)], count, first=first)
    results = ordered_map(lambda job: job(), jobs)
    for pair in listed:
        found: list[_Found] = []
        for number in range(pair.new.parts if comparable(pair) else 0):
            found = sorted([*found, *next(results)])[:count]
            progress.advance(pair.new.part_bytes(number))
        yield tuple(_element(pair, item) for item in found)
    progress.finish()


def _jobs(pairs: list[Pair], count: int, *, first: bool) -> Iterator[Callable[[], list[_Found]]]:
    for pair in pairs:
        for number in range(pair.new.parts):
            yield partial(_part, pair, number, count, first=first)


def _part(pair: Pair, number: int, count: int, *, first: bool) -> list[_Found]:
    """Return the wanted elements of one part."""
    name = pair.new.part_id(number)
    if name is not None and name == pair.old.part_id(number):
        return []
    kind = kind_of(pair.new.tensor.dtype, pair.new.tensor.content.word)
    sides = [
        np.frombuffer(side, kind.word).reshape(-1, kind.lanes)
        for side in load_both(pair.old, pair.new, number)
    ]
    places = np.flatnonzero((sides[0] != sides[1]).any(axis=1))
    if first:
        places = places[:count]
    old, new = (side[places] for side in sides)
    changes = _changes(kind, old, new)
    sizes = np.zeros(len(places)) if first or changes is None else _sizes(changes)
    start = number * pair.new.part_bytes(0) // (kind.word.itemsize * kind.lanes)
    return [
        _Found(
            -float(sizes[at]),
            start + int(places[at]),
            old[at].tobytes(),
            new[at].tobytes(),
            None if changes is None else float(changes[at]),
        )
        for at in _greatest(sizes, count)
    ]


def _changes(kind: Kind, old: Uints, new: Uints) -> Floats | None:
    """Return new minus old of each row of words, not finite where one of them is not."""
    if kind.values is None:
        return None
    if kind.wide:
        return wide_change(kind, old.ravel(), new.ravel())
    before, after = np.empty(old.size), np.empty(new.size)
    with np.errstate(all="ignore"):
        kind.values(old.ravel(), before)
        kind.values(new.ravel(), after)
        change = np.subtract(after, before, out=after)
        return change if kind.lanes == 1 else moduli(change)


def _sizes(changes: Floats) -> Floats:
    sizes = np.abs(changes)
    sizes[np.isnan(sizes)] = np.inf
    return sizes


def _greatest(sizes: Floats, count: int) -> list[int]:
    """Return the places of the greatest, the first of equals."""
    if len(sizes) > count:
        least = np.partition(sizes, len(sizes) - count)[len(sizes) - count]
        above = np.flatnonzero(sizes > least)
        equal = np.flatnonzero(sizes == least)[: count - len(above)]
        chosen = np.concatenate([above, equal])
    else:
        chosen = np.arange(len(sizes))
    found: list[int] = chosen[np.lexsort((chosen, -sizes[chosen]))].tolist()
    return found


def _element(pair: Pair, found: _Found) -> ElementChange:
    label = pair.new.tensor.dtype
    change = found.change if found.change is not None and math.isfinite(found.change) else None
    return ElementChange(
        _index(pair, found.place),
        _value(label, found.old),
        _value(label, found.new),
        change,
        _bits(label, found.old),
        _bits(label, found.new),
    )


def _index(pair: Pair, place: int) -> tuple[int, ...]:
    tensor = pair.new.tensor
    found = None
    if kind_of(tensor.dtype, tensor.content.word).values is not None:
        found = unravelled(place, tensor.shape)
    return (place,) if found is None else found


def _value(label: str, data: bytes) -> Value | None:
    """Return the value of an element, None for types without numbers."""
    if label == "complex32":
        real, imaginary = (float(str(part)) for part in np.frombuffer(data, "<f2"))
        return complex(real, imaginary)
    scalar = dtypes.numpy_dtype(label)
    if scalar is None:
        return None
    if label == "bool":
        return data != b"\0"
    element = np.frombuffer(data, scalar.newbyteorder("<"))[0]
    if scalar.kind in "iu":
        return int(element)
    if scalar.kind == "c":
        return complex(float(str(element.real)), float(str(element.imag)))
    return float(str(element))


def _bits(label: str, data: bytes) -> str:
    """Return the words of an element in hexadecimal, each with its most significant byte first."""
    width = dtypes.dtype(label, len(data)).word
    words = (data[start : start + width] for start in range(0, len(data), width))
    return " ".join(word[::-1].hex() for word in words)
