"""What becomes tracked, and what is refused with nothing tracked at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.ops.add import add
from mvc.repo.repository import Repository
from tests.e2e.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    for name in ("a", "sub/b", "sub/deep/c", "other/d"):
        world.write(name, name.encode())
    return world


def test_files_and_folders_are_tracked_once(world: World) -> None:
    assert world.add("a", "sub").added == ("a", "sub/b", "sub/deep/c")
    again = world.add("a", "sub", ".")
    assert again.added == ("other/d",)
    assert again.already == ("a", "sub/b", "sub/deep/c")


def test_nothing_is_read_and_nothing_is_stored(world: World) -> None:
    world.add()
    assert world.packs() == {}
    assert world.status().added == ("a", "other/d", "sub/b", "sub/deep/c")


@pytest.mark.parametrize("path", ["sub/..", "sub/deep/../..", ".", "sub/../."])
def test_the_top_folder_can_be_named_from_below(world: World, path: str) -> None:
    assert len(world.add(path).added) == 4


def test_a_missing_path_leaves_everything_untracked(world: World) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        world.add("a", "nowhere")
    assert world.status().added == ()


def test_a_name_of_other_systems_leaves_everything_untracked(world: World) -> None:
    world.write("con", b"x")
    with pytest.raises(NegativeAnswer, match="device"):
        world.add()
    assert world.status().added == ()


@pytest.mark.parametrize(("one", "two"), [("Model", "model"), ("e\u0301", "é")])
def test_two_names_that_are_one_file_elsewhere_are_refused(
    world: World, one: str, two: str
) -> None:
    world.write(one, b"1")
    world.write(two, b"2")
    if len(list(world.root.iterdir())) < 6:
        pytest.skip("this file system takes them for one file, too")
    with pytest.raises(NegativeAnswer, match="one file on some systems"):
        world.add()
    world.add(one)
    with pytest.raises(NegativeAnswer, match="one file on some systems"):
        world.add(two)


def test_ignored_files_are_passed_over_and_refused_by_name(world: World) -> None:
    world.write(".mvcignore", b"*.tmp\n/other/\n")
    world.write("x.tmp", b"x")
    assert world.add().added == (".mvcignore", "a", "sub/b", "sub/deep/c")
    with pytest.raises(NegativeAnswer, match="is ignored"):
        world.add("x.tmp")
    assert add(world.repo, [world.root / "x.tmp"], force=True).added == ("x.tmp",)
    assert world.add("x.tmp").already == ("x.tmp",)


def test_the_folders_of_version_control_are_never_tracked(world: World) -> None:
    world.write(".git/config", b"x")
    world.write("sub/.git/config", b"x")
    assert len(world.add().added) == 4
    with pytest.raises(NegativeAnswer):
        world.add(".git/config")


def test_a_path_deeper_than_the_limit_is_refused_at_once(world: World) -> None:
    world.write("/".join(["d"] * 64), b"x")
    world.write("/".join(["e"] * 65), b"x")
    with pytest.raises(NegativeAnswer, match="deep"):
        world.add("e")
    world.add("d")
    world.commit()


def test_a_bare_repository_has_nothing_to_add(tmp_path: Path) -> None:
    with (
        Repository.init(tmp_path / "b", bare=True) as repo,
        pytest.raises(UsageError, match="bare"),
    ):
        add(repo, [tmp_path])


@pytest.mark.parametrize("bare", [False, True])
def test_the_files_of_a_repository_inside_are_its_own(world: World, bare: bool) -> None:
    Repository.init(world.root / "sub/inner", bare=bare).close()
    world.write("sub/inner/model", b"theirs")
    assert world.add().added == ("a", "other/d", "sub/b", "sub/deep/c")
    assert world.status().untracked == ()
