"""Versions made from memory: the working copy stays as it is, and nothing in it is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import FormatError, MvcError, NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.ops.checkout import checkout, switch
from mvc.ops.commit import CommitRequest
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.restore import restore
from mvc.repo.repository import Repository
from tests.e2e.world import ENVIRONMENT, World, contents

ARRAYS = {"w": np.arange(2000, dtype=np.float32), "b": np.zeros((), np.float64)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"other": b"other", "m": b"old"})
    return world


def record(world: World, path: str = "m", step: float = 0.0) -> ObjectId:
    arrays = {name: item + np.asarray(step, item.dtype) for name, item in ARRAYS.items()}
    return commit_arrays(world.repo, arrays, path, CommitRequest("from memory"))


def test_no_file_is_written_and_the_others_are_those_of_head(world: World, tmp_path: Path) -> None:
    record(world)
    assert contents(world.root) == {"other": b"other", "m": b"old"}
    assert world.status().clean
    exported = world.exported("HEAD", tmp_path / "out")
    assert exported["other"] == b"other"
    assert exported["m"].endswith(ARRAYS["w"].tobytes())
    world.check()


def test_the_file_is_the_one_that_the_safetensors_package_writes(
    world: World, tmp_path: Path
) -> None:
    safetensors_numpy = pytest.importorskip("safetensors.numpy")
    record(world)
    assert world.exported("HEAD", tmp_path / "out")["m"] == safetensors_numpy.save(dict(ARRAYS))


def test_a_file_with_work_that_was_never_committed_still_counts_as_changed(world: World) -> None:
    world.write("m", b"mine")
    record(world)
    assert world.status().modified == ("m",)
    with pytest.raises(NegativeAnswer, match="would be lost: m"):
        checkout(world.repo, "HEAD~1")
    assert world.read("m") == b"mine"


def test_a_file_that_appears_later_counts_as_changed(world: World) -> None:
    record(world, "new.safetensors")
    assert world.status().clean
    world.write("new.safetensors", b"mine")
    assert world.status().modified == ("new.safetensors",)


def test_restore_and_switch_bring_the_file(world: World, tmp_path: Path) -> None:
    record(world)
    want = world.exported("HEAD", tmp_path / "out")["m"]
    restore(world.repo, [world.root / "m"])
    assert world.read("m") == want
    record(world, step=1.0)
    switch(world.repo, "old", create=True, start="HEAD~2")
    assert world.read("m") == b"old"
    switch(world.repo, "main")
    assert world.read("m") == world.exported("main", tmp_path / "out2")["m"]


def test_other_changes_of_the_working_copy_are_not_taken(world: World, tmp_path: Path) -> None:
    world.write("other", b"mine")
    record(world)
    assert world.exported("HEAD", tmp_path / "out")["other"] == b"other"
    assert world.status().modified == ("other",)


def test_a_bare_repository_takes_versions_one_after_the_other(tmp_path: Path) -> None:
    with Repository.init(tmp_path / "b", bare=True, environment=ENVIRONMENT) as repo:
        first = commit_arrays(repo, ARRAYS, "m", CommitRequest("1"))
        second = commit_arrays(repo, ARRAYS, "d/n", CommitRequest("2"))
        assert repo.commit(second).parents == (first,)


@pytest.mark.parametrize("path", ["", "..", "../x", "/x", "a//b", ".mvc/x", "con", "a\nb", "C:x"])
def test_a_path_that_is_none_is_refused(world: World, path: str) -> None:
    before = world.packs()
    with pytest.raises(FormatError):
        record(world, path)
    assert world.packs() == before


@pytest.mark.parametrize("path", ["M", "m/below", "Other/x"])
def test_a_path_that_clashes_with_a_file_is_refused(world: World, path: str) -> None:
    head = world.repo.head_commit()
    with pytest.raises(NegativeAnswer):
        record(world, path)
    assert world.repo.head_commit() == head
    assert world.status().clean


@pytest.mark.parametrize(
    "value",
    [np.array(["text"]), np.array([{}], object), np.array([(1, 2.0)], "i4,f8"), "text", None, {}],
    ids=repr,
)
def test_what_is_no_tensor_is_refused_in_one_sentence(world: World, value: object) -> None:
    head = world.repo.head_commit()
    with pytest.raises(MvcError) as caught:
        commit_arrays(world.repo, {"w": value}, "m", CommitRequest("x"))
    assert "'w'" in caught.value.message
    assert "\n" not in caught.value.message
    assert world.repo.head_commit() == head


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.arange(12, dtype="<f8").reshape(3, 4).T,
        np.arange(12, dtype=np.int16)[::-2],
        np.broadcast_to(np.float32(1), (5, 5)),
        np.array([True, False]),
        np.zeros((0, 3), np.uint8),
        np.array(1 + 2j, np.complex64),
    ],
    ids=lambda item: f"{item.dtype.str}{item.shape}{item.strides}",
)
def test_any_view_of_an_array_comes_back_with_its_values(world: World, array: np.ndarray) -> None:
    from mvc.api import Repository as Api

    commit_arrays(world.repo, {"w": array}, "m", CommitRequest("x"))
    with Api.open(world.root) as api:
        found = api.load("HEAD", "m")["w"]
    assert found.shape == array.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(found, array)
    assert found.flags.writeable
