"""Which tensors of two files belong together, and what their values became.

By name first; then under other names (`renames`); then floats and the integers that stand for
them (`quantised`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mvc.diff import casts, quantised, renames
from mvc.diff.findings import Cast
from mvc.diff.naming import alike
from mvc.diff.quantised import Scalings, Tell, nothing
from mvc.diff.transposed import is_transposed
from mvc.repo.tensors import Held, TensorSource


@dataclass(frozen=True, slots=True)
class Common:
    """A tensor of both sides; `turned` if it is a matrix whose axes were swapped."""

    name: str
    old_name: str
    old: Held
    new: Held
    cast: Cast | None = None
    turned: bool = False

    @property
    def same(self) -> bool:
        """Tell whether nothing differs but perhaps the name."""
        return self.old.tensor == self.new.tensor


@dataclass(frozen=True, slots=True)
class Paired:
    """What both sides have, and what only one of them has."""

    common: tuple[Common, ...]
    added: dict[str, Held]
    removed: dict[str, Held]


def pair(
    sides: Iterable[tuple[str, Held | None, Held | None]],
    old: TensorSource,
    new: TensorSource,
    *,
    words: bool = True,
    stated: tuple[Tell, Tell] = (nothing, nothing),
) -> Paired:
    """Bring together the tensors that differ, given by name; with `words`, samples are read.

    `stated` gives what each file says of its integers beside its tensors.
    """
    common: list[Common] = []
    added: dict[str, Held] = {}
    removed: dict[str, Held] = {}
    for name, one, two in sides:
        if one and two:
            common.append(Common(name, name, one, two))
        elif one:
            removed[name] = one
        elif two:
            added[name] = two
    for found in renames.match(removed, added, words=words):
        one, two = removed.pop(found.old), added.pop(found.new)
        common.append(Common(found.new, found.old, one, two, turned=found.turned))
    if words:
        scalings = Scalings(old, stated[0]), Scalings(new, stated[1])
        common = [_with_cast(item, *scalings) for item in common]
        common += _quantised(removed, added, scalings[1])
        common += [_reversed(item) for item in _quantised(added, removed, scalings[0])]
    for item in common:
        removed.pop(item.old_name, None)
        added.pop(item.name, None)
    return Paired(tuple(common), added, removed)


def _with_cast(item: Common, old: Scalings, new: Scalings) -> Common:
    before, after = item.old.tensor, item.new.tensor
    if before.dtype == after.dtype:
        # Of a square one, the weights tell first whether it is worth the time.
        turned = before.shape != after.shape and is_transposed(item.old, item.new)
        return replace(item, cast=None, turned=turned)
    turned = before.shape != after.shape
    if turned and (len(before.shape) != 2 or before.shape != after.shape[::-1]):
        return item
    square = len(before.shape) == 2 and before.shape == before.shape[::-1]
    for swapped in (False, True) if square else (turned,):
        cast = _quantising(item, old, new, turned=swapped)
        if cast is not None:
            return replace(item, cast=cast, turned=swapped)
    cast = None if turned else casts.measure(item.old, item.new)
    return replace(item, cast=cast, turned=False)


def _quantising(item: Common, old: Scalings, new: Scalings, *, turned: bool) -> Cast | None:
    """Measure a tensor that has integers on one side as what these stand for."""
    if quantised.is_float(item.old) and quantised.is_integer(item.new):
        scaling = new.of(item.name)
        return quantised.measure(item.old, item.new, scaling, turned=turned) if scaling else None
    if quantised.is_integer(item.old) and quantised.is_float(item.new):
        scaling = old.of(item.old_name)
        found = quantised.measure(item.new, item.old, scaling, turned=turned) if scaling else None
        return quantised.reverse(found)
    return None


def _quantised(
    floats: dict[str, Held], integers: dict[str, Held], scalings: Scalings
) -> list[Common]:
    """Find what integers with a scale stand for: by its name, else by likeness of values."""
    found: list[Common] = []
    free = {name: held for name, held in floats.items() if quantised.is_float(held)}
    sampler = renames.Sampler()
    for name, held in integers.items():
        scaling = scalings.of(name) if quantised.is_integer(held) else None
        if scaling is None or not held.tensor.shape:
            continue
        likely = quantised.stem(name)
        order = sorted(free, key=lambda other: (other != likely, -alike(other, likely), other))
        for other in order:
            turned = _stands_for(free[other], held, scaling, sampler)
            if turned is None:
                continue
            cast = quantised.measure(free[other], held, scaling, turned=turned)
            if cast is not None:
                found.append(Common(name, other, free.pop(other), held, cast, turned))
                break
    return found


def _stands_for(
    floats: Held, integers: Held, scaling: quantised.Scaling, sampler: renames.Sampler
) -> bool | None:
    """Tell whether a sample says that integers stand for floats, True if with axes swapped."""
    shape, other = floats.tensor.shape, integers.tensor.shape
    if shape != other and (len(shape) != 2 or shape != other[::-1]):
        return None
    sample = quantised.corner(integers, scaling, renames.CORNER)
    one = sampler.corner(floats)
    if one is None or sample is None:
        return None
    for turned in (False, True):
        if (shape[::-1] if turned else shape) != other or (turned and len(shape) != 2):
            continue
        alike_by = renames.correlation(one.T if turned else one, sample)
        if alike_by is not None and alike_by >= renames.LIKE:
            return turned
    return None


def _reversed(item: Common) -> Common:
    """Exchange the sides of a finding that was made from new to old."""
    cast = quantised.reverse(item.cast)
    return Common(item.old_name, item.name, item.new, item.old, cast, item.turned)
