"""What people try first who know git."""

from __future__ import annotations

import pytest

from tests.cli.console import Console


@pytest.mark.parametrize("verb", ["notes", "rebase", "stash"])
def test_a_command_that_is_yet_to_come_is_named_with_what_to_do_until_then(
    outside: Console, verb: str
) -> None:
    done = outside(verb, "origin", code=2)
    assert done.err.startswith(f"error: mvc has no {verb!r} yet\nhint: ")


@pytest.mark.parametrize(
    ("verb", "hint"),
    [
        ("version", "`mvc --version`"),
        ("archive", "`mvc export"),
        ("ls-files", "`mvc ls-tree -r HEAD`"),
        ("frobnicate", "`mvc --help`"),
    ],
)
def test_a_word_for_something_else_leads_to_it(outside: Console, verb: str, hint: str) -> None:
    done = outside(verb, code=2)
    assert f"error: {verb!r} is not an mvc command\nhint: " in done.err
    assert hint in done.err


def test_help_is_a_command_too(outside: Console) -> None:
    assert outside("help").out == outside("--help").out
    assert outside("help", "commit").out == outside("commit", "--help").out
    assert "did you mean commit?" in outside("help", "comit", code=2).err
    assert "no 'rebase' yet" in outside("help", "rebase", code=2).err
    outside("help", "add", "commit", code=2)


def test_options_that_change_nothing_here_are_taken(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc("add", "--all")
    mvc("commit", "-am", "one")
    mvc("commit", "-a", "--allow-empty", "-m", "two")
    assert mvc("branch", "-a").out == mvc("branch").out
    mvc("tag", "-a", "v1", "-m", "First")
    assert mvc("tag", "-v").out.endswith(" First\n")
    assert "needs a text" in mvc("tag", "-a", "v2", code=2).err
    assert "needs a text" in mvc("tag", "v2", "-m", " ", code=2).err


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", ""],
        ["-m", " \n"],
        ["-m", "x" * (2 << 20)],
        ["-m", "x", "--metric", "m" * 300 + "=1"],
        ["-m", "x", "--metric", " =1"],
        ["-m", "x", "--param", "k" * 300 + "=1"],
        ["-m", "x", "--param", "k=99999999999999999999999"],
        ["-m", "x", "--label", "k=" + "v" * 70_000],
        ["-m", "x", "--author", "Ada\x1b[2J"],
    ],
    ids=lambda words: words[-1][:20],
)
def test_what_no_commit_can_hold_is_a_mistake_of_the_request(
    mvc: Console, arguments: list[str]
) -> None:
    mvc.write("a.txt", "a")
    mvc("add", ".")
    done = mvc("commit", *arguments, code=2)
    assert len(done.err) < 400
    assert mvc("status", "--json").json["head"] is None
