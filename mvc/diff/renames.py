"""Which tensors that seem removed and added are one tensor under two names.

Equal words decide first. Where words changed too, the names say which to try (one place of many
names was rewritten) and a sample of the values confirms it. What cannot be confirmed is left as
it is: a tensor removed and another one added.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np

from mvc.base.dtypes import numpy_dtype
from mvc.base.ids import digest
from mvc.codec.segments import UNITS, split
from mvc.diff.naming import Rule, alike, rule
from mvc.diff.values import Floats, Run, as_floats, count, scalar
from mvc.objects.model import Tensor, chunk_id
from mvc.repo.tensors import Held

MAX_PAIRS = 1 << 16
"""Pairs of one shape that are looked at; a network has a few hundred equal layers at most."""

MAX_SAMPLED = 512
CORNER = 32
FEWEST = 8
"""Values below which a sample proves nothing."""

LIKE, UNLIKE = 0.9, 0.5
"""Correlation of samples above which two tensors are one, and below which they are not."""

Group = tuple[str, Held]


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor under its old and its new name; `turned` if it is a matrix with axes swapped."""

    old: str
    new: str
    turned: bool = False


class Sampler:
    """Takes a sample of the values of tensors, each once, and of so many tensors only."""

    def __init__(self, limit: int = MAX_SAMPLED) -> None:
        self._room = limit
        self._taken: dict[int, Floats | None] = {}
        self._kept: list[Held] = []

    def corner(self, held: Held) -> Floats | None:
        """Return the first rows and columns of a matrix, else the first elements."""
        if id(held) not in self._taken:
            self._kept.append(held)
            self._taken[id(held)] = self._sample(held)
        return self._taken[id(held)]

    def _sample(self, held: Held) -> Floats | None:
        if self._room <= 0 or scalar(held.tensor.dtype) is None:
            return None
        self._room -= 1
        run, shape = Run(held), held.tensor.shape
        if len(shape) != 2 or shape[1] < 1:
            return as_floats(run.between(0, min(run.length, CORNER * CORNER)))
        rows, columns = min(shape[0], CORNER), min(shape[1], CORNER)
        picked = [run.between(row * shape[1], row * shape[1] + columns) for row in range(rows)]
        return as_floats(np.array(picked)).reshape(rows, columns) if rows else None


def correlation(one: Floats | None, two: Floats | None) -> float | None:
    """Return the correlation of two samples, None where they are too short or do not vary."""
    if one is None or two is None or one.size != two.size:
        return None
    left, right = one.reshape(-1), two.reshape(-1)
    both = np.isfinite(left) & np.isfinite(right)
    left, right = left[both], right[both]
    if len(left) < FEWEST:
        return None
    with np.errstate(all="ignore"):
        left, right = left - left.mean(), right - right.mean()
        lengths = math.sqrt(float((left * left).sum()) * float((right * right).sum()))
        return float((left * right).sum()) / lengths if lengths > 0 else None


def match(
    removed: Mapping[str, Held], added: Mapping[str, Held], *, words: bool = True
) -> list[Match]:
    """Return the tensors that are on both sides under different names.

    Without `words` nothing is read: only equal words, and what stands between tensors that were
    renamed with equal words, count.
    """
    return _Matcher(removed, added, words=words).matches()


class _Matcher:
    def __init__(
        self, removed: Mapping[str, Held], added: Mapping[str, Held], *, words: bool
    ) -> None:
        self._old, self._new = dict(removed), dict(added)
        self._sampler = Sampler(MAX_SAMPLED if words else 0)
        self._found: list[Match] = []
        self._support: Counter[Rule] = Counter()

    def matches(self) -> list[Match]:
        if not self._old or not self._new:
            return []
        self._equal()
        self._changed()
        return self._found

    def _take(self, old: str, new: str, *, turned: bool = False) -> None:
        del self._old[old], self._new[new]
        self._support[rule(old, new)] += 1
        self._found.append(Match(old, new, turned))

    def _free(self, pair: tuple[str, str]) -> bool:
        return pair[0] in self._old and pair[1] in self._new

    def _equal(self) -> None:
        """Match equal words; words that say little, such as zeros, need a name that agrees."""
        plain: list[tuple[str, str]] = []
        ambiguous: list[tuple[str, str]] = []
        for pairs in _by_content(self._old, self._new):
            if not says_something(self._old[pairs[0][0]].tensor):
                plain.extend(pairs)
            elif len(pairs) == 1:
                self._take(*pairs[0])
            else:
                ambiguous.extend(pairs)
        for pair in self._by_support(ambiguous):
            if self._free(pair):
                self._take(*pair)
        for pair in self._by_support(plain):
            if self._free(pair) and self._support[rule(*pair)]:
                self._take(*pair)

    def _changed(self) -> None:
        """Match what has other words, too: those that a sample confirms, then their neighbours."""
        unsure = []
        for old, new in self._by_support(_by_shape(self._old, self._new)):
            if not self._free((old, new)):
                continue
            found = self._likeness(old, new)
            if found is not None and found >= LIKE:
                self._take(old, new)
            elif found is None or found >= UNLIKE:
                unsure.append((old, new))
        for pair in unsure:
            if self._free(pair) and self._support[rule(*pair)]:
                self._take(*pair)
        for old, new in self._by_support(_by_shape(self._old, self._new, turned=True)):
            if self._free((old, new)) and (self._likeness(old, new, turned=True) or 0) >= LIKE:
                self._take(old, new, turned=True)

    def _likeness(self, old: str, new: str, *, turned: bool = False) -> float | None:
        one, two = self._sampler.corner(self._old[old]), self._sampler.corner(self._new[new])
        return correlation(one.T if turned and one is not None else one, two)

    def _by_support(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Order pairs: those first whose names were rewritten as many others were."""
        listed = list(pairs)
        rules = {pair: rule(*pair) for pair in listed}
        votes = Counter(rules.values())
        return sorted(
            listed,
            key=lambda pair: (
                -self._support[rules[pair]],
                -votes[rules[pair]],
                -alike(*pair),
                pair,
            ),
        )


def _by_content(
    removed: Mapping[str, Held], added: Mapping[str, Held]
) -> Iterator[list[tuple[str, str]]]:
    """Yield, for all words that both have, which names they have."""
    olds: dict[Tensor, list[str]] = {}
    news: dict[Tensor, list[str]] = {}
    for names, side in ((olds, removed), (news, added)):
        for name, held in side.items():
            names.setdefault(held.tensor, []).append(name)
    for tensor, before in olds.items():
        after = news.get(tensor, ())
        if after and count(tensor.shape):
            yield list(islice(((one, two) for one in before for two in after), MAX_PAIRS))


def _by_shape(
    removed: Mapping[str, Held], added: Mapping[str, Held], *, turned: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield names of tensors that have one shape; if `turned`, of matrices with axes swapped."""
    news: dict[tuple[int, ...], list[str]] = {}
    for name, held in added.items():
        if scalar(held.tensor.dtype) is not None:
            news.setdefault(held.tensor.shape, []).append(name)
    room = dict.fromkeys(news, MAX_PAIRS)
    for name, held in removed.items():
        shape = held.tensor.shape
        if turned and (len(shape) != 2 or min(shape) < 2):
            continue
        shape = shape[::-1] if turned else shape
        for other in news.get(shape, ()):
            if room[shape] <= 0:
                break
            if _kin(held.tensor.dtype, added[other].tensor.dtype):
                room[shape] -= 1
                yield name, other


def _kin(one: str, two: str) -> bool:
    """Tell whether words of two types may be the same values: a cast keeps floats floats."""
    floats = [label.startswith(("float", "bfloat")) for label in (one, two)]
    return one == two or all(floats)


def says_something(tensor: Tensor) -> bool:
    """Tell whether words are unlikely to be equal by chance: not few, all zero, or all one."""
    content = tensor.content
    if not content.chunks:
        words = np.frombuffer(content.inline, UNITS[content.word])
        return len(words) >= FEWEST and len(set(words[:CORNER].tolist())) > 2
    first = content.chunk_bytes(0) // content.word
    return content.chunks[0] not in _constants(tensor.dtype, content.word, first)


@cache
def _constants(label: str, word: int, words: int) -> frozenset[bytes]:
    """Return the ids of chunks of zeros and of ones."""
    kinds = [np.zeros(words * word, np.uint8)]
    scalar_type = numpy_dtype(label)
    if scalar_type is not None:
        kinds.append(np.ones(words * word // scalar_type.itemsize, scalar_type).view(np.uint8))
    found = set()
    for values in kinds:
        parts = split(values.data, word)
        found.add(chunk_id(word, words, tuple(digest(part.data) for part in parts)))
    return frozenset(found)
