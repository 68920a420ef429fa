from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mvc.base.ids import ObjectId
from mvc.cli.graph import Graph


def drawn(*history: tuple[str, str]) -> str:
    graph = Graph()
    lines: list[str] = []
    for name, parents in history:
        ids = tuple(ObjectId(parent.encode()) for parent in parents)
        lines += graph.draw(ObjectId(name.encode()), ids, [name])
    return "\n".join(lines)


def test_a_line_of_commits_is_a_column() -> None:
    assert drawn(("c", "b"), ("b", "a"), ("a", "")) == "* c\n* b\n* a"


def test_two_branches_join_at_the_commit_they_started_from() -> None:
    assert drawn(("x", "a"), ("y", "a"), ("a", "")) == "* x\n| * y\n|/\n* a"


def test_a_merge_opens_a_lane_for_its_second_parent() -> None:
    assert drawn(("m", "ab"), ("a", "r"), ("b", "r"), ("r", "")) == (
        "* m\n|\\\n* | a\n| * b\n|/\n* r"
    )


def test_an_octopus_opens_a_lane_for_each_further_parent() -> None:
    assert drawn(("m", "abc"), ("a", ""), ("b", ""), ("c", "")) == (
        "* m\n|\\\n|\\ \\\n* | | a\n / /\n* | b\n /\n* c"
    )


def test_a_lane_that_joins_from_afar_passes_those_between() -> None:
    history = (("x", "r"), ("y", "q"), ("z", "r"), ("r", ""), ("q", ""))
    assert drawn(*history) == "* x\n| * y\n| | * z\n| |/\n|/|\n* | r\n /\n* q"


def test_unrelated_histories_follow_each_other() -> None:
    assert drawn(("a", ""), ("b", "")) == "* a\n* b"


def test_the_text_of_a_commit_stays_right_of_all_lanes() -> None:
    graph = Graph()
    one, two = ObjectId(b"a"), ObjectId(b"b")
    assert graph.draw(ObjectId(b"m"), (one, two), ["title", "more", "", "end"]) == [
        "*   title",
        "|\\  more",
        "| |",
        "| | end",
    ]


@given(st.data())
def test_every_history_is_drawn_with_one_star_a_commit(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    graph = Graph()
    for number in range(count):
        older = list(range(number + 1, count))
        parents = (
            data.draw(st.lists(st.sampled_from(older), unique=True, max_size=3)) if older else []
        )
        ids = tuple(ObjectId(bytes([parent])) for parent in parents)
        lines = graph.draw(ObjectId(bytes([number])), ids, ["text"])
        assert sum(line.count("*") for line in lines) == 1
        assert all(set(line.replace("text", "")) <= set("*|/\\ ") for line in lines)


def test_a_merge_of_a_fleet_draws_its_devices_one_after_another() -> None:
    devices = [chr(ord("A") + number) for number in range(20)]
    history = [("m", "r" + "".join(devices)), *((name, "r") for name in devices), ("r", "")]
    lines = drawn(*history).split("\n")
    assert lines[:2] == ["* m", "| (20 more parents: lines of their own, below)"]
    assert lines[2:6] == ["| * A", "|/", "| * B", "|/"]
    assert max(map(len, lines[2:])) == 5


def test_lanes_that_wait_for_one_commit_join_at_once() -> None:
    history = (("m", "abc"), ("c", "r"), ("b", "r"), ("a", "r"), ("r", ""))
    assert drawn(*history) == ("* m\n|\\\n|\\ \\\n| | * c\n| * | b\n| |/\n* | a\n|/\n* r")


def test_of_a_part_of_history_lines_go_on_at_what_is_shown() -> None:
    near = {ObjectId(b"c"): (ObjectId(b"a"),)}
    graph = Graph(near)
    lines = graph.draw(ObjectId(b"c"), (ObjectId(b"b"),), ["c"])
    assert lines + graph.draw(ObjectId(b"a"), (), ["a"]) == ["* c", "* a"]
