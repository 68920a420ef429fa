"""What is left of a repository when small files of it are lost or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import IntegrityError, MvcError
from mvc.ops.checkout import checkout, switch
from mvc.ops.fsck import fsck
from mvc.ops.reflog import reflog
from mvc.ops.reset import reset
from tests.e2e.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"a": b"one" * 1000, "d/b": b"two"}, "first")
    world.save({"a": b"three" * 1000}, "second")
    return world


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x93\x01\xcf"])
def test_a_lost_list_of_tracked_files_is_made_anew_from_head(
    world: World, content: bytes | None
) -> None:
    path = world.repo.folder / "worktree"
    path.unlink() if content is None else path.write_bytes(content)
    assert world.status().clean
    world.write("d/b", b"changed")
    assert world.status().modified == ("d/b",)
    world.commit()
    assert world.status().clean


def test_no_flipped_byte_of_the_list_of_tracked_files_changes_what_a_commit_holds(
    world: World,
) -> None:
    path = world.repo.folder / "worktree"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :])
        assert world.status().clean, at


@pytest.mark.parametrize("content", [b"", b"\n", b"ref: refs/tags/x\n", b"0" * 63, b"\0" * 41])
def test_a_damaged_head_is_named_and_a_switch_mends_it(world: World, content: bytes) -> None:
    before = world.repo.head_commit()
    (world.repo.folder / "HEAD").write_bytes(content)
    with pytest.raises(IntegrityError, match="HEAD is damaged") as caught:
        world.status()
    assert "switch" in (caught.value.hint or "")
    assert not fsck(world.repo).ok
    switch(world.repo, "main")
    assert world.repo.head_commit() == before
    assert world.status().clean
    world.check()


@pytest.mark.parametrize("content", [b"", b"zz" * 32 + b"\n", b"\xff" * 65])
def test_a_damaged_branch_is_named_and_a_reset_mends_it(world: World, content: bytes) -> None:
    before = world.repo.head_commit()
    assert before is not None
    (world.repo.folder / "refs/heads/main").write_bytes(content)
    with pytest.raises(IntegrityError, match="main is damaged") as caught:
        world.commit()
    assert "reset" in (caught.value.hint or "")
    assert reflog(world.repo, "main")[0].change.new == before
    reset(world.repo, before.hex())
    assert world.repo.refs.head().branch == "main"
    assert world.status().clean
    world.check()


def test_a_version_with_a_missing_object_does_not_keep_anybody_from_leaving_it(
    world: World,
) -> None:
    newest = sorted(
        (world.repo.folder / "packs").glob("*.head"), key=lambda path: path.stat().st_mtime_ns
    )[-1]
    newest.unlink()
    world.reopen()
    report = fsck(world.repo)
    assert not report.ok
    first = reflog(world.repo, "main")[1].change.new
    assert first is not None
    with pytest.raises(MvcError, match="would be lost"):
        checkout(world.repo, first.hex())
    checkout(world.repo, first.hex(), force=True)
    assert world.read("a") == b"one" * 1000


def test_a_torn_line_of_a_reflog_hides_only_itself(world: World) -> None:
    path = world.repo.folder / "logs/HEAD"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(reflog(world.repo)) == 1
    world.save({"a": b"more"})
    assert len(reflog(world.repo)) == 2


@pytest.mark.parametrize("name", ["refs/heads/main", "HEAD", "config.toml", "format"])
def test_every_flipped_byte_of_a_small_file_is_detected_or_harmless(
    world: World, name: str
) -> None:
    path = world.repo.folder / name
    if name == "config.toml":
        path.write_text('[user]\nname = "me"\n')
    whole = path.read_bytes()
    head = world.repo.head_commit()
    for at in range(len(whole)):
        for bit in (0x01, 0x20, 0x80):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            try:
                world.reopen()
                world.repo.config.all()
                found = world.status().head
                if found is not None:
                    world.repo.commit(found)
            except MvcError:
                continue
            assert found in (head, None), (at, bit)
    path.write_bytes(whole)
    world.reopen()
    assert world.status().clean
