"""The best common ancestors of several commits, against the definition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.repo.history import merge_bases


@dataclass
class Graph:
    """Commits by number, each with numbers of older ones as parents; stands for a repository."""

    edges: list[list[int]]
    times: list[int]

    def commit(self, wanted: ObjectId) -> Commit:
        number = int.from_bytes(wanted)
        parents = tuple(name(parent) for parent in self.edges[number])
        return Commit(name(0), parents, "Ada", self.times[number], str(number))

    def parents(self, wanted: ObjectId, commit: Commit) -> tuple[ObjectId, ...]:
        del wanted
        return commit.parents

    def above(self, number: int) -> set[int]:
        found = {number}
        for parent in self.edges[number]:
            found |= self.above(parent)
        return found

    def expected(self, starts: Iterable[int]) -> set[int]:
        common = set.intersection(*(self.above(start) for start in starts))
        hidden = {item for one in common for item in self.above(one) - {one}}
        return common - hidden


def name(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(32))


def bases(graph: Graph, *starts: int) -> list[int]:
    found = merge_bases(graph, [name(start) for start in starts])  # type: ignore[arg-type]
    return [int.from_bytes(item) for item in found]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, list[int]]:
    count = draw(st.integers(1, 14))
    edges: list[list[int]] = []
    for number in range(count):
        older = st.lists(st.integers(0, number - 1), max_size=3, unique=True)
        edges.append(draw(older) if number else [])
    times = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    starts = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=4))
    return Graph(edges, times), starts


@given(graphs())
def test_the_common_ancestors_that_lead_to_no_other_are_found_whatever_clocks_say(
    case: tuple[Graph, list[int]],
) -> None:
    graph, starts = case
    assert set(bases(graph, *starts)) == graph.expected(starts)


def test_lines_that_crossed_have_two_the_newest_first() -> None:
    graph = Graph([[], [0], [0], [1, 2], [2, 1]], [0, 1, 2, 3, 4])
    assert bases(graph, 3, 4) == [2, 1]


def test_a_fleet_is_compared_as_a_whole() -> None:
    graph = Graph([[], [0], *([1] for _ in range(500))], [0, 1, *range(2, 502)])
    assert bases(graph, *range(2, 502)) == [1]


def test_unrelated_histories_have_none() -> None:
    assert bases(Graph([[], []], [0, 0]), 0, 1) == []
