from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete

from mvc.cli.group import mvc as group
from mvc.cli.table import COMMANDS
from tests.cli.console import Console


def command(verb: str) -> click.Command:
    found = group.get_command(click.Context(group), verb)
    assert found is not None
    return found


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_explains_itself_with_examples(outside: Console, verb: str) -> None:
    text = outside(verb, "--help").out
    assert f"Usage: mvc {verb}" in text
    assert "Examples:\n" in text
    assert outside(verb, "-h").out == text


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_table_says_what_the_command_itself_says(verb: str) -> None:
    found = command(verb)
    assert found.name == verb
    assert (found.help or "").split("\n")[0] == COMMANDS[verb][1]


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_example_is_understood(verb: str) -> None:
    found = command(verb)
    lines = [line.strip() for line in (found.epilog or "").split("\n")]
    examples = [line for line in lines if line.startswith("mvc ")]
    assert examples
    for line in examples:
        words = split(line)
        assert words[:2] == ["mvc", verb]
        ctx = found.make_context(verb, words[2:], resilient_parsing=False)
        ctx.close()


def split(line: str) -> list[str]:
    import shlex

    return shlex.split(line.split(" > ")[0])


def test_without_a_command_the_help_is_shown(outside: Console) -> None:
    assert outside().out == outside("--help").out
    assert outside("--version").out.startswith("mvc ")


def offered(*arguments: str) -> list[str]:
    *before, incomplete = arguments
    complete = ShellComplete(group, {}, "mvc", "_MVC_COMPLETE")
    return [item.value for item in complete.get_completions(list(before), incomplete)]


def test_the_shell_completes_verbs_options_and_names(mvc: Console) -> None:
    mvc.write("m/a.txt", "a")
    mvc.commit("a")
    mvc("branch", "car-17")
    mvc("tag", "v1")
    assert offered("re") == [
        "restore",
        "reset",
        "reflog",
        "revert",
        "remote",
        "repack",
        "rev-parse",
    ]
    assert "--debug" in offered("--d")
    assert "--oneline" in offered("log", "--one")
    assert offered("switch", "") == ["car-17", "main"]
    assert offered("log", "") == ["HEAD", "car-17", "main", "v1"]
    assert offered("tag", "-d", "v") == ["v1"]
    assert offered("show", "main:m") == ["main:m/a.txt"]
    assert "user.name" in offered("config", "user.")


def test_completion_outside_a_repository_offers_nothing(outside: Console) -> None:
    assert offered("switch", "") == []
    assert offered("show", "x:y") == []
    assert offered("config", "user.e") == ["user.email"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed_and_its_place_told(outside: Console, shell: str) -> None:
    done = outside("completion", shell)
    assert "_MVC_COMPLETE" in done.out
    assert done.err.startswith("to install it: ")


def test_no_other_shell_is_offered(outside: Console) -> None:
    outside("completion", "cmd.exe", code=2)
