from __future__ import annotations

import os
import pty
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base.progress import SILENT
from mvc.cli import pager
from mvc.cli.progress import Bar
from mvc.cli.session import Session, wants_colour
from tests.cli.console import Console


@pytest.mark.parametrize(
    ("option", "variables", "expected"),
    [
        ("auto", {}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"FORCE_COLOR": "0"}, False),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_follow_the_option_then_the_environment(
    monkeypatch: pytest.MonkeyPatch, option: str, variables: dict[str, str], expected: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(option) is expected


def test_colour_on_a_terminal_unless_it_is_dumb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour("auto")
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour("auto")


def test_colour_can_be_forced_and_never_leaks(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    assert "\x1b[33m" in mvc("--color", "always", "log", "--oneline").out
    assert "\x1b" not in mvc("log", "--oneline").out


def test_quiet_says_nothing_of_success(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    done = mvc("-q", "add", "a.txt")
    assert (done.out, done.err) == ("", "")
    assert mvc("-q", "commit", "-m", "a").out == ""
    assert len(mvc("-q", "log", "--oneline").lines) == 1


def test_the_user_configuration_is_where_xdg_says(
    outside: Console, monkeypatch: pytest.MonkeyPatch, hermetic: Path
) -> None:
    outside("config", "--global", "user.name", "Ada")
    assert (hermetic / ".config/mvc/config.toml").read_text() == '[user]\nname = "Ada"\n'
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert outside("config", "user.name").out == "Ada\n"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    assert outside("config", "user.name").out == "Ada\n"


def test_settings_are_read_written_listed_and_removed(mvc: Console) -> None:
    mvc("config", "--global", "user.name", "Ada")
    mvc("config", "user.name", "Bo")
    mvc("config", "core.sync_worktree", "false")
    assert mvc("config", "get", "user.name").out == "Bo\n"
    listed = mvc("config", "--list", "--show-origin").lines
    assert "default\tcore.codec=default" in listed
    assert [line for line in listed if not line.startswith("default")] == [
        "repository\tcore.sync_worktree=false",
        "repository\tuser.name=Bo",
    ]
    assert mvc("config", "--global", "--list").out == ""
    assert mvc("config", "user.name", "--json").json == [
        {"key": "user.name", "value": "Bo", "origin": "repository"}
    ]
    mvc("config", "--unset", "user.name")
    assert mvc("config", "user.name").out == "Ada\n"
    mvc("config", "user.name", code=0)
    assert "did you mean" not in mvc("config", "unset", "user.name", code=1).err
    mvc("config", "--unset", "nowhere.at.all", code=1)
    mvc("config", "user.email", code=1)
    mvc("config", "nodot", "x", code=2)
    mvc("config", "a", "b", "c", "d", code=2)


def test_a_mistyped_setting_is_written_and_doubted(mvc: Console) -> None:
    done = mvc("config", "user.nmae", "x")
    assert done.err == "note: mvc does not know user.nmae; did you mean user.name?\n"
    assert mvc("config", "user.nmae").out == "x\n"
    assert "core.sync_worktree?" in mvc("config", "core.sync_wortree", "true").err
    assert "did you mean user.email?" in mvc("config", "user.emial", code=1).err
    for key in ("user.name", "fleet.depot", "user.email"):
        assert mvc("config", key, "x").err == ""


def test_outside_a_repository_only_the_users_settings_can_be_written(outside: Console) -> None:
    assert "--global" in outside("config", "user.name", "x", code=2).err
    outside("config", "--global", "user.name", "x")


class Terminal:
    """The slave end of a terminal as stderr or stdout."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.file = os.fdopen(slave, "w", encoding="utf-8")

    def read(self) -> str:
        self.file.flush()
        os.set_blocking(self.master, False)
        found = b""
        while True:
            try:
                found += os.read(self.master, 65536)
            except (BlockingIOError, OSError):
                return found.decode("utf-8", "replace")

    def close(self) -> None:
        self.file.close()
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def test_progress_is_drawn_only_on_a_terminal(
    mvc: Console, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Session(None, quiet=False).progress is SILENT
    monkeypatch.setattr(sys, "stderr", terminal.file)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(Session(None, quiet=False).progress, Bar)
    assert Session(None, quiet=True).progress is SILENT
    monkeypatch.setenv("TERM", "dumb")
    assert Session(None, quiet=False).progress is SILENT


def test_a_bar_appears_after_a_moment_and_goes_away(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("mvc.cli.progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal.file)
    bar = Bar(colour=False)
    bar.start("storing", 10_000_000)
    bar.advance(1_000_000)
    assert terminal.read() == ""
    now[0] = 1.0
    bar.advance(1_000_000)
    bar.advance(1_000_000)
    bar.finish()
    drawn = terminal.read()
    assert "storing" in drawn
    assert "10.0 MB" in drawn
    bar.finish()
    bar.start("nothing", 0)
    bar.finish()


def reader(folder: Path, text: str) -> str:
    path = folder / "pager"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_pager_gets_the_lines(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pager.page(["one", "two"], reader(tmp_path, f'cat > {out}; echo "$LESS" >> {out}'))
    assert out.read_text() == "one\ntwo\nFRX\n"


def test_a_pager_that_is_left_early_is_no_error(tmp_path: Path) -> None:
    pager.page((f"line {n}" for n in range(200_000)), reader(tmp_path, "exit 0"))


def test_without_a_pager_the_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("", "cat", "/nonexistent/pager"):
        pager.page(["one"], command)
    assert capsys.readouterr().out == "one\n" * 3


def test_output_to_a_terminal_goes_through_the_pager(
    mvc: Console, terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "stdout", terminal.file)
    monkeypatch.setenv("MVC_PAGER", reader(tmp_path, f"cat > {out}"))
    Session(None, quiet=False).page(["one"])
    assert not out.exists()
    monkeypatch.setenv("TERM", "xterm")
    Session(None, quiet=False, pager=False).page(["two"])
    assert not out.exists()
    Session(None, quiet=False).page(["three"])
    assert out.read_text() == "three\n"
    assert terminal.read().split() == ["one", "two"]


def test_a_terminal_gets_no_raw_bytes_of_an_object(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    mvc("init")
    mvc.write("a.txt", "a" * 5000)
    mvc("add", "a.txt")
    mvc("commit", "-m", "x")
    chunk = mvc("cat-object", "-p", "HEAD:a.txt").json[1][2][0]
    assert not mvc("cat-object", "HEAD").out.startswith("{")
    monkeypatch.setattr("mvc.cli.commands.cat_object.on_terminal", lambda: True)
    assert mvc("cat-object", "HEAD").json["message"] == "x"
    assert "> FILE" in mvc("cat-object", chunk, code=2).err


def test_quiet_may_stand_behind_the_verb(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    assert (mvc("add", "-q", "a.txt").out, mvc("commit", "-q", "-m", "a").out) == ("", "")
    assert mvc("switch", "-q", "-c", "b").err == ""
    assert "--quiet" not in mvc("switch", "--help").out
