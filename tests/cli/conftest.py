from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cli.console import Console


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hermetic: Path) -> Console:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MVC_AUTHOR_NAME", "Ada Fleet")
    monkeypatch.setenv("MVC_AUTHOR_EMAIL", "ada@example.org")
    monkeypatch.setenv("COLUMNS", "80")
    time.tzset()
    return Console(folder, monkeypatch)


@pytest.fixture
def mvc(outside: Console) -> Console:
    outside("init")
    return outside
