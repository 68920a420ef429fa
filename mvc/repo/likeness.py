"""What files and tensors were probably called elsewhere, from names, sizes and order alone.

Every answer is a guess: whoever uses it has to look whether it pays.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

PREFIXES = 3
"""Pieces of a name that may be new or gone in front: `model.`, `bert.`, `module.model.`."""
WINDOW = 4
"""Files looked at to each side of a path's place among those that share something with it."""

_DIGITS = re.compile(r"([0-9]+)")
_SHARD = re.compile(r"[-_.][0-9]{2,6}-of-[0-9]{2,6}(?=\.|\Z)", re.ASCII)
_Natural = list[str | int]


def counterparts(new: Mapping[str, int], old: Mapping[str, int]) -> dict[str, str]:
    """Guess what the tensors of `new` that `old` does not know by name are called there.

    Both map names to sizes in bytes. A name that differs in front alone decides; else, among
    tensors of one size, their order by the numbers in the names, where there are as many on either
    side. Takes time in proportion to the names.
    """
    strangers = {name: size for name, size in new.items() if name not in old}
    free = {name: size for name, size in old.items() if name not in new}
    found = _by_ending(strangers, free)
    for keyed in (_size, _size_and_numbers):
        taken = set(found.values())
        found |= _in_order(
            keyed,
            ((name, size) for name, size in strangers.items() if name not in found),
            ((name, size) for name, size in free.items() if name not in taken),
        )
    return found


def natural(text: str) -> _Natural:
    """Return a key that sorts `layer.9` before `layer.10`."""
    return [int(part) if number % 2 else part for number, part in enumerate(_DIGITS.split(text))]


def model_of(path: str) -> str:
    """Return the path of the model that a file is, or is a shard of."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + _SHARD.sub("", name)


class Neighbours:
    """Paths of one version, found by what they share with another path."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._sharing: dict[object, list[tuple[_Natural, str]]] = defaultdict(list)

    def add(self, path: str, size: int) -> None:
        """Add a path, or change its size."""
        item = (natural(path), path)
        before = self._sizes.get(path)
        for key in _traits(path, size):
            if before is None or (key == size and before != size):
                insort(self._sharing[key], item)
        self._sizes[path] = size

    def near(self, path: str, size: int) -> list[str]:
        """Return the paths most like this one, the likest first, without itself."""
        place = (natural(path), path)
        ranks: dict[str, int] = {}
        distances: dict[str, tuple[int, bool]] = {}
        for key, weight in _traits(path, size).items():
            sharing = self._sharing.get(key, [])
            at = bisect_left(sharing, place)
            for number in range(max(0, at - WINDOW), min(len(sharing), at + WINDOW + 1)):
                other = sharing[number][1]
                ranks[other] = ranks.get(other, 0) + weight
                distance = (at - number, False) if number < at else (number - at + 1, True)
                distances[other] = min(distances.get(other, distance), distance)
        for other in ranks:
            if 0.95 * size < self._sizes[other] < 1.05 * size:
                ranks[other] += 2
        ranks.pop(path, None)
        return sorted(ranks, key=lambda other: (-ranks[other], distances[other]))

    def shards(self, path: str) -> list[str]:
        """Return the paths of the files that make up one model with this one, itself included."""
        ending = path.rpartition(".")[2]
        together = self._sharing.get(("model", _stem(model_of(path))), [])
        return [other for _, other in together if other.rpartition(".")[2] == ending] or [path]


def _by_ending(strangers: Mapping[str, int], free: Mapping[str, int]) -> dict[str, str]:
    """Match names that end alike: with equal sizes, or where only one name ends so."""
    exact: dict[tuple[str, int], str | None] = {}
    alone: dict[str, str | None] = {}
    for name, size in free.items():
        for tail in _tails(name):
            exact[tail, size] = None if (tail, size) in exact else name
            alone[tail] = None if tail in alone else name
    found: dict[str, str] = {}
    for name, size in strangers.items():
        for tail in _tails(name):
            match = exact.get((tail, size)) or alone.get(tail)
            if match is not None:
                found[name] = match
                break
    return found


def _tails(name: str) -> Iterator[str]:
    pieces = name.replace("/", ".").removesuffix(":0").split(".")
    for cut in range(min(PREFIXES + 1, len(pieces))):
        yield ".".join(pieces[cut:])


def _size_and_numbers(name: str, size: int) -> object:
    return size, _numbers(name)


def _size(name: str, size: int) -> object:
    del name
    return size


def _in_order(
    keyed: Callable[[str, int], object],
    strangers: Iterable[tuple[str, int]],
    free: Iterable[tuple[str, int]],
) -> dict[str, str]:
    """Match the names of each group in order where it is as large on both sides."""
    groups: dict[object, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, names in enumerate((strangers, free)):
        for name, size in names:
            groups[keyed(name, size)][side].append(name)
    found: dict[str, str] = {}
    for new, old in groups.values():
        if len(new) == len(old):
            found.update(zip(sorted(new, key=_order), sorted(old, key=_order), strict=True))
    return found


def _order(name: str) -> tuple[tuple[int, ...], _Natural]:
    return _numbers(name), natural(name)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, _DIGITS.findall(name)))


def _traits(path: str, size: int) -> dict[object, int]:
    """Return what a path has in common with its relatives, and how much that says."""
    folder, _, name = path.rpartition("/")
    ending = name.rpartition(".")[2]
    return {
        ("model", _stem(model_of(path))): 8,
        ("name", name): 4,
        ("letters", folder, _DIGITS.sub("", name)): 2,
        size: 1,
        ("folder", folder): 1,
        ("ending", ending): 1,
    }


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)
