"""Which program reaches a host: the user's choice, never that of a repository."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tests.cli.console import Console


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    return tmp_path / "seen"


@pytest.fixture
def stand_in(tmp_path: Path, seen: Path) -> str:
    """A program that notes how it was run and says that there is no mvc at the host."""
    path = tmp_path / "my ssh.py"
    path.write_text(
        f"import sys; open({str(seen)!r}, 'w').write(repr(sys.argv[1:])); sys.exit(127)"
    )
    return shlex.join([sys.executable, str(path), "-o", "BatchMode=yes"])


SEEN = repr(["-o", "BatchMode=yes", "hub", "--", "mvc", "serve", "--stdio", "'fleet'"])


def test_the_environment_names_the_program(
    mvc: Console, seen: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MVC_SSH", stand_in)
    done = mvc("ls-remote", "hub:fleet", code=7)
    assert "hub has no mvc that a login by ssh finds" in done.err
    assert "hint: install mvc there" in done.err
    assert seen.read_text() == SEEN


def test_the_users_settings_name_the_program(mvc: Console, seen: Path, stand_in: str) -> None:
    mvc("config", "--global", "core.ssh_command", stand_in)
    mvc("ls-remote", "hub:fleet", code=7)
    assert seen.read_text() == SEEN


def test_the_settings_of_a_repository_run_nothing(
    mvc: Console, seen: Path, stand_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\necho no route >&2\nexit 127\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    mvc("config", "core.ssh_command", stand_in)
    done = mvc("ls-remote", "hub:fleet", code=7)
    assert "no route" in done.err
    assert not seen.exists()
