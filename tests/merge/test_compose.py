from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load_file, save_file
from torch_files import ordered, save_zip, state_dict, storage, tensor

from mvc.base import fileio, parallel
from mvc.base.errors import UsageError
from mvc.formats import registry
from mvc.merge.compose import Composed, Given, compose
from mvc.merge.strategies import strategy
from mvc.merge.tensors import merged
from mvc.objects.model import Checkpoint
from mvc.repo.ingest import ingest
from mvc.repo.metadata import read_checkpoint
from mvc.repo.repository import Environment, Repository
from mvc.repo.tensors import StoredTensors
from mvc.store.transaction import Transaction
from tests.formats import test_gguf, test_tflite


class Files:
    """Model files of several versions in one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = Environment(author="Ada <ada@example.org>")
        self.repo = Repository.init(folder / "repository", environment=environment)
        self.store = self.repo.store
        self._count = 0

    def stored(self, path: Path) -> Checkpoint:
        with Transaction(self.store, self.repo.scratch) as tx, fileio.Reader(path) as reader:
            entry = ingest(tx, reader).entry
            tx.commit()
        assert entry.kind == "checkpoint"
        return read_checkpoint(self.store, entry.id)

    def mean(self, *sides: Checkpoint) -> dict[str, Given]:
        held = [StoredTensors(self.store, side) for side in sides]
        return {
            name: merged(None, [one.get(name) for one in held], strategy("average"), name=name)
            for name in held[0].names
        }

    def composed(self, like: Checkpoint, given: Mapping[str, Given]) -> tuple[Path, Composed]:
        staged = fileio.StagedFile(self.folder)
        done = compose(self.store, like, given, staged)
        return staged.seal(durable=False), done


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


Arrays = dict[str, np.ndarray]


def arrays(seed: int) -> Arrays:
    """Return weights whose mean with another seed's is exact in float32."""
    rng = np.random.default_rng(seed)
    return {
        "encoder.weight": (rng.integers(-1000, 1000, (40, 30)) / 64).astype(np.float32),
        "encoder.bias": (rng.integers(-1000, 1000, 30) / 64).astype(np.float32),
        "steps": np.array(seed * 10, np.int64),
    }


def mean(one: Arrays, two: Arrays) -> Arrays:
    return {
        name: np.asarray((one[name].astype(np.float64) + two[name]) / 2).astype(one[name].dtype)
        for name in one
    }


def write_safetensors(path: Path, values: Arrays) -> None:
    save_file(values, path)


def write_npz(path: Path, values: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, **values)


def torch_file(values: Arrays) -> bytes:
    plain = {name: (one.dtype.name, one.shape, one.tobytes()) for name, one in values.items()}
    value, storages, _ = state_dict(plain)
    return save_zip(value, storages)


def write_torch(path: Path, values: Arrays) -> None:
    path.write_bytes(torch_file(values))


def write_h5(path: Path | io.BytesIO, values: Arrays) -> None:
    with h5py.File(path, "w", track_order=False) as file:
        for name, value in values.items():
            file.create_dataset(name.replace(".", "/"), data=value, track_times=False)


def write_keras(path: Path, values: Arrays) -> None:
    weights = io.BytesIO()
    write_h5(weights, values)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (("config.json", b"{}"), ("model.weights.h5", weights.getvalue())):
            archive.writestr(zipfile.ZipInfo(name), data)


def write_onnx(path: Path, values: Arrays) -> None:
    inputs = [
        helper.make_tensor(
            name,
            helper.np_dtype_to_tensor_dtype(value.dtype),
            value.shape,
            value.tobytes(),
            raw=True,
        )
        for name, value in values.items()
    ]
    shape = values["encoder.weight"].shape
    node = helper.make_node("MatMul", ["x", "encoder.weight"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, shape[0]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, shape[1]))],
        inputs,
    )
    onnx.save(helper.make_model(graph), path)


def write_gguf(path: Path, values: Arrays) -> None:
    writer = test_gguf.Writer()
    for name, value in values.items():
        if value.dtype == np.float32:
            writer.add(name, list(value.shape[::-1]), 0, value.tobytes())
    path.write_bytes(writer.build())


def write_tflite(path: Path, values: Arrays) -> None:
    model = test_tflite.Model()
    for name, value in values.items():
        if value.dtype == np.float32:
            model.weight(name, 0, list(value.shape), value.tobytes())
    path.write_bytes(model.build())


WRITERS: dict[str, Callable[[Path, Arrays], None]] = {
    "safetensors": write_safetensors,
    "npz": write_npz,
    "pytorch": write_torch,
    "hdf5": write_h5,
    "keras": write_keras,
    "onnx": write_onnx,
    "gguf": write_gguf,
    "tflite": write_tflite,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_merged_file_is_what_the_writer_of_its_format_makes_of_the_mean(
    name: str, files: Files, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.model" for number in range(3)]
    sides = arrays(1), arrays(2)
    for path, values in zip(paths, (*sides, mean(*sides)), strict=True):
        WRITERS[name](path, values)
    stored = [files.stored(path) for path in paths[:2]]
    assert stored[0].format == name
    found, done = files.composed(stored[0], files.mean(*stored))
    assert found.read_bytes() == paths[2].read_bytes()
    assert done.sha256 == hashlib.sha256(found.read_bytes()).digest()
    assert done.size == len(found.read_bytes())
    with fileio.Reader(found) as reader:
        assert registry.locate(reader).located == done.located
    if zipfile.is_zipfile(found):
        assert zipfile.ZipFile(found).testzip() is None


@pytest.mark.parametrize("kind", [">f4", "<f4", ">f8", ">f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_byte_order_and_transposition_of_the_file_stay(
    kind: str, order: str, files: Files, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.npy" for number in range(3)]
    rng = np.random.default_rng(0)
    values = [(rng.integers(-99, 99, (700, 5)) / 8).astype(kind) for _ in range(2)]
    values.append(((values[0].astype("f8") + values[1]) / 2).astype(kind))
    for path, value in zip(paths, values, strict=True):
        np.save(path, np.asarray(value, order=order))  # type: ignore[call-overload]
    stored = [files.stored(path) for path in paths[:2]]
    found, _ = files.composed(stored[0], files.mean(*stored))
    assert found.read_bytes() == paths[2].read_bytes()


def test_tensors_that_are_not_given_stay_and_those_of_another_side_are_taken(
    files: Files, tmp_path: Path
) -> None:
    paths = tmp_path / "one.st", tmp_path / "two.st"
    values = arrays(1), arrays(2)
    for path, given in zip(paths, values, strict=True):
        save_file(given, path)
    one, two = (files.stored(path) for path in paths)
    held = StoredTensors(files.store, two).get("encoder.weight")
    found, _ = files.composed(one, {"encoder.weight": held})
    back = load_file(found)
    assert (back["encoder.weight"] == values[1]["encoder.weight"]).all()
    assert (back["encoder.bias"] == values[0]["encoder.bias"]).all()
    untouched, done = files.composed(one, {})
    assert untouched.read_bytes() == paths[0].read_bytes()
    assert done.sha256 == one.sha256


def test_tied_weights_change_together(files: Files, tmp_path: Path) -> None:
    paths = tmp_path / "one.pt", tmp_path / "two.pt"
    for seed, path in enumerate(paths):
        table = np.arange(600, dtype=np.float32).reshape(20, 30) * (seed + 1)
        shared = storage("0", "float32", 600)
        value = ordered({"embed": tensor(shared, (20, 30)), "head": tensor(shared, (20, 30))})
        path.write_bytes(save_zip(value, {"0": table.tobytes()}))
    one, two = (files.stored(path) for path in paths)
    found, done = files.composed(one, files.mean(one, two))
    assert [extent.name for extent in done.located.extents] == ["embed"]
    assert [view.name for view in done.located.views] == ["head"]
    assert files.stored(found).size == one.size


@pytest.mark.parametrize("name", ["average", "median", "ties", "slerp"])
def test_a_file_of_many_parts_is_the_same_with_one_thread_and_with_many(
    name: str, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.st" for number in range(3)]
    for path in paths:
        values = {
            "large": rng.standard_normal((1500, 1024)).astype(np.float16),
            **{f"small.{n}": rng.standard_normal(40).astype(np.float32) for n in range(50)},
        }
        save_file(values, path)
    base, *stored = [files.stored(path) for path in paths]
    sources = [StoredTensors(files.store, one) for one in (base, *stored)]

    def given() -> dict[str, Given]:
        return {
            part: merged(
                sources[0].get(part),
                [one.get(part) for one in sources[1:]],
                strategy(name),
                name=part,
            )
            for part in sources[0].names
        }

    first, _ = files.composed(stored[0], given())
    with parallel.in_place():
        second, _ = files.composed(stored[0], given())
    monkeypatch.setattr("mvc.merge.compose.MEMORY", 1)
    third, _ = files.composed(stored[0], given())
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_what_does_not_fit_the_file_is_refused(files: Files, tmp_path: Path) -> None:
    one, two = tmp_path / "one.st", tmp_path / "two.st"
    save_file({"w": np.ones(10, np.float32)}, one)
    save_file({"w": np.ones(10, np.float64), "v": np.ones(3, np.float32)}, two)
    first, second = files.stored(one), files.stored(two)
    other = StoredTensors(files.store, second)
    with pytest.raises(UsageError, match="another dtype or shape"):
        files.composed(first, {"w": other.get("w")})
    with pytest.raises(UsageError, match="has no tensor 'v'"):
        files.composed(first, {"v": other.get("v")})
