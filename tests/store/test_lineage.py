from __future__ import annotations

from mvc.base.ids import ObjectId
from mvc.store.lineage import Kind, Lineages

KIND = Kind("float", "float32", 16)


def name(number: int) -> ObjectId:
    return ObjectId(number.to_bytes(32, "big"))


def test_chunks_that_came_from_each_other_are_one_group_the_oldest_first() -> None:
    lines = Lineages()
    lines.add(name(1), None, KIND, 0)
    lines.add(name(2), None, KIND, 0)
    lines.add(name(3), name(1), KIND, 0)
    lines.add(name(4), name(3), KIND, 0)
    assert lines.groups() == [[0, 2, 3], [1]]
    assert [member.parent for member in lines.members] == [-1, -1, 0, 2]


def test_a_chunk_keeps_the_place_where_it_was_seen_first() -> None:
    lines = Lineages()
    lines.add(name(1), None, KIND, 0)
    lines.add(name(2), None, KIND, 64)
    lines.add(name(2), name(1), Kind("int"), 0)
    assert lines.members[1] == (name(2), -1, KIND, 64)
    assert lines.groups() == [[0], [1]]


def test_a_chunk_that_came_from_itself_or_from_something_unknown_starts_a_line() -> None:
    lines = Lineages()
    lines.add(name(1), name(1), KIND, 0)
    lines.add(name(2), name(9), KIND, 0)
    assert [member.parent for member in lines.members] == [-1, -1]


def test_groups_that_are_joined_are_one() -> None:
    lines = Lineages()
    for number in range(6):
        lines.add(name(number), None, KIND, 0)
    for one, two in ((4, 2), (5, 4), (0, 1)):
        lines.join(one, two)
    assert lines.groups() == [[0, 1], [2, 4, 5], [3]]


def test_equal_kinds_are_kept_once() -> None:
    lines = Lineages()
    lines.add(name(1), None, Kind("float", "float32", 16), 0)
    lines.add(name(2), None, Kind("float", "float32", 16), 0)
    assert lines.members[0].kind is lines.members[1].kind


def test_a_member_of_unknown_origin_is_adopted_by_what_its_record_stands_on() -> None:
    lines = Lineages()
    lines.add(name(1), None, KIND, 0)
    lines.add(name(2), None, KIND, 0)
    lines.add(name(3), name(2), KIND, 0)
    lines.adopt(1, 0)
    lines.adopt(2, 0)
    lines.adopt(0, 2)
    assert [member.parent for member in lines.members] == [-1, 0, 1]
    assert lines.groups() == [[0, 1, 2]]
