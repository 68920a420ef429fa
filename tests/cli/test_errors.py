from __future__ import annotations

import json

import pytest

from mvc.base.errors import RemoteMovedError
from tests.cli.console import Console


def test_an_error_is_one_sentence_and_a_hint_on_stderr(outside: Console) -> None:
    done = outside("status", code=3)
    assert done.out == ""
    assert done.err == (
        f"error: {outside.folder} is not in an mvc repository\nhint: `mvc init` makes one here\n"
    )


def test_with_json_an_error_is_json_on_stderr(mvc: Console) -> None:
    done = mvc("show", "nothing", "--json", code=3)
    assert done.out == ""
    error = json.loads(done.err)["error"]
    assert error["code"] == "not-found"
    assert error["message"] == "no revision is called 'nothing'"
    assert set(error) == {"code", "message", "hint"}


def test_a_mistyped_command_is_guessed(outside: Console) -> None:
    done = outside("sttus", code=2)
    assert done.err.startswith("error: 'sttus' is not an mvc command; did you mean status?\n")


def test_an_unknown_option_is_a_usage_error_that_names_the_help(mvc: Console) -> None:
    done = mvc("log", "--onelin", code=2)
    assert "error: no such option" in done.err.lower()
    assert "hint: `mvc log --help` shows how it is used\n" in done.err
    assert json.loads(mvc("log", "--nope", "--json", code=2).err)["error"]["code"] == "usage"


def test_a_commit_without_a_message_says_how_to_give_one(mvc: Console) -> None:
    done = mvc("commit", code=2)
    assert done.err == "error: a commit needs a message\nhint: mvc commit -m 'what changed'\n"


def test_nothing_to_commit_is_a_negative_answer(mvc: Console) -> None:
    assert mvc("commit", "-m", "x", code=1).err.startswith("error: nothing to commit")


def test_a_bare_repository_says_what_works_in_it(outside: Console) -> None:
    outside("init", "--bare", "store.mvc")
    done = outside("-C", "store.mvc", "status", code=2)
    assert done.err == (
        "error: a bare repository has no working copy\n"
        "hint: `mvc export REV DIR` writes files out\n"
    )


def test_the_exit_code_is_that_of_the_error(mvc: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(*_: object, **__: object) -> None:
        raise RemoteMovedError("main was moved", hint="look")

    monkeypatch.setattr("mvc.ops.status.status", moved)
    assert mvc("status", code=4).err == "error: main was moved\nhint: look\n"


def test_a_mistake_in_mvc_is_one_line_unless_debugging(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by\nzero")

    monkeypatch.setattr("mvc.ops.status.status", broken)
    quiet = mvc("status", code=128)
    assert "Traceback" not in quiet.err
    assert quiet.err.startswith("error: internal error: ZeroDivisionError: division by\\nzero\n")
    assert "--debug" in quiet.err
    assert "Traceback" in mvc("--debug", "status", code=128).err


def test_an_interruption_is_told_in_a_sentence(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mvc.ops.status.status", interrupted)
    assert mvc("status", code=130).err == "error: interrupted; no file is left half written\n"


def test_terminal_escapes_in_an_argument_do_not_reach_the_terminal(mvc: Console) -> None:
    done = mvc("show", "a\x1b[31mb\u202ec", code=3)
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err


def test_a_folder_that_is_not_there_is_not_found(outside: Console) -> None:
    assert "is not a folder" in outside("-C", "nowhere", "status", code=3).err


def test_another_folder_is_taken_with_its_relative_paths(outside: Console) -> None:
    outside("init", "other")
    outside.write("other/sub/a.txt", "a")
    outside("-C", "other/sub", "add", "a.txt")
    assert outside("-C", "other", "status", "-s").out == "A sub/a.txt\n"
