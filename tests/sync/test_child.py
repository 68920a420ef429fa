"""A program that is talked to: what it says last is heard, and it may say a lot."""

from __future__ import annotations

import signal
import sys

import pytest

from mvc.sync.child import MAX_LINES, Child

AFTERWARDS = "import sys; sys.stdin.read(); "


def test_what_a_program_says_after_it_is_told_that_nothing_follows_is_heard() -> None:
    heard: list[str] = []
    program = AFTERWARDS + "import time; time.sleep(0.2); print('goodbye', file=sys.stderr)"
    child = Child([sys.executable, "-c", program], 5.0, heard.append)
    child.close()
    assert heard == ["goodbye"]


def test_a_program_that_says_more_than_a_pipe_holds_ends_by_itself() -> None:
    heard: list[str] = []
    program = AFTERWARDS + "print(('x' * 99 + '\\n') * 3000, file=sys.stderr)"
    child = Child([sys.executable, "-c", program], 5.0, heard.append)
    child.close()
    assert len(heard) == MAX_LINES
    assert child.kill() == 0


def test_a_program_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvc.sync.child.PARTING_SECONDS", 0.2)
    child = Child([sys.executable, "-c", "import time; time.sleep(600)"], 5.0, lambda _: None)
    child.close()
    assert child.kill() == -signal.SIGTERM
