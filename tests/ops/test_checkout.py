"""Going to another version: what is written, what is kept, what is refused before it starts."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from mvc.base import fileio
from mvc.base.errors import (
    IntegrityError,
    NegativeAnswer,
    NotFoundError,
    StorageError,
    UsageError,
)
from mvc.ops import branch, tag
from mvc.ops.checkout import checkout, switch
from mvc.ops.commit import CommitRequest
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.rm import remove
from mvc.repo import worktree
from tests.e2e.faults import FaultyOs
from tests.e2e.world import World, contents

ONE = {"a": b"one" * 1000, "d/b": b"two"}
TWO = {"a": b"three" * 1000, "new/c": b"four"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """At the first of two versions, `main` being at the second."""
    world = World(tmp_path / "w")
    world.save(ONE, "first")
    (world.root / "d/b").unlink()
    world.save(TWO, "second")
    checkout(world.repo, "HEAD~1")
    return world


def test_files_come_and_go_with_the_version(world: World) -> None:
    assert contents(world.root) == ONE
    assert world.repo.refs.head().branch is None
    result = checkout(world.repo, "main")
    assert (result.branch, result.written) == ("main", 2)
    assert contents(world.root) == TWO
    assert not (world.root / "d").exists()
    assert world.status().clean
    assert world.leftovers() == []


def test_uncommitted_work_is_not_lost(world: World) -> None:
    world.write("a", b"mine")
    with pytest.raises(NegativeAnswer, match="would be lost: a"):
        checkout(world.repo, "main")
    assert contents(world.root) == {**ONE, "a": b"mine"}
    checkout(world.repo, "main", force=True)
    assert contents(world.root) == TWO


def test_an_untracked_file_is_not_overwritten(world: World) -> None:
    world.write("new/c", b"mine")
    with pytest.raises(NegativeAnswer, match="new/c"):
        checkout(world.repo, "main")
    assert world.read("new/c") == b"mine"
    world.write("new/c", b"four")
    checkout(world.repo, "main")


def test_changes_to_a_file_that_is_equal_in_both_versions_are_kept(world: World) -> None:
    checkout(world.repo, "main")
    switch(world.repo, "side", create=True)
    world.save({"a": b"side"})
    world.write("new/c", b"mine")
    switch(world.repo, "main")
    assert world.read("new/c") == b"mine"
    assert world.status().modified == ("new/c",)


def _directory(path: Path) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner/x").write_bytes(b"mine")


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


OBSTACLES = {
    "a directory": _directory,
    "an empty directory": lambda path: path.mkdir(),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link to a file": lambda path: path.symlink_to("../outside"),
    "a pipe": os.mkfifo,
    "a socket": _socket,
}


@pytest.mark.parametrize("kind", OBSTACLES)
@pytest.mark.parametrize("place", ["a", "new/c"])
def test_whatever_is_in_the_way_of_a_file_is_named_before_anything_changes(
    world: World, kind: str, place: str
) -> None:
    (world.root.parent / "outside").write_bytes(b"outside")
    target = world.root / place
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    OBSTACLES[kind](target)
    mode = target.lstat().st_mode
    before = contents(world.root)
    with pytest.raises(NegativeAnswer, match=f"{place} is in the way"):
        checkout(world.repo, "main")
    assert contents(world.root) == before
    assert target.lstat().st_mode == mode
    assert (world.root.parent / "outside").read_bytes() == b"outside"
    assert world.repo.refs.head().branch is None


@pytest.mark.parametrize("kind", ["a link to a file", "a dangling link", "a pipe"])
def test_force_replaces_a_link_and_never_follows_it(world: World, kind: str) -> None:
    (world.root.parent / "outside").write_bytes(b"outside")
    (world.root / "a").unlink()
    OBSTACLES[kind](world.root / "a")
    checkout(world.repo, "main", force=True)
    assert not (world.root / "a").is_symlink()
    assert contents(world.root) == TWO
    assert (world.root.parent / "outside").read_bytes() == b"outside"
    assert not (world.root / "nowhere").exists()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["a file", "a link to a directory"])
def test_a_directory_component_that_is_none_is_never_followed(
    world: World, kind: str, force: bool
) -> None:
    outside = world.root.parent / "outside"
    outside.mkdir()
    if kind == "a file":
        (world.root / "new").write_bytes(b"mine")
    else:
        (world.root / "new").symlink_to(outside)
    before = contents(world.root)
    with pytest.raises(NegativeAnswer, match="new is in the way"):
        checkout(world.repo, "main", force=force)
    assert contents(world.root) == before
    assert list(outside.iterdir()) == []


def test_a_file_becomes_a_folder_and_back(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"x": b"file"}, "file")
    (world.root / "x").unlink()
    world.save({"x/y/z": b"below"}, "folder")
    checkout(world.repo, "HEAD~1")
    assert contents(world.root) == {"x": b"file"}
    checkout(world.repo, "main")
    assert contents(world.root) == {"x/y/z": b"below"}
    world.write("x/y/mine", b"mine")
    with pytest.raises(NegativeAnswer, match="x is in the way"):
        checkout(world.repo, "HEAD~1")
    assert contents(world.root) == {"x/y/z": b"below", "x/y/mine": b"mine"}


@pytest.mark.parametrize("when", ["before", "while"])
def test_a_file_that_training_writes_during_a_checkout_is_left_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real = worktree.Worktree.write

    def trained(tree: worktree.Worktree, *args: object, **options: object) -> None:
        world.write("a", b"epoch 7")
        real(tree, *args, **options)  # type: ignore[arg-type]

    if when == "before":
        monkeypatch.setattr(worktree.Worktree, "write", trained)
    else:
        seal = fileio.StagedFile.seal

        def sealed(staged: fileio.StagedFile, **options: bool) -> Path:
            world.write("a", b"epoch 7")
            return seal(staged, **options)

        monkeypatch.setattr(fileio.StagedFile, "seal", sealed)
    with pytest.raises(NegativeAnswer, match="a changed meanwhile"):
        checkout(world.repo, "main")
    assert world.read("a") == b"epoch 7"
    monkeypatch.undo()
    checkout(world.repo, "main", force=True)
    assert contents(world.root) == TWO


def test_an_open_file_keeps_its_bytes_through_a_checkout(world: World) -> None:
    with (world.root / "a").open("rb") as reader:
        mapped = np.memmap(reader, np.uint8, "r")
        checkout(world.repo, "main")
        assert bytes(mapped) == ONE["a"]


def test_a_disk_that_fills_up_leaves_whole_files_and_the_same_command_completes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("cannot write: no space left on device")

    monkeypatch.setattr(fileio.StagedFile, "write", full)
    with pytest.raises(StorageError):
        checkout(world.repo, "main")
    monkeypatch.undo()
    for name, data in contents(world.root).items():
        assert data in (ONE.get(name), TWO.get(name))
    world.reopen()
    checkout(world.repo, "main")
    assert contents(world.root) == TWO
    assert world.leftovers() == []


def test_switch_makes_a_branch_and_refuses_one_that_is_there(world: World) -> None:
    assert switch(world.repo, "side", create=True).written == 0
    assert world.repo.refs.head().branch == "side"
    with pytest.raises(NegativeAnswer, match="exists already"):
        switch(world.repo, "main", create=True)
    with pytest.raises(NotFoundError, match="no branch nowhere"):
        switch(world.repo, "nowhere")
    with pytest.raises(NegativeAnswer, match="current branch"):
        branch.delete(world.repo, "side")


def test_a_branch_can_be_chosen_before_the_first_commit(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    assert switch(world.repo, "trunk", create=True).commit is None
    world.save(ONE)
    assert world.status().branch == "trunk"
    assert [item.name for item in branch.branches(world.repo)] == ["trunk"]


def test_a_file_that_was_untracked_on_purpose_stays_untracked(world: World) -> None:
    remove(world.repo, [world.root / "a"], cached=True)
    world.commit("without a")
    assert world.status().untracked == ("a",)
    with pytest.raises(NegativeAnswer, match="would be lost: a"):
        checkout(world.repo, "main")


def test_a_file_committed_from_memory_is_written_by_the_next_checkout(world: World) -> None:
    checkout(world.repo, "main")
    commit_arrays(world.repo, {"w": np.arange(9.0)}, "m.safetensors", CommitRequest("memory"))
    assert world.status().clean
    assert not (world.root / "m.safetensors").exists()
    checkout(world.repo, "HEAD", force=True)
    assert (world.root / "m.safetensors").exists()
    assert world.status().clean


def test_a_file_that_has_its_new_content_already_is_tracked(world: World) -> None:
    world.write("new/c", TWO["new/c"])
    checkout(world.repo, "main")
    assert world.status().clean
    world.reopen()
    assert world.status().clean
    assert world.status().untracked == ()


def test_a_file_that_cannot_be_removed_is_an_error_and_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(name: str, args: tuple[object, ...]) -> None:
        if name == "open" and args[0] == "d":
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fileio, "os", FaultyOs(hook, reads=True))
    with pytest.raises(StorageError, match="cannot enter d"):
        checkout(world.repo, "main")
    monkeypatch.undo()
    checkout(world.repo, "main")
    assert contents(world.root) == TWO


def test_commits_that_only_the_reflog_keeps_are_told_with_their_number(world: World) -> None:
    assert checkout(world.repo, "main").left is None
    checkout(world.repo, "HEAD~1")
    lost = [world.save({"a": number}, "lost").id for number in (b"x", b"y")]
    done = switch(world.repo, "main")
    assert (done.left, done.left_count) == (lost[1], 2)
    checkout(world.repo, lost[1].hex())
    branch.create(world.repo, "kept", lost[0].hex())
    done = switch(world.repo, "main")
    assert (done.left, done.left_count) == (lost[1], 1)
    checkout(world.repo, lost[1].hex())
    tag.create(world.repo, "v1", message="annotated")
    assert switch(world.repo, "main").left is None


def test_damage_elsewhere_does_not_spoil_a_switch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.save({"a": b"lost"}, "lost")

    def damaged(*_: object) -> None:
        raise IntegrityError("damaged")

    monkeypatch.setattr("mvc.ops.checkout.walk", damaged)
    assert switch(world.repo, "main").left is None
    assert world.status().branch == "main"


def test_a_tag_is_no_branch_but_can_be_gone_to(world: World) -> None:
    tag.create(world.repo, "v1")
    with pytest.raises(NotFoundError) as caught:
        switch(world.repo, "v1")
    assert caught.value.hint == "`mvc switch --detach v1` goes to that version"
    with pytest.raises(NotFoundError) as caught:
        switch(world.repo, "v2")
    assert caught.value.hint == "`mvc switch -c v2` makes it"


@pytest.mark.parametrize("name", ["HEAD^^", "HEAD~2", "main~9", "@^2"])
def test_no_version_is_before_the_first(world: World, name: str) -> None:
    with pytest.raises(NotFoundError, match="further than the first commit"):
        checkout(world.repo, name)


@pytest.mark.parametrize("name", ["a b", "..", "ä\0", "x" * 2000, "a//b", "/", "a/"])
def test_a_name_that_no_ref_can_have_is_not_found(world: World, name: str) -> None:
    assert world.repo.refs.get(f"refs/heads/{name}") is None
    with pytest.raises((NotFoundError, UsageError)):
        checkout(world.repo, name)
