"""Chunks of one place of a model over all versions: what came from what.

Filled by whoever can read versions (`mvc.repo.lineages`), used to plan what is coded against what.
"""

from __future__ import annotations

from typing import NamedTuple

from mvc.base.dtypes import Family
from mvc.base.ids import ObjectId


class Kind(NamedTuple):
    """What the words of a chunk are, as `mvc.store.chunks.Words` takes it."""

    family: Family
    dtype: str = ""
    columns: int = 0
    stride: int = 0


class Member(NamedTuple):
    """A chunk, the number of the member it came from (-1: none), what it is and where it starts."""

    id: ObjectId
    parent: int
    kind: Kind
    start: int


class Lineages:
    """All chunks that versions reach through tensors and files, the oldest first."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.numbers: dict[ObjectId, int] = {}
        self._above: list[int] = []
        self._kinds: dict[Kind, Kind] = {}

    def add(self, chunk: ObjectId, before: ObjectId | None, kind: Kind, start: int) -> None:
        """Note that a chunk came from another, unless it is known already."""
        if chunk in self.numbers:
            return
        parent = -1 if before is None else self.numbers.get(before, -1)
        self.numbers[chunk] = number = len(self.members)
        kind = self._kinds.setdefault(kind, kind)
        self.members.append(Member(chunk, parent, kind, start))
        self._above.append(number)
        if parent >= 0:
            self.join(number, parent)

    def join(self, one: int, two: int) -> None:
        """Put two members with all their relatives into one group."""
        first, second = sorted((self._top(one), self._top(two)))
        self._above[second] = first

    def adopt(self, one: int, two: int) -> None:
        """Put a member whose origin is not known behind the one that its record stands on."""
        self.join(one, two)
        if self.members[one].parent < 0 and two < one:
            self.members[one] = self.members[one]._replace(parent=two)

    def groups(self) -> list[list[int]]:
        """Return the numbers of related members, each group and the members in it oldest first."""
        found: dict[int, list[int]] = {}
        for number in range(len(self.members)):
            found.setdefault(self._top(number), []).append(number)
        return list(found.values())

    def _top(self, number: int) -> int:
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number
