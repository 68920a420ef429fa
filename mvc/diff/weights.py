"""How far the weights of two tensors are apart, part by part.

Bits decide what changed: -0.0 is not 0.0, and two NaNs with other payloads differ. Numbers are
sums in float64 over the elements that are finite on both sides, added in a fixed order, so every
machine gets the same. Memory is bounded by the size of a chunk and the number of processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.diff.kinds import kind_of
from mvc.diff.rank import effective_rank
from mvc.diff.structure import Pair
from mvc.diff.sums import BIAS, EXPONENTS, Sums, compared
from mvc.repo.tensors import load_both

Unit = Literal["element", "word"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many elements changed by how much, in powers of two.

    `grown[k]` elements grew by at least 2**(first + k) and less than twice that; `shrunk[k]` became
    as much smaller. Both tuples have one length, and neither end is empty on both sides. `zero`
    elements kept their value. Only elements that are finite on both sides count. Histograms of
    the parts of a whole add up to its own.
    """

    zero: int
    first: int = 0
    grown: tuple[int, ...] = ()
    shrunk: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Weights:
    """How a tensor changed. Numbers are None where the type or the values allow none.

    `elements` and `changed` count words, not elements, where elements are packed below a byte or
    opaque (`unit`). `grown` and `shrunk` count finite elements that became greater and smaller;
    of complex ones the modulus. `norm` is the L2 norm of the old side, `new_norm` of the new one.
    `max_at` is the index of the largest change, the first of equals in C order; `mean_shift` the
    mean of new minus old (of complex numbers, of their moduli); `sign_flips` counts elements that
    were above zero and are below, or the reverse. `effective_rank` is there where it was asked for
    and the tensor is a matrix.
    """

    unit: Unit
    elements: int
    changed: int
    grown: int | None
    shrunk: int | None
    old_nonfinite: int
    new_nonfinite: int
    norm: float | None
    l2: float | None
    relative_l2: float | None
    cosine: float | None
    max_abs: float | None
    new_norm: float | None = None
    max_at: tuple[int, ...] | None = None
    mean_shift: float | None = None
    sign_flips: int | None = None
    histogram: Histogram | None = None
    effective_rank: float | None = None

    @property
    def changed_fraction(self) -> float:
        """The share of the elements whose bits differ."""
        return self.changed / self.elements if self.elements else 0.0


def measure(
    pairs: Iterable[Pair], progress: Progress = SILENT, *, rank: bool = False
) -> Iterator[Weights]:
    """Yield the weights of each pair in order, computing on all processors.

    The effective rank is computed only if `rank`: it costs more than all else.
    """
    listed = list(pairs)
    progress.start("comparing", sum(pair.new.tensor.content.size for pair in listed))
    results = ordered_map(lambda job: job(), _jobs(listed))
    ranks = ordered_map(effective_rank, filter(comparable, listed) if rank else ())
    for pair in listed:
        sums, found = Sums(), None
        if comparable(pair):
            for number in range(pair.new.parts):
                sums.add(next(results))
                progress.advance(pair.new.part_bytes(number))
            found = next(ranks, None)
        else:
            word = pair.new.tensor.content.word
            sums.elements = sums.changed = pair.new.tensor.content.size // word
        yield _weights(pair, sums, found)
    progress.finish()


def comparable(pair: Pair) -> bool:
    """Tell whether words lie opposite each other: types mvc does not know may have other sizes."""
    old, new = pair.old.tensor.content, pair.new.tensor.content
    return (old.size, old.word) == (new.size, new.word)


def _jobs(pairs: list[Pair]) -> Iterator[Callable[[], Sums]]:
    for pair in pairs:
        if comparable(pair):
            for number in range(pair.new.parts):
                yield partial(_compare_part, pair, number)


def _compare_part(pair: Pair, number: int) -> Sums:
    """Compare one part; of an equal one only the norm is needed, so it is read once or not."""
    kind = kind_of(pair.new.tensor.dtype, pair.new.tensor.content.word)
    name = pair.new.part_id(number)
    if name is None or name != pair.old.part_id(number):
        old, new = load_both(pair.old, pair.new, number)
        return compared(kind, np.frombuffer(old, kind.word), np.frombuffer(new, kind.word))
    if kind.values is None:
        return Sums(elements=pair.new.part_bytes(number) // kind.word.itemsize)
    same = np.frombuffer(pair.new.load(number), kind.word)
    return compared(kind, same, same)


def _weights(pair: Pair, sums: Sums, rank: float | None) -> Weights:
    kind = kind_of(pair.new.tensor.dtype, pair.new.tensor.content.word)
    if kind.values is None:
        return Weights("word", sums.elements, sums.changed, None, None, 0, 0, *[None] * 5)
    norm = other = l2 = relative = cosine = greatest = None
    if sums.finite or not sums.elements:
        norm, other = _root(sums.old_squares), _root(sums.new_squares)
        l2, greatest = _root(sums.squares), _finite(sums.greatest)
        if norm is not None and l2 is not None and (norm or not l2):
            relative = l2 / norm if norm else 0.0
        if norm and other:
            cosine = _finite(sums.products / norm / other)
            cosine = None if cosine is None else max(-1.0, min(1.0, cosine))
    return Weights(
        "element",
        sums.elements,
        sums.changed,
        sums.grown,
        sums.shrunk,
        sums.old_nonfinite,
        sums.new_nonfinite,
        norm,
        l2,
        relative,
        cosine,
        greatest,
        other,
        unravelled(sums.at, pair.new.tensor.shape),
        _finite(sums.shift / sums.finite) if sums.finite else None,
        sums.flips if kind.lanes == 1 else None,
        _histogram(sums),
        rank,
    )


def unravelled(at: int | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the index of an element by its place in C order, None where the shape has none."""
    if at is None or at >= math.prod(shape):
        return None
    place: list[int] = []
    for dim in reversed(shape):
        at, index = divmod(at, dim)
        place.insert(0, index)
    return tuple(place)


def _histogram(sums: Sums) -> Histogram:
    zero = sums.finite - sums.grown - sums.shrunk
    grown, shrunk = sums.counts[:EXPONENTS], sums.counts[EXPONENTS:]
    held = np.flatnonzero(grown + shrunk)
    if not len(held):
        return Histogram(zero)
    first, end = int(held[0]), int(held[-1]) + 1
    return Histogram(
        zero, first - BIAS, tuple(grown[first:end].tolist()), tuple(shrunk[first:end].tolist())
    )


def _root(squares: float) -> float | None:
    return _finite(math.sqrt(squares)) if squares >= 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
