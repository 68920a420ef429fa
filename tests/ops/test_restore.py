"""Bringing files back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.ops.restore import restore
from mvc.ops.rm import remove
from tests.e2e.world import World, contents

FILES = {"a": b"one", "d/b": b"two", "d/e/c": b"three"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save(FILES)
    world.save({"a": b"newer"})
    return world


def test_a_changed_file_comes_back_and_others_stay(world: World) -> None:
    world.write("a", b"mine")
    world.write("d/b", b"mine")
    assert restore(world.repo, [world.root / "a"]).restored == ("a",)
    assert (world.read("a"), world.read("d/b")) == (b"newer", b"mine")
    assert restore(world.repo, [world.root / "a"]).restored == ()


def test_a_folder_comes_back_with_all_below(world: World) -> None:
    for name in FILES:
        (world.root / name).unlink()
    (world.root / "d/e").rmdir()
    assert restore(world.repo, [world.root / "d"]).restored == ("d/b", "d/e/c")
    assert restore(world.repo, [world.root]).restored == ("a",)
    assert world.status().clean


def test_a_file_comes_back_as_an_older_version_has_it(world: World) -> None:
    restore(world.repo, [world.root / "a"], source="HEAD~1")
    assert world.read("a") == b"one"
    assert world.status().modified == ("a",)


def test_what_no_version_has_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError, match="no file nowhere"):
        restore(world.repo, [world.root / "nowhere"])
    with pytest.raises(NotFoundError):
        restore(world.repo, [world.root / "a"], source="nothing")


def test_a_file_that_is_no_longer_tracked_is_tracked_again(world: World) -> None:
    remove(world.repo, [world.root / "a"])
    assert restore(world.repo, [world.root / "a"]).restored == ("a",)
    assert world.status().clean


@pytest.mark.parametrize("place", ["d/b", "d"])
def test_a_link_is_replaced_or_refused_but_never_followed(world: World, place: str) -> None:
    outside = world.root.parent / "outside"
    outside.mkdir()
    (outside / "b").write_bytes(b"outside")
    for name in ("d/b", "d/e/c"):
        (world.root / name).unlink()
    if place == "d":
        (world.root / "d/e").rmdir()
        (world.root / "d").rmdir()
        (world.root / "d").symlink_to(outside)
        with pytest.raises(NegativeAnswer, match="d is in the way"):
            restore(world.repo, [world.root])
    else:
        (world.root / "d/b").symlink_to(outside / "b")
        restore(world.repo, [world.root])
        assert contents(world.root) == {**FILES, "a": b"newer"}
        assert not (world.root / "d/b").is_symlink()
    assert contents(outside) == {"b": b"outside"}
