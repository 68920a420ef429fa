"""How far the weights of two tensors are apart, part by part.

Bits decide what changed: -0.0 is not 0.0, and two NaNs with other payloads differ. Numbers are
sums in float64 over the elements that are finite on both sides, added in a fixed order, so every
machine gets the same. Memory is bounded by the size of a chunk and the number of processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base import dtypes
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import UNITS
from mvc.diff.structure import Pair

BLOCK_WORDS = 1 << 14
"""Words compared at a time: the float64 arrays of one block stay in the processor's cache."""

Unit = Literal["element", "word"]
_Uints: TypeAlias = NDArray[np.unsignedinteger]
_Floats: TypeAlias = NDArray[np.float64]


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


@dataclass(slots=True)
class _Sums:
    """What can be added up over the parts of a tensor."""

    elements: int = 0
    changed: int = 0
    finite: int = 0
    grown: int = 0
    shrunk: int = 0
    old_nonfinite: int = 0
    new_nonfinite: int = 0
    old_squares: float = 0.0
    new_squares: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    greatest: float = 0.0

    def add(self, other: _Sums) -> None:
        self.elements += other.elements
        self.changed += other.changed
        self.finite += other.finite
        self.grown += other.grown
        self.shrunk += other.shrunk
        self.old_nonfinite += other.old_nonfinite
        self.new_nonfinite += other.new_nonfinite
        self.old_squares += other.old_squares
        self.new_squares += other.new_squares
        self.squares += other.squares
        self.products += other.products
        self.greatest = max(self.greatest, other.greatest)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How words of a dtype are read: `lanes` words an element, and their values, if any."""

    word: np.dtype[np.unsignedinteger]
    lanes: int
    values: Callable[[_Uints], _Floats] | None
    wide: bool = False


def measure(pairs: Iterable[Pair], progress: Progress = SILENT) -> Iterator[Weights]:
    """Yield the weights of each pair in order, computing on all processors."""
    listed = list(pairs)
    progress.start("comparing", sum(pair.new.tensor.content.size for pair in listed))
    results = ordered_map(lambda job: job(), _jobs(listed))
    for pair in listed:
        sums = _Sums()
        if _comparable(pair):
            for number in range(pair.new.parts):
                sums.add(next(results))
                progress.advance(pair.new.part_bytes(number))
        else:
            word = pair.new.tensor.content.word
            sums.elements = sums.changed = pair.new.tensor.content.size // word
        yield _weights(_kind(pair.new.tensor.dtype, pair.new.tensor.content.word), sums)
    progress.finish()


def _comparable(pair: Pair) -> bool:
    """Tell whether words lie opposite each other: types mvc does not know may have other sizes."""
    old, new = pair.old.tensor.content, pair.new.tensor.content
    return (old.size, old.word) == (new.size, new.word)


def _jobs(pairs: list[Pair]) -> Iterator[Callable[[], _Sums]]:
    for pair in pairs:
        if _comparable(pair):
            for number in range(pair.new.parts):
                yield partial(_compare_part, pair, number)


def _compare_part(pair: Pair, number: int) -> _Sums:
    """Compare one part; of an equal one only the norm is needed, so it is read once or not."""
    kind = _kind(pair.new.tensor.dtype, pair.new.tensor.content.word)
    name = pair.new.part_id(number)
    if name is None or name != pair.old.part_id(number):
        old = np.frombuffer(pair.old.load(number), kind.word)
        return _compare(kind, old, np.frombuffer(pair.new.load(number), kind.word))
    if kind.values is None:
        return _Sums(elements=pair.new.part_bytes(number) // kind.word.itemsize)
    same = np.frombuffer(pair.new.load(number), kind.word)
    return _compare(kind, same, same)


def _compare(kind: _Kind, old: _Uints, new: _Uints) -> _Sums:
    total = _Sums()
    with np.errstate(all="ignore"):
        for at in range(0, len(old), BLOCK_WORDS):
            total.add(_block(kind, old[at : at + BLOCK_WORDS], new[at : at + BLOCK_WORDS]))
    return total


def _block(kind: _Kind, old: _Uints, new: _Uints) -> _Sums:
    sums = _Sums(elements=len(old) // kind.lanes)
    if old is not new:
        differs = old != new
        if kind.lanes > 1:
            differs = differs.reshape(-1, kind.lanes).any(axis=1)
        sums.changed = int(np.count_nonzero(differs))
    if kind.values is None:
        return sums
    before = kind.values(old)
    sums.old_squares = _dot(before, before)
    if not sums.changed:
        sums.new_squares = sums.products = sums.old_squares
        sums.finite = sums.elements
        if math.isfinite(sums.old_squares):
            return sums
    after = kind.values(new)
    sums.new_squares = _dot(after, after)
    change = _wide_change(kind, old, new) if kind.wide else after - before
    if math.isfinite(sums.old_squares) and math.isfinite(sums.new_squares):
        sums.finite = sums.elements
    else:
        before, after, change = _only_finite(kind, sums, before, after, change)
    _add_change(kind, sums, before, after, change)
    return sums


def _only_finite(
    kind: _Kind, sums: _Sums, before: _Floats, after: _Floats, change: _Floats
) -> tuple[_Floats, _Floats, _Floats]:
    """Count the elements that are not finite and drop those pairs."""
    fine = [np.isfinite(values).reshape(-1, kind.lanes).all(axis=1) for values in (before, after)]
    sums.old_nonfinite, sums.new_nonfinite = (int(np.count_nonzero(~one)) for one in fine)
    both = fine[0] & fine[1]
    sums.finite = int(np.count_nonzero(both))
    chosen = np.repeat(both, kind.lanes)
    before, after, change = before[chosen], after[chosen], change[chosen]
    sums.old_squares, sums.new_squares = _dot(before, before), _dot(after, after)
    return before, after, change


def _add_change(kind: _Kind, sums: _Sums, before: _Floats, after: _Floats, change: _Floats) -> None:
    if not len(change):
        return
    sums.products = _dot(before, after)
    sums.squares = _dot(change, change)
    if kind.lanes > 1:
        sums.greatest = float(_moduli(change).max())
        change = _moduli(after) - _moduli(before)
    else:
        sums.greatest = float(max(change.max(), -change.min()))
    sums.grown = int(np.count_nonzero(change > 0))
    sums.shrunk = int(np.count_nonzero(change < 0))


def _dot(one: _Floats, two: _Floats) -> float:
    # einsum and not dot: BLAS splits sums by its own threads, and so gives other last bits on
    # other machines while it competes with our pool.
    return float(np.einsum("i,i->", one, two))


def _moduli(values: _Floats) -> _Floats:
    return np.hypot(values[0::2], values[1::2])


def _wide_change(kind: _Kind, old: _Uints, new: _Uints) -> _Floats:
    """Subtract 64-bit integers before rounding, so that neighbours stay apart."""
    signed = kind.values is _signed64
    up = new.view(np.int64) > old.view(np.int64) if signed else new > old
    size = np.where(up, new - old, old - new).astype(np.float64)
    return np.where(up, size, -size)


def _weights(kind: _Kind, sums: _Sums) -> Weights:
    unit: Unit = "word" if kind.values is None else "element"
    norm = l2 = relative = cosine = greatest = None
    if kind.values is not None and (sums.finite or not sums.elements):
        norm, other = _root(sums.old_squares), _root(sums.new_squares)
        l2, greatest = _root(sums.squares), _finite(sums.greatest)
        if norm is not None and l2 is not None and (norm or not l2):
            relative = l2 / norm if norm else 0.0
        if norm and other:
            cosine = _finite(sums.products / norm / other)
            cosine = None if cosine is None else max(-1.0, min(1.0, cosine))
    return Weights(
        unit,
        sums.elements,
        sums.changed,
        None if kind.values is None else sums.grown,
        None if kind.values is None else sums.shrunk,
        sums.old_nonfinite,
        sums.new_nonfinite,
        norm,
        l2,
        relative,
        cosine,
        greatest,
    )


def _root(squares: float) -> float | None:
    return _finite(math.sqrt(squares)) if squares >= 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _signed64(words: _Uints) -> _Floats:
    return words.view(np.int64).astype(np.float64)


def _cast(words: _Uints, dtype: np.dtype[np.generic]) -> _Floats:
    return words.view(dtype).astype(np.float64)


def _bfloat16(words: _Uints) -> _Floats:
    return (words.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def _looked_up(words: _Uints, table: _Floats) -> _Floats:
    return table[words]


@cache
def _kind(label: str, word: int) -> _Kind:
    """Return how to read words of `word` bytes of the dtype called `label`."""
    if label == "complex32":
        return _Kind(UNITS[2], 2, partial(_cast, dtype=np.dtype("<f2")))
    scalar = dtypes.numpy_dtype(label)
    if scalar is None:
        return _Kind(UNITS[word], 1, None)
    if label == "bool":
        return _Kind(UNITS[1], 1, partial(_looked_up, table=(np.arange(256) != 0).astype("f8")))
    if scalar.kind == "c":
        part = np.dtype(f"<f{scalar.itemsize // 2}")
        return _Kind(UNITS[part.itemsize], 2, partial(_cast, dtype=part))
    if scalar.itemsize == 1:
        with np.errstate(all="ignore"):
            table = np.arange(256, dtype=np.uint8).view(scalar).astype(np.float64)
        return _Kind(UNITS[1], 1, partial(_looked_up, table=table))
    if label == "bfloat16":
        return _Kind(UNITS[2], 1, _bfloat16)
    if label == "int64":
        return _Kind(UNITS[8], 1, _signed64, wide=True)
    return _Kind(
        UNITS[scalar.itemsize],
        1,
        partial(_cast, dtype=scalar.newbyteorder("<")),
        wide=label == "uint64",
    )
