"""A link where a tracked file was: never followed, and never taken for a deletion."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.restore import restore
from mvc.ops.status import status
from tests.e2e.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"a": b"one", "b": b"two"})
    file = world.repo.root / "a"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    return world


def test_a_file_that_became_a_link_is_modified_not_deleted(world: World) -> None:
    result = status(world.repo)
    assert (result.modified, result.deleted) == (("a",), ())


def test_a_commit_refuses_the_link_and_records_nothing(world: World) -> None:
    before = world.repo.head_commit()
    (world.repo.root / "b").write_bytes(b"changed")
    with pytest.raises(NegativeAnswer, match="link"):
        commit(world.repo, CommitRequest("x"))
    assert world.repo.head_commit() == before


def test_restore_puts_the_file_back_and_leaves_the_target_alone(
    world: World, tmp_path: Path
) -> None:
    restore(world.repo, [world.repo.root / "a"])
    assert (world.repo.root / "a").read_bytes() == b"one"
    assert not (world.repo.root / "a").is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"one"
