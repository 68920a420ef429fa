"""Writing a version into a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import IntegrityError, NegativeAnswer, NotFoundError
from mvc.ops.export import export
from tests.e2e.world import World, contents, network, weights

FILES = {"a": b"one", "d/b": b"two", "d/e/c": b"", "m": network({"w": weights(1, 1 << 20)})}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save(FILES)
    return world


def test_all_files_are_written_and_nothing_else(world: World, tmp_path: Path) -> None:
    result = export(world.repo, "HEAD", tmp_path / "x/y/out")
    assert (result.files, result.bytes) == (4, sum(map(len, FILES.values())))
    assert contents(tmp_path / "x/y/out") == FILES
    assert sorted(item.name for item in (tmp_path / "x/y/out").iterdir()) == ["a", "d", "m"]


def test_a_file_or_a_folder_can_be_named(world: World, tmp_path: Path) -> None:
    export(world.repo, "main:d", tmp_path / "1")
    assert contents(tmp_path / "1") == {"b": b"two", "e/c": b""}
    export(world.repo, "main:d/b", tmp_path / "2")
    assert contents(tmp_path / "2") == {"b": b"two"}
    with pytest.raises(NotFoundError):
        export(world.repo, "main:nowhere", tmp_path / "3")
    assert not (tmp_path / "3").exists()


def test_an_existing_file_is_never_touched(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "d").mkdir(parents=True)
    (out / "d/b").write_bytes(b"mine")
    with pytest.raises(NegativeAnswer, match="exists already"):
        export(world.repo, "HEAD", out)
    assert contents(out) == {"d/b": b"mine"}


def test_an_empty_folder_with_other_files_is_added_to(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_bytes(b"mine")
    export(world.repo, "HEAD", out)
    assert contents(out) == {**FILES, "mine": b"mine"}


def test_a_link_in_the_target_is_never_followed(world: World, tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "d").symlink_to(outside)
    with pytest.raises(NegativeAnswer):
        export(world.repo, "HEAD", out)
    assert contents(outside) == {}


def test_damaged_bytes_are_never_written(world: World, tmp_path: Path) -> None:
    for pack in (world.repo.folder / "packs").glob("*.tail"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o644)
        pack.write_bytes(data)
    world.reopen()
    with pytest.raises(IntegrityError):
        export(world.repo, "HEAD", tmp_path / "out")
    assert not (tmp_path / "out/m").exists()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".mvc")]


def test_an_export_that_was_cut_off_is_completed_by_running_it_again(
    world: World, tmp_path: Path
) -> None:
    export(world.repo, "HEAD", tmp_path / "out")
    (tmp_path / "out/m").unlink()
    kept = (tmp_path / "out/a").stat().st_ino
    export(world.repo, "HEAD", tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert (tmp_path / "out/a").stat().st_ino == kept
