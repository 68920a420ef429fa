from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.ids import ObjectId
from mvc.store.candidates import MAX_BASES, candidates
from mvc.store.census import Census, Pack, Record
from mvc.store.plan import Limits, Node, plan
from mvc.store.sweep import removable

FULL, WORK = 27.0, 1.6


def walk(one: int, two: int) -> float:
    """Return what a version takes against another if training is a random walk."""
    return 9 + 0.5 * math.log2(abs(one - two))


def chain(count: int) -> list[Node]:
    bases = candidates([number - 1 for number in range(count)])
    return [
        Node(FULL, WORK, tuple((base, walk(number, base)) for base in found))
        for number, found in enumerate(bases)
    ]


def costs(nodes: list[Node], bases: list[int | None]) -> list[tuple[float, float, int]]:
    """Return bytes, cost of recovery and depth of each node; fails where bases go in a circle."""
    found = []
    for number, node in enumerate(nodes):
        size = _bytes(node, bases[number])
        cost, depth, at = 0.0, 0, number
        seen = set()
        while True:
            assert at not in seen
            seen.add(at)
            if nodes[at].settled is not None:
                cost, depth = cost + nodes[at].settled[0], depth + nodes[at].settled[1]
                break
            cost += _bytes(nodes[at], bases[at]) + nodes[at].work
            if bases[at] is None:
                break
            at, depth = bases[at], depth + 1
        found.append((0.0 if node.settled else size, cost, depth))
    return found


def _bytes(node: Node, base: int | None) -> float:
    return node.full if base is None else min(size for item, size in node.edges if item == base)


def test_a_chain_of_a_hundred_costs_a_tenth_more_than_without_a_budget_at_most() -> None:
    nodes = chain(100)
    bases = plan(nodes, Limits(2.0, 8))
    found = costs(nodes, bases)
    unbounded = FULL + 99 * walk(0, 1)
    assert sum(size for size, _, _ in found) < 1.1 * unbounded
    assert max(cost for _, cost, _ in found) <= 2 * (FULL + WORK)


def test_what_a_budget_costs_does_not_grow_with_the_length_of_a_chain() -> None:
    nodes = chain(3000)
    found = costs(nodes, plan(nodes, Limits(2.0, 8)))
    assert sum(size for size, _, _ in found) < 1.1 * (FULL + 2999 * walk(0, 1))


def test_a_thousand_devices_stand_on_their_release() -> None:
    parents = [-1, *[0] * 1000]
    found = candidates(parents, siblings=True)
    nodes = [
        Node(FULL, WORK, tuple((base, 9.0 if 0 in (base, number) else 9.5) for base in bases))
        for number, bases in enumerate(found)
    ]
    assert plan(nodes, Limits(2.0, 8)) == [None, *[0] * 1000]


def test_a_budget_of_one_keeps_everything_whole() -> None:
    assert plan(chain(20), Limits(1.0, 8)) == [None] * 20
    assert plan(chain(20), Limits(9.0, 0)) == [None] * 20


def test_nothing_stands_on_what_does_not_pay() -> None:
    nodes = [Node(FULL, WORK, ((1 - number, FULL + 1),)) for number in range(2)]
    assert plan(nodes, Limits(3.0, 8)) == [None, None]


def test_what_is_there_stays_where_nothing_is_smaller() -> None:
    nodes = [
        Node(FULL, WORK),
        Node(FULL, WORK, ((0, 9.0), (2, 9.0))),
        Node(FULL, WORK, ((0, 9.0), (1, 9.0))),
    ]
    limits = Limits(3.0, 8)
    assert plan(nodes, limits) == [None, 0, 0]
    smaller = [nodes[0], nodes[1], Node(FULL, WORK, ((0, 9.0), (1, 8.5)))]
    assert plan(smaller, limits, [None, 0, 1]) == [None, 0, 1]


@pytest.mark.parametrize(
    "now",
    [[None, 0, 1], [None, 2, 1], [None, 2, 0]],
    ids=["above the budget", "a circle", "not an edge"],
)
def test_what_cannot_stay_is_planned_anew(now: list[int | None]) -> None:
    nodes = [Node(FULL, WORK), *[Node(FULL, WORK, ((0, 20.0), (3 - n, 15.0))) for n in (1, 2)]]
    nodes[2] = Node(FULL, WORK, ((1, 15.0),)) if now[2] == 0 else nodes[2]
    found = costs(nodes, plan(nodes, Limits(2.0, 8), now))
    assert all(cost <= 2 * (FULL + WORK) for _, cost, _ in found)


def test_settled_records_stay_and_can_be_bases() -> None:
    nodes = [
        Node(FULL, WORK, (), (40.0, 2)),
        Node(FULL, WORK, (), (FULL + WORK, 0)),
        Node(FULL, WORK, ((0, 5.0), (1, 9.0))),
        Node(FULL, WORK, ((0, 20.0), (1, 9.0))),
    ]
    assert plan(nodes, Limits(2.0, 8)) == [None, None, 0, 1]
    assert plan(nodes, Limits(2.0, 2)) == [None, None, 1, 1]


@given(st.data())
def test_a_plan_has_no_circles_and_keeps_its_limits(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    draw = random.Random(data.draw(st.integers()))
    limits = Limits(data.draw(st.sampled_from([1.0, 1.5, 2.0, 5.0])), data.draw(st.integers(0, 5)))
    nodes = []
    for number in range(count):
        others = [other for other in range(count) if other != number and draw.random() < 0.3]
        settled = (draw.uniform(20, 60), draw.randrange(4)) if draw.random() < 0.15 else None
        edges = () if settled else tuple((other, draw.uniform(1, 30)) for other in others)
        nodes.append(Node(draw.uniform(15, 30), draw.uniform(0, 3), edges, settled))
    now = [draw.choice([None, *(base for base, _ in node.edges)]) for node in nodes]
    found = costs(nodes, plan(nodes, limits, data.draw(st.sampled_from([None, now]))))
    for node, (size, cost, depth) in zip(nodes, found, strict=True):
        if node.settled is None:
            assert size <= node.full
            assert cost <= limits.budget * (node.full + node.work) + 1e-6
            assert depth <= limits.depth
    assert sum(size for size, _, _ in found) <= sum(n.full for n in nodes if not n.settled) + 1e-6


@given(st.data())
def test_candidates_are_few_and_never_oneself(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 300))
    draw = random.Random(data.draw(st.integers()))
    parents = [draw.randint(max(-1, number - 5), number - 1) for number in range(count)]
    for number, bases in enumerate(candidates(parents, siblings=data.draw(st.booleans()))):
        assert len(bases) <= MAX_BASES
        assert number not in bases
        assert len(set(bases)) == len(bases)
        assert all(0 <= base < len(parents) for base in bases)
        assert parents[number] in (-1, *bases)


def test_hubs_stay_where_they_are_as_a_chain_grows() -> None:
    short, long = ([n - 1 for n in range(count)] for count in (40, 80))
    for number, bases in enumerate(candidates(short)[:30]):
        before = [base for base in bases if base < number]
        assert before == [base for base in candidates(long)[number] if base < number]


def name(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(32, "big"))


def pack(title: str, *records: tuple[int, int, int | None]) -> Pack:
    """Return a pack of (id, depth, base)."""
    chunks = tuple(
        Record(name(item), 4, 10, 10, depth, () if base is None else (name(base),), low_rank=False)
        for item, depth, base in records
    )
    return Pack(title, 100, 100, chunks, ())


def packs(*found: Pack) -> Census:
    return {item.name: item for item in found}


def test_a_pack_goes_when_all_it_holds_is_elsewhere() -> None:
    old, new = pack("old", (1, 0, None), (2, 1, 1)), pack("new", (1, 0, None), (2, 1, 1))
    assert removable(packs(old, new), {"old"}, lambda _: True) == {"old"}
    assert removable(packs(old), {"old"}, lambda _: True) == set()
    assert removable(packs(old), {"old"}, lambda _: False) == {"old"}
    assert removable(packs(old), {"unknown"}, lambda _: True) == set()


def test_a_pack_with_the_only_base_of_a_record_that_stays_stays() -> None:
    old, new = pack("old", (1, 0, None)), pack("new", (2, 1, 1))
    assert removable(packs(old, new), {"old"}, lambda _: False) == set()


def test_a_pack_with_the_only_copy_of_a_base_that_is_low_enough_stays() -> None:
    """A commit stood on the old record of 1; the new one is too deep for it."""
    old = pack("old", (1, 0, None))
    new = pack("new", (3, 0, None), (4, 1, 3), (1, 2, 4))
    deep, high = pack("deep", (2, 1, 1)), pack("high", (2, 3, 1))
    assert removable(packs(old, new, deep), {"old"}, lambda _: True) == set()
    assert removable(packs(old, new, high), {"old"}, lambda _: True) == {"old"}


def test_what_a_called_back_pack_stands_on_is_called_back_too() -> None:
    one, two = pack("one", (1, 0, None)), pack("two", (2, 1, 1))
    three = pack("three", (3, 2, 2))
    assert removable(packs(one, two, three), {"one", "two"}, lambda _: False) == set()


@pytest.mark.parametrize("seed", range(30))
def test_whatever_goes_the_rest_can_be_decoded(seed: int) -> None:
    draw = random.Random(seed)
    found: list[Pack] = []
    depths: dict[int, list[int]] = {}
    for number in range(12):
        records = []
        for item in draw.sample(range(20), 4):
            base = draw.choice([None, *depths])
            if base in (None, item):
                records.append((item, 0, None))
            else:
                records.append((item, min(depths[base]) + draw.randint(1, 2), base))
        for item, depth, _ in records:
            depths.setdefault(item, []).append(depth)
        found.append(pack(str(number), *records))
    everything = packs(*found)
    wanted = {name(item) for item in draw.sample(range(20), 8)}
    gone = removable(everything, draw.sample(sorted(everything), 8), wanted.__contains__)
    left = [item for title, item in everything.items() if title not in gone]
    copies = {record.id for item in left for record in item.chunks}
    held = {record.id for item in found for record in item.chunks}
    assert wanted & held <= copies
    for item in left:
        for record in item.chunks:
            for base in record.references:
                lower = [
                    copy
                    for other in left
                    for copy in other.chunks
                    if copy.id == base and copy.depth < record.depth
                ]
                assert lower


def test_a_long_chain_of_small_steps_goes_through_hubs() -> None:
    """As in bf16: a step takes 4 % of a whole version, and 16 steps 16 %."""
    count, full = 100, 66.0
    bases = candidates([number - 1 for number in range(count)])
    nodes = [
        Node(full, 5.0, tuple((b, 2.8 * abs(number - b) ** 0.5) for b in found))
        for number, found in enumerate(bases)
    ]
    found = costs(nodes, plan(nodes, Limits(2.0, 8)))
    assert sum(size for size, _, _ in found) < 1.3 * (full + 2.8 * (count - 1))
    assert max(cost for _, cost, _ in found) <= 2 * (full + 5.0)
