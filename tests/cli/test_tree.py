from __future__ import annotations

import pytest

from tests.cli.console import Console


def version(mvc: Console, message: str) -> str:
    mvc.write("a", message)
    return mvc.commit(message)


@pytest.fixture
def fleet(mvc: Console) -> Console:
    version(mvc, "base")
    mvc("tag", "v1.0")
    version(mvc, "between")
    version(mvc, "second")
    mvc("tag", "v1.1")
    for name, start in (("a", "v1.0"), ("b", "v1.0"), ("c", "v1.1")):
        mvc("switch", "-c", f"devices/{name}", start)
        version(mvc, f"first of {name}")
        version(mvc, f"second of {name}")
    mvc("switch", "main")
    return mvc


def test_devices_hang_where_they_branched_off(fleet: Console) -> None:
    lines = fleet("tree").lines
    assert [line[: line.index("  ")] for line in lines] == [
        "● tag: v1.0",
        "├─● devices/a",
        "├─● devices/b",
        "● HEAD -> main, tag: v1.1",
        "● devices/c",
    ]
    assert all("  +2  " in line for line in lines[1:])


def test_json_has_the_nodes_and_what_lies_between(fleet: Console) -> None:
    found = fleet("tree", "--json").json
    assert found["commits"] == 9
    nodes = {node["message"]: node for node in found["nodes"]}
    assert set(nodes) == {"base", "second", "second of a", "second of b", "second of c"}
    assert nodes["second of a"]["parents"] == [{"id": nodes["base"]["id"], "between": 1}]
    assert nodes["base"]["refs"] == ["tag: v1.0"]


def test_some_refs_can_be_drawn(fleet: Console) -> None:
    lines = fleet("tree", "devices/[ab]").lines
    assert len(lines) == 3
    assert "no branch or tag matches" in fleet("tree", "x/*", code=3).err
    assert "no revision is called" in fleet("tree", "x", code=3).err


def test_of_many_devices_at_one_version_some_stand_for_all(mvc: Console) -> None:
    version(mvc, "base")
    for number in range(30):
        mvc("switch", "-c", f"devices/car-{number:02}", "main")
        version(mvc, f"car {number}")
    mvc("switch", "main")
    lines = mvc("tree").lines
    assert len(lines) == 10
    assert lines[-1].startswith("└─… 22 more, devices/car-08 to devices/car-29, 1 commit; --all")
    assert len(mvc("tree", "--all").lines) == 31


def test_an_empty_repository_has_no_tree(mvc: Console) -> None:
    done = mvc("tree")
    assert (done.out, done.err) == ("", "there are no commits yet\n")
    assert mvc("tree", "--json").json == {"commits": 0, "nodes": []}


def test_lines_fit_the_terminal_and_hostile_messages_are_escaped(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    version(mvc, "\x1b[2Jx" * 30)
    (line,) = mvc("tree").lines
    assert len(line) <= 60
    assert "\x1b" not in line
