"""What differs from HEAD."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import UsageError
from mvc.ops.rm import remove
from mvc.ops.status import status
from mvc.repo.repository import Repository
from tests.e2e.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"a": b"one", "b": b"two", "d/c": b"three"})
    return world


def test_each_kind_of_change_is_told_apart(world: World) -> None:
    world.write("a", b"ONE")
    (world.root / "b").unlink()
    world.write("new", b"x")
    world.add("new")
    world.write("other", b"x")
    found = world.status()
    assert (found.added, found.modified, found.deleted, found.untracked) == (
        ("new",),
        ("a",),
        ("b",),
        ("other",),
    )
    assert (found.branch, found.head, found.clean) == ("main", world.repo.head_commit(), False)


def test_untracked_files_leave_the_working_copy_clean(world: World) -> None:
    world.write("x", b"x")
    assert world.status().clean


def test_a_file_that_is_no_longer_tracked_counts_as_deleted(world: World) -> None:
    remove(world.repo, [world.root / "a"], cached=True)
    found = world.status()
    assert (found.deleted, found.untracked) == (("a",), ("a",))


def test_a_touched_file_is_unchanged(world: World) -> None:
    (world.root / "a").touch()
    assert world.status().clean


def test_a_change_within_the_tick_of_the_clock_is_found(world: World) -> None:
    for number in range(30):
        world.write("a", b"%03d" % number)
        world.commit()
        world.write("a", b"X%02d" % number)
        assert world.status().modified == ("a",)


def test_a_change_that_keeps_size_and_times_is_found(world: World) -> None:
    path = world.root / "a"
    before = path.stat()
    world.write("a", b"ONE")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert world.status().modified == ("a",)


def test_the_clock_of_a_file_may_be_in_the_future_or_at_the_epoch(world: World) -> None:
    for time in (0, 4_000_000_000):
        os.utime(world.root / "a", (time, time))
        assert world.status().clean
        world.write("b", b"xyz")
        os.utime(world.root / "b", (time, time))
        assert world.status().modified == ("b",)
        world.write("b", b"two")


def test_it_does_not_wait_for_another_command(world: World) -> None:
    (world.root / "a").touch()
    with fileio.locked(world.repo.folder / "locks/worktree"):
        assert world.status().clean


def test_a_bare_repository_has_none(tmp_path: Path) -> None:
    with Repository.init(tmp_path / "b", bare=True) as repo, pytest.raises(UsageError):
        status(repo)
