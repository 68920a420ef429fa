from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import mvc
from mvc.base.errors import NotFoundError, UsageError
from mvc.base.ids import ObjectId, parse_id
from mvc.ops.drift import METRICS, DriftRequest, DriftResult, Metric, drift, outliers, value
from mvc.repo.refs import Change
from mvc.repo.repository import Repository
from mvc.store import decode

Arrays = dict[str, np.ndarray[Any, Any]]


class Fleet:
    """A repository with a release and versions that start from it."""

    def __init__(self, folder: Path, release: Arrays) -> None:
        self.api = mvc.Repository.init(folder, author="Ada")
        self.release = self.commit(release, "release")
        self.move("refs/tags/v1", self.release)
        self.arrays: dict[str, Arrays] = {}

    @property
    def inner(self) -> Repository:
        return self.api._inner

    def commit(self, arrays: Arrays, message: str) -> ObjectId:
        return parse_id(self.api.commit(arrays, message))

    def move(self, ref: str, new: ObjectId | None) -> None:
        old = self.inner.refs.get(ref)
        self.inner.refs.update(ref, old, new, Change(old, new, "Ada", 0, "test"))

    def add(self, name: str, arrays: Arrays) -> None:
        self.move("refs/heads/main", self.release)
        self.move(f"refs/heads/devices/{name}", self.commit(arrays, name))
        self.move("refs/heads/main", self.release)
        self.arrays[f"devices/{name}"] = arrays

    def drift(self, *refs: str, **options: Any) -> DriftResult:
        return drift(self.inner, DriftRequest(refs, **options))


def network(seed: int, dtype: Any = np.float32) -> Arrays:
    random = np.random.default_rng(seed)
    shapes = {"a.weight": (40, 30), "a.bias": (40,), "b.weight": (7,), "same.weight": (5, 5)}
    return {
        name: random.standard_normal(shape).astype(dtype) if name != "same.weight"
        else np.ones(shape, dtype)
        for name, shape in shapes.items()
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_distances_are_those_of_a_plain_computation(tmp_path: Path, dtype: Any) -> None:
    base = network(0, dtype)
    fleet = Fleet(tmp_path, base)
    for seed in (1, 2):
        fleet.add(f"d{seed}", network(seed, dtype))
    found = fleet.drift()
    assert [layer.name for layer in found.layers] == ["a", "b"]
    assert found.equal_layers == 1
    assert (found.base, found.base_name) == (fleet.release, "v1")
    for item in found.versions:
        arrays = fleet.arrays[item.name]
        for layer, cell in zip(found.layers, item.layers, strict=True):
            names = [name for name in base if name.startswith(layer.name + ".")]
            old, new = (
                np.concatenate([each[name].astype(np.float64).ravel() for name in names])
                for each in (base, arrays)
            )
            assert cell is not None
            change = np.linalg.norm(new - old)
            cosine = old @ new / np.linalg.norm(old) / np.linalg.norm(new)
            assert cell.l2 == pytest.approx(change, rel=1e-12)
            assert cell.relative == pytest.approx(change / np.linalg.norm(old), rel=1e-12)
            assert cell.cosine == pytest.approx(1 - cosine, abs=1e-12)
            assert cell.share == np.mean(old != new)


def test_small_angles_are_not_rounded_away(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"w.x": np.array([1.0, 0.0])})
    fleet.add("d", {"w.x": np.array([1.0, 1e-9])})
    (item,) = fleet.drift("devices/d").versions
    assert item.total.cosine == pytest.approx(5e-19, rel=1e-6)


def test_versions_that_share_a_tensor_with_the_base_or_with_each_other_read_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 1 << 12
    random = np.random.default_rng(0)
    base = {f"l{n}.w": random.standard_normal(size).astype(np.float32) for n in range(8)}
    fleet = Fleet(tmp_path, base)
    moved = {**base, "l3.w": base["l3.w"] + np.float32(0.01)}
    for name in "abc":
        fleet.add(name, moved)
    read: list[ObjectId] = []
    original = decode._chain

    def counted(store: Any, wanted: ObjectId) -> Any:
        read.append(wanted)
        return original(store, wanted)

    monkeypatch.setattr(decode, "_chain", counted)
    found = fleet.drift()
    assert len(read) == len(set(read)) == 2
    assert [layer.name for layer in found.layers] == ["l3"]
    assert len({item.total.relative for item in found.versions}) == 1


def test_what_cannot_be_compared_is_counted_and_not_guessed(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, network(0))
    other = network(1)
    del other["b.weight"]
    other["a.bias"] = np.zeros(41, np.float32)
    other["new.weight"] = np.zeros(3, np.float32)
    fleet.add("odd", other)
    (item,) = fleet.drift().versions
    assert (item.missing, item.added, item.reshaped, item.recast) == (1, 1, 1, 0)
    assert [cell is None for cell in item.layers] == [False, True]
    assert item.total.elements == 1200


def test_other_dtypes_are_compared_by_value(tmp_path: Path) -> None:
    base = network(0)
    fleet = Fleet(tmp_path, base)
    fleet.add("half", {name: item.astype(np.float16) for name, item in base.items()})
    (item,) = fleet.drift().versions
    assert item.recast == 4
    assert item.total.relative is not None
    assert 1e-5 < item.total.relative < 1e-3


def test_elements_that_are_not_finite_are_counted_and_left_out(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"w.x": np.array([1.0, 2.0, 2.0])})
    fleet.add("d", {"w.x": np.array([1.0, np.nan, 4.0])})
    (item,) = fleet.drift("devices/d").versions
    assert item.total.nonfinite == 1
    assert item.total.l2 == 2.0
    assert item.total.relative == pytest.approx(2 / math.sqrt(5))


def test_integers_and_booleans_have_distances_too(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"i.x": np.array([3, 4]), "b.x": np.array([True, False])})
    fleet.add("d", {"i.x": np.array([3, 7]), "b.x": np.array([True, True])})
    (item,) = fleet.drift("devices/d").versions
    assert [cell.l2 for cell in item.layers if cell] == [1.0, 3.0]


def test_a_version_far_above_the_median_stands_out_with_its_layer(tmp_path: Path) -> None:
    base = network(0)
    fleet = Fleet(tmp_path, base)
    random = np.random.default_rng(9)
    for number in range(8):
        step = np.float32(0.001 * (1 + number / 10))
        arrays = {n: (v + step * random.standard_normal(v.shape)).astype(np.float32)
                  for n, v in base.items()}  # fmt: skip
        if number == 5:
            arrays["b.weight"] = arrays["b.weight"] + np.float32(2)
        fleet.add(f"d{number}", arrays)
    found = fleet.drift()
    assert found.versions[0].name == "devices/d5"
    (far,) = outliers(found, "relative")
    assert far.name == "devices/d5"
    assert far.layer is not None
    assert far.layer.name == "b"


def test_one_that_moved_among_many_that_did_not_stands_out(tmp_path: Path) -> None:
    base = network(0)
    fleet = Fleet(tmp_path, base)
    for number in range(20):
        fleet.add(f"d{number}", network(1) if number == 3 else base)
    (far,) = outliers(fleet.drift(), "relative")
    assert (far.name, far.times) == ("devices/d3", None)


@pytest.mark.parametrize("metric", METRICS)
def test_a_few_or_equal_versions_have_no_outliers(tmp_path: Path, metric: Metric) -> None:
    fleet = Fleet(tmp_path, network(0))
    for number in range(4):
        fleet.add(f"d{number}", network(number * 100))
    assert outliers(fleet.drift(), metric) == ()
    assert all(value(item.total, metric) is not None for item in fleet.drift().versions)


def test_patterns_of_refs_and_of_tensors_choose(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, network(0))
    for name in ("car-1", "car-2", "bike-1"):
        fleet.add(name, network(len(name)))
    assert {item.name for item in fleet.drift("devices/car-*").versions} == {
        "devices/car-1",
        "devices/car-2",
    }
    found = fleet.drift(paths=("model.safetensors:*.bias",))
    assert [layer.elements for layer in found.layers] == [40]


def test_a_fleet_without_a_base_is_refused_with_a_way_out(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, network(0))
    with pytest.raises(UsageError, match="no branches devices"):
        fleet.drift()
    with pytest.raises(NotFoundError, match="no branch or tag matches"):
        fleet.drift("x/*")
    fleet.add("d", network(1))
    with pytest.raises(NotFoundError, match="no model file"):
        fleet.drift(paths=("other.pt",))
    assert fleet.drift("devices/d", base="devices/d").layers == ()


def test_one_and_two_threads_give_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path, network(0))
    for seed in range(1, 4):
        fleet.add(f"d{seed}", network(seed))
    many = fleet.drift()
    from mvc.base import parallel

    with parallel.in_place():
        assert fleet.drift() == many
