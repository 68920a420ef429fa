"""The Python interface, as its documentation says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

import mvc
from tests.e2e import files
from tests.e2e.world import World, network, weights

ARRAYS = {"layer.weight": np.arange(6000, dtype=np.float32).reshape(60, 100)}


@pytest.fixture
def repo(tmp_path: Path) -> mvc.Repository:
    return mvc.Repository.init(tmp_path / "r", author="Tester")


def test_arrays_come_back_from_any_version(repo: mvc.Repository) -> None:
    first = repo.commit(ARRAYS, "one", params={"lr": 0.1}, metrics={"accuracy@imagenet[val]": 0.9})
    second = repo.commit({"layer.weight": ARRAYS["layer.weight"] + 1}, "two", labels={"d": "car"})
    assert np.array_equal(repo.load()["layer.weight"], ARRAYS["layer.weight"] + 1)
    assert np.array_equal(repo.load(first)["layer.weight"], ARRAYS["layer.weight"])
    assert np.array_equal(repo.load("HEAD~1")["layer.weight"], ARRAYS["layer.weight"])
    newest, oldest = repo.log()
    assert (newest.id, newest.parents, newest.labels) == (second, (first,), {"d": "car"})
    assert (oldest.params, oldest.metrics) == ({"lr": 0.1}, {"accuracy@imagenet[val]": 0.9})
    assert newest.time.tzinfo is not None
    assert list(repo.files()) == ["model.safetensors"]


@given(files.arrays())
@settings(max_examples=20)
def test_any_arrays_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, given: dict[str, np.ndarray]
) -> None:
    with mvc.Repository.init(tmp_path_factory.mktemp("r"), author="T") as repo:
        version = repo.commit(given, "x")
        found = repo.load(version)
    assert found.keys() == given.keys()
    for name, array in given.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_what_was_loaded_can_be_changed_without_changing_the_version(repo: mvc.Repository) -> None:
    repo.commit(ARRAYS, "x")
    repo.load()["layer.weight"][:] = 7
    assert np.array_equal(repo.load()["layer.weight"], ARRAYS["layer.weight"])


def test_an_open_safetensors_file_can_be_committed(repo: mvc.Repository, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors")
    path = tmp_path / "m.safetensors"
    path.write_bytes(network({"w": weights(1, 4000), "v": weights(2, 40)}))
    with safetensors.safe_open(path, framework="numpy") as file:
        repo.commit(file, "x")
    assert repo.load()["w"].tobytes() == weights(1, 4000)


def test_what_a_version_takes_can_be_asked(repo: mvc.Repository) -> None:
    first = repo.commit(ARRAYS, "one")
    second = repo.commit(ARRAYS, "two")
    found = repo.stats()
    on_disk = [path.stat().st_size for path in repo.path.rglob("*") if path.is_file()]
    assert found.stored_bytes == sum(on_disk)
    assert list(found.versions) == [second, first]
    assert found.versions[second].new == 0
    assert found.by_cause["equal"].tensors == 1
    assert found.depth[0].chunks == 1
    assert repo.stats(first).raw_bytes * 2 == found.raw_bytes


def test_equal_arrays_cost_a_commit_and_nothing_more(repo: mvc.Repository) -> None:
    def stored() -> int:
        return sum(path.stat().st_size for path in (repo.path / "packs").iterdir())

    repo.commit(ARRAYS, "x")
    before = stored()
    repo.commit(ARRAYS, "x again")
    assert stored() - before < 1500


def test_the_model_is_found_where_there_is_one_and_asked_for_where_there_are_two(
    repo: mvc.Repository,
) -> None:
    with pytest.raises(mvc.NotFoundError, match="no commits"):
        repo.load()
    repo.commit(ARRAYS, "x", path="a.safetensors")
    assert list(repo.load()) == ["layer.weight"]
    repo.commit(ARRAYS, "x", path="b.safetensors")
    with pytest.raises(mvc.UsageError, match="2 models"):
        repo.load()
    assert list(repo.load("HEAD", "b.safetensors")) == ["layer.weight"]
    with pytest.raises(mvc.NotFoundError):
        repo.load("HEAD", "c.safetensors")


def test_a_file_without_tensors_is_no_model(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"text": b"text"})
    with mvc.Repository.open(world.root) as repo:
        with pytest.raises(mvc.UsageError, match="no tensors"):
            repo.load("HEAD", "text")
        with pytest.raises(mvc.NotFoundError, match="no file with tensors"):
            repo.load()


def test_nobody_commits_without_a_name(tmp_path: Path) -> None:
    with mvc.Repository.init(tmp_path / "r") as repo, pytest.raises(mvc.UsageError, match="author"):
        repo.commit(ARRAYS, "x")


def test_a_folder_without_a_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(mvc.NotFoundError, match="not in an mvc repository"):
        mvc.Repository.open(tmp_path)


def test_a_bare_repository_serves_programs(tmp_path: Path) -> None:
    with mvc.Repository.init(tmp_path / "r", bare=True, author="T") as repo:
        repo.commit(ARRAYS, "x")
    with mvc.Repository.open(tmp_path / "r") as repo:
        assert list(repo.load()) == ["layer.weight"]


def test_damaged_weights_are_never_returned(repo: mvc.Repository) -> None:
    repo.commit({"w": np.random.default_rng(1).standard_normal(50_000)}, "x")
    for pack in (repo.path / "packs").glob("*.tail"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.write_bytes(data)
    repo.close()
    with mvc.Repository.open(repo.path) as again, pytest.raises(mvc.IntegrityError):
        again.load()


def test_every_public_name_is_there_and_importing_costs_no_numpy() -> None:
    for name in mvc.__all__:
        assert getattr(mvc, name) is not None
    with pytest.raises(AttributeError):
        mvc.nothing  # noqa: B018
    code = "import sys, mvc; sys.exit(any(name in sys.modules for name in ('numpy', 'click')))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ["metrics", "params", "labels"])
def test_a_description_that_cannot_be_kept_is_refused(repo: mvc.Repository, kind: str) -> None:
    bad: dict[str, dict[str, object]] = {
        "metrics": {"loss": float("nan")},
        "params": {"x": [1]},
        "labels": {"x": 1},
    }
    with pytest.raises(mvc.MvcError) as caught:
        repo.commit(ARRAYS, "x", **{kind: bad[kind]})  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    with pytest.raises(mvc.NotFoundError):
        next(repo.log())


def test_versions_are_compared_as_dataclasses(tmp_path: Path) -> None:
    weights = {"a.w": np.ones((4, 3), "f4"), "b": np.zeros(4, "f4")}
    with mvc.Repository.init(tmp_path / "repo", author="Ada <ada@example.org>") as repo:
        first = repo.commit(weights, "one")
        second = repo.commit({**weights, "b": np.ones(4, "f4")}, "two")
        (file,) = repo.diff(first, second).files
        assert file.tensors is not None
        (tensor,) = file.tensors.changed
        assert tensor.weights is not None
        assert (tensor.name, tensor.weights.l2, file.tensors.unchanged) == ("b", 2.0, 1)
        (plain,) = repo.diff(first, second, weights=False).files
        assert plain.tensors is not None
        assert plain.tensors.changed[0].weights is None
        (same,) = repo.diff(f"{first}:model.safetensors", f"{second}:model.safetensors").files
        assert same.tensors == file.tensors
        assert repo.diff(first, second, paths=["model.safetensors:a.*"]).files == ()
        repo.export(tmp_path / "one", first)
        repo.export(tmp_path / "two", second)
    found = mvc.diff_files(tmp_path / "one", tmp_path / "two")
    assert isinstance(found, mvc.DiffResult)
    assert [item.path for item in found.files] == ["model.safetensors"]
