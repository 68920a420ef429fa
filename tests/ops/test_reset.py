"""Moving a branch."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.ops.checkout import checkout
from mvc.ops.reflog import reflog
from mvc.ops.reset import reset
from mvc.ops.rm import remove
from mvc.repo.repository import Repository
from tests.e2e.world import ENVIRONMENT, World, contents


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"a": b"one", "gone": b"x"}, "first")
    (world.root / "gone").unlink()
    world.save({"a": b"two", "new": b"y"}, "second")
    return world


def test_the_branch_moves_and_files_stay(world: World) -> None:
    result = reset(world.repo, "HEAD~1")
    assert (result.branch, world.repo.head_commit()) == ("main", result.commit)
    assert contents(world.root) == {"a": b"two", "new": b"y"}
    found = world.status()
    assert (found.added, found.modified, found.deleted) == (("new",), ("a",), ("gone",))
    assert reflog(world.repo, "main")[0].change.reason == "reset: moving to HEAD~1"


def test_hard_makes_the_files_those_of_the_version(world: World) -> None:
    world.write("a", b"mine")
    world.write("untracked", b"mine")
    reset(world.repo, "HEAD~1", hard=True)
    assert contents(world.root) == {"a": b"one", "gone": b"x", "untracked": b"mine"}
    assert world.status().clean
    reset(world.repo, "@{1}", hard=True)
    assert world.read("a") == b"two"
    assert world.status().clean


def test_hard_tracks_again_what_was_untracked(world: World) -> None:
    remove(world.repo, [world.root / "a"], cached=True)
    reset(world.repo, "HEAD", hard=True)
    assert world.status().clean
    assert world.status().untracked == ()


def test_a_detached_head_moves_alone(world: World) -> None:
    main = world.repo.head_commit()
    checkout(world.repo, "HEAD~1")
    assert reset(world.repo, "main", hard=True).branch is None
    assert world.repo.head_commit() == main
    assert world.status().branch is None


def test_an_unknown_version_changes_nothing(world: World) -> None:
    before = world.repo.head_commit()
    with pytest.raises(NotFoundError):
        reset(world.repo, "nowhere", hard=True)
    assert world.repo.head_commit() == before


def test_a_directory_in_the_way_stops_it_before_anything_changes(world: World) -> None:
    world.write("gone/mine", b"mine")
    before = contents(world.root), world.repo.head_commit()
    with pytest.raises(NegativeAnswer, match="gone is in the way"):
        reset(world.repo, "HEAD~1", hard=True)
    assert (contents(world.root), world.repo.head_commit()) == before


def test_a_bare_repository_can_move_its_branch(world: World, tmp_path: Path) -> None:
    first = world.repo.commit(world.repo.head_commit() or b"").parents[0]  # type: ignore[arg-type]
    world.repo.close()
    bare = world.repo.folder.rename(tmp_path / "bare")
    with Repository(bare, None, ENVIRONMENT) as repo:
        assert reset(repo, "HEAD~1").commit == first
        assert repo.head_commit() == first


def test_hard_stops_tracking_what_the_version_does_not_have(world: World) -> None:
    world.write("extra", b"mine")
    world.add("extra")
    reset(world.repo, "HEAD", hard=True)
    assert world.status().clean
    assert world.status().untracked == ("extra",)
    assert world.read("extra") == b"mine"
