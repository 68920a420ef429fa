"""The first bad version, by halving, against the definition; on random histories."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.ops.bisect import Step, evaluated
from mvc.repo.bisecting import Bisecting, Mark, Verdict
from mvc.repo.halving import Suspects, choose


@dataclass
class Graph:
    """Versions by number, each with older ones as parents; stands for a repository."""

    edges: list[list[int]]

    def commit(self, wanted: ObjectId) -> Commit:
        number = int.from_bytes(wanted)
        parents = tuple(name(parent) for parent in self.edges[number])
        return Commit(name(0), parents, "Ada", number, str(number))

    def parents(self, wanted: ObjectId, commit: Commit) -> tuple[ObjectId, ...]:
        del wanted
        return commit.parents

    def above(self, number: int) -> set[int]:
        found, pending = {number}, [number]
        while pending:
            for parent in self.edges[pending.pop()]:
                if parent not in found:
                    found.add(parent)
                    pending.append(parent)
        return found


def name(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(32))


@dataclass
class Case:
    graph: Graph
    bad: int
    good: list[int]
    culprits: set[int]
    untestable: set[int]

    def is_bad(self, number: int) -> bool:
        return bool(self.graph.above(number) & self.culprits)

    def verdict(self, number: int) -> Verdict:
        if number in self.untestable:
            return "skip"
        return "bad" if self.is_bad(number) else "good"

    def is_first(self, number: int) -> bool:
        parents = self.graph.edges[number]
        return self.is_bad(number) and not any(self.is_bad(parent) for parent in parents)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    count = draw(st.integers(2, 25))
    edges: list[list[int]] = [[]]
    for number in range(1, count):
        near = st.integers(max(0, number - 4), number - 1)
        edges.append(draw(st.lists(near, min_size=1, max_size=3, unique=True)))
    graph = Graph(edges)
    bad = draw(st.integers(1, count - 1))
    within = sorted(graph.above(bad) - {0})
    culprits = set(draw(st.lists(st.sampled_from(within), min_size=1, max_size=2)))
    case = Case(graph, bad, [], culprits, set())
    fine = [number for number in range(count) if not case.is_bad(number)]
    case.good = draw(st.lists(st.sampled_from(fine), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        case.untestable = set(draw(st.lists(st.integers(0, count - 1), max_size=6)))
    return case


def search(case: Case) -> tuple[Step, int]:
    known = Bisecting(None, checkout=False)
    known = known.marked(Mark(name(case.bad), "bad", 0))
    for number in case.good:
        known = known.marked(Mark(name(number), "good", 0))
    tests = 0
    while (step := evaluated(case.graph, known)).state == "testing":  # type: ignore[arg-type]
        assert step.version is not None
        assert not any(mark.commit == step.version.id for mark in known.marks)
        number = int.from_bytes(step.version.id)
        known = known.marked(Mark(step.version.id, case.verdict(number), 0))
        tests += 1
        assert tests <= len(case.graph.edges)
    return step, tests


@given(cases())
def test_the_answer_is_bad_and_its_parents_are_good(case: Case) -> None:
    step, _ = search(case)
    left = [int.from_bytes(item) for item in step.left]
    if step.state == "found":
        assert step.version is not None
        (answer,) = left
        assert step.version.id == name(answer)
        assert case.is_first(answer)
    else:
        assert step.state == "several"
        assert case.untestable
        assert any(case.is_first(number) for number in left)
        assert step.known.bad is not None
        assert {name(number) for number in left} <= {step.known.bad, *step.known.skipped}


@given(st.integers(2, 300), st.data())
def test_a_line_of_versions_takes_as_many_tests_as_halving_does(
    count: int, data: st.DataObject
) -> None:
    graph = Graph([[number - 1] if number else [] for number in range(count)])
    culprit = data.draw(st.integers(1, count - 1))
    step, tests = search(Case(graph, count - 1, [0], {culprit}, set()))
    assert step.left == (name(culprit),)
    assert tests <= (count - 2).bit_length()


@given(cases())
def test_what_is_chosen_splits_best_what_is_left(case: Case) -> None:
    order = sorted(case.graph.above(case.bad))
    names = [name(number) for number in order]
    parents = {name(n): [name(p) for p in case.graph.edges[n]] for n in order}
    counted = {name(number) for number in order if number % 2 or number == case.bad}
    found = choose(Suspects(names, parents, counted), name(case.bad), set())

    def split(number: int) -> int:
        size = len({name(item) for item in case.graph.above(number)} & counted)
        return min(size, len(counted) - size)

    testable = [n for n in order if name(n) in counted and n != case.bad]
    if not testable:
        assert found.candidate is None
        return
    assert found.candidate is not None
    assert split(int.from_bytes(found.candidate)) == max(map(split, testable))


def test_where_neighbours_cannot_be_tested_either_the_search_looks_further_away() -> None:
    count = 400
    graph = Graph([[number - 1] if number else [] for number in range(count)])
    case = Case(graph, count - 1, [0], {350}, set(range(100, 300)))
    step, tests = search(case)
    assert step.left == (name(350),)
    assert tests < 30


def test_ten_thousand_versions_are_weighed_at_once() -> None:
    count = 10_000
    parents = {
        name(n): [name(p) for p in ({n - 1, n - 7} if n % 5 else {n - 1}) if p >= 0]
        for n in range(count)
    }
    order = [name(number) for number in range(count)]
    found = choose(Suspects(order, parents, frozenset(order)), order[-1], set())
    assert found.candidate == name(count // 2 - 1)
    assert found.steps == 14
