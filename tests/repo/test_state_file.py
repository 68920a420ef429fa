"""What is under way outlives a command, and damage to it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mvc.base.errors import IntegrityError
from mvc.repo.repository import Repository
from mvc.repo.state_file import StateFile
from tests.e2e.world import World

FILE = StateFile("errand", 1000, "what it was", " and begin again")


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return World(tmp_path / "w").repo


def words(value: Any) -> list[str]:
    return [str(item) for item in value["words"]]


def test_what_was_written_is_read_until_it_is_cleared(repo: Repository) -> None:
    assert not FILE.exists(repo)
    assert FILE.read(repo, words) is None
    FILE.write(repo, {"words": ["ä", "\ud800"]})
    FILE.write(repo, {"words": ["b", "\ud800"]})
    assert FILE.exists(repo)
    assert FILE.read(repo, words) == ["b", "\ud800"]
    FILE.clear(repo)
    assert FILE.read(repo, words) is None


@pytest.mark.parametrize("damage", [b"", b"null", b"{", b"[]", b"{}", b"\xff", b" " * 1001])
def test_damage_is_told_with_what_to_remove(repo: Repository, damage: bytes) -> None:
    path = repo.folder / "errand"
    path.write_bytes(damage)
    with pytest.raises(IntegrityError, match="nobody knows what it was") as caught:
        FILE.read(repo, words)
    assert caught.value.hint == f"remove {path} and begin again"
