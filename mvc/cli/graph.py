"""The lines beside `log --graph`.

Every lane waits for a commit. A commit takes the leftmost lane that waits for it, and the others
that do join it first. Its first parent goes on in that lane, further parents open lanes to the
right of it. Lanes that wait for one commit join at once. Commits must come after all their
children, and are easiest to read one line of history after another.

The parents of a merge of a whole fleet get no lanes, which would be wider than any terminal: the
first one goes on, and the others come as lines of their own.

Lane `n` is drawn in column `2n`; a lane that moves by one goes through the column between.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

from mvc.base.ids import ObjectId

Parents = tuple[ObjectId, ...]
CROWD = 8
"""Parents of a merge above which only the first gets a lane."""


class Graph:
    """Draws one commit after another; `near` has other parents for some, of those to be drawn."""

    def __init__(self, near: Mapping[ObjectId, Parents] | None = None) -> None:
        self._lanes: list[ObjectId] = []
        self._near = near or {}

    def draw(self, item: ObjectId, parents: Parents, text: list[str]) -> list[str]:
        """Return the lines of a commit with its text beside them."""
        parents = self._near.get(item, parents)
        if len(parents) > CROWD:
            note = f"({len(parents) - 1} more parents: lines of their own, below)"
            text, parents = [text[0], note, *text[1:]], parents[:1]
        before = self._join(item)
        if item not in self._lanes:
            self._lanes.append(item)
        at = self._lanes.index(item)
        first = " ".join("*" if lane == at else "|" for lane in range(len(self._lanes)))
        after = self._follow(at, parents)
        rest = " ".join("|" * len(self._lanes))
        beside = [first, *after]
        beside += [rest] * (len(text) - len(beside))
        width = max(map(len, beside[: len(text)]), default=0)
        lines = zip_longest(beside, text)
        return before + [
            (row or "") if words is None else f"{row or '':{width}} {words}".rstrip()
            for row, words in lines
        ]

    def _join(self, item: ObjectId) -> list[str]:
        """Bring all lanes that wait for a commit into the leftmost of them."""
        rows = []
        while self._lanes.count(item) > 1:
            goal = self._lanes.index(item)
            lane = len(self._lanes) - 1 - self._lanes[::-1].index(item)
            for column in range(lane, goal, -1):
                row = {2 * other: "|" for other in range(lane)}
                row[2 * column - 1] = "/"
                for other in range(lane + 1, len(self._lanes)):
                    if column == lane:
                        row[2 * other - 1] = "/"
                    else:
                        row[2 * other - 2] = "|"
                rows.append(_line(row))
            del self._lanes[lane]
        return rows

    def _follow(self, at: int, parents: Parents) -> list[str]:
        """Let the lanes wait for the parents of the commit in lane `at`."""
        if not parents:
            row = {2 * lane: "|" for lane in range(at)}
            row |= {2 * lane - 1: "/" for lane in range(at + 1, len(self._lanes))}
            del self._lanes[at]
            return [_line(row)] if at < len(self._lanes) else []
        self._lanes[at] = parents[0]
        rows = []
        for parent in reversed(parents[1:]):
            row = {2 * lane: "|" for lane in range(at + 1)}
            row |= {2 * lane + 1: "\\" for lane in range(at, len(self._lanes))}
            self._lanes.insert(at + 1, parent)
            rows.append(_line(row))
        for parent in parents:
            rows += self._join(parent)
        return rows


def _line(row: dict[int, str]) -> str:
    return "".join(row.get(column, " ") for column in range(max(row, default=-1) + 1))
