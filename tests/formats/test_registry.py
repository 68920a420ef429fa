"""Which reader a file gets, what is said when none can read it, and the same through a commit."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from hostile import mutations
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save
from torch_files import save_legacy, save_zip, state_dict

from mvc.formats import registry
from mvc.formats.base import BytesSource, Source, check_range
from mvc.formats.registry import Outcome
from mvc.ops.add import add
from mvc.ops.commit import CommitRequest, CommitResult, commit
from mvc.ops.export import export
from mvc.ops.show import ShownBlob, ShownCheckpoint, show
from mvc.repo.repository import Environment, Repository

WEIGHTS = np.arange(3000, dtype="<f4").reshape(30, 100)
TORCH = {"w": ("float32", (30, 100), WEIGHTS.tobytes())}


def safetensors_file() -> bytes:
    return bytes(save({"w": WEIGHTS}))


def torch_file() -> bytes:
    value, plain, _ = state_dict(TORCH)
    return save_zip(value, plain)


def legacy_file() -> bytes:
    value, _, counted = state_dict(TORCH)
    return save_legacy(value, counted)


def npy_file() -> bytes:
    out = io.BytesIO()
    np.save(out, WEIGHTS)
    return out.getvalue()


def npz_file(*, packed: bool = False) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(out, w=WEIGHTS)
    return out.getvalue()


def hdf5_file(**options: object) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.create_dataset("dense/w", data=WEIGHTS, **options)
    return out.getvalue()


def keras_file(compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", hdf5_file())
    return out.getvalue()


def onnx_model() -> onnx.ModelProto:
    names = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [30, 100]) for name in "xy"]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    weights = [numpy_helper.from_array(WEIGHTS, "w")]
    graph = helper.make_graph([node], "g", names[:1], names[1:], weights)
    return helper.make_model(graph)


def onnx_file() -> bytes:
    return bytes(onnx_model().SerializeToString())


def gguf_file() -> bytes:
    counts = (3).to_bytes(4, "little") + (1).to_bytes(8, "little") + (0).to_bytes(8, "little")
    dims = (100).to_bytes(8, "little") + (30).to_bytes(8, "little")
    info = (1).to_bytes(8, "little") + b"w" + (2).to_bytes(4, "little") + dims
    header = b"GGUF" + counts + info + bytes(4) + bytes(8)
    return header + bytes(-len(header) % 32) + WEIGHTS.tobytes()


SAMPLES = {
    "safetensors": safetensors_file(),
    "pytorch": torch_file(),
    "pytorch-legacy": legacy_file(),
    "npy": npy_file(),
    "npz": npz_file(),
    "hdf5": hdf5_file(),
    "keras": keras_file(),
    "onnx": onnx_file(),
    "gguf": gguf_file(),
}


def located(data: bytes) -> Outcome:
    return registry.locate(BytesSource(data))


def format_of(outcome: Outcome) -> str | None:
    found = outcome.located
    return found.format if found is not None and found.extents else None


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    environment = Environment(author="tester <tester@example.org>")
    with Repository.init(tmp_path / "project", environment=environment) as opened:
        yield opened


def commit_files(repo: Repository, files: Mapping[str, bytes]) -> CommitResult:
    for name, data in files.items():
        (repo.root / name).parent.mkdir(parents=True, exist_ok=True)
        (repo.root / name).write_bytes(data)
    add(repo, [repo.root])
    return commit(repo, CommitRequest("files"))


def checkpoint(repo: Repository, path: str) -> ShownCheckpoint:
    shown = show(repo, f"HEAD:{path}")
    assert isinstance(shown, ShownCheckpoint)
    return shown


def is_blob(repo: Repository, path: str) -> bool:
    return isinstance(show(repo, f"HEAD:{path}"), ShownBlob)


def assert_comes_back(repo: Repository, target: Path) -> None:
    files = [path for path in repo.root.rglob("*") if path.is_file() and repo.folder not in
             path.parents]  # fmt: skip
    assert export(repo, "HEAD", target).files == len(files)
    for path in files:
        assert (target / path.relative_to(repo.root)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_is_known_by_its_content(name: str) -> None:
    outcome = located(SAMPLES[name])
    assert format_of(outcome) == name
    assert outcome.warning is None
    assert outcome.located is not None
    assert sum(extent.length for extent in outcome.located.extents) == WEIGHTS.nbytes


def test_a_wrong_ending_changes_nothing(repo: Repository, tmp_path: Path) -> None:
    endings = [".npz", ".onnx", ".safetensors", ".h5", ".pt", ".txt", "", ".gguf", ".json"]
    files = {f"model-{n}{end}": SAMPLES[n] for n, end in zip(SAMPLES, endings, strict=True)}
    assert commit_files(repo, files).warnings == ()
    for name in files:
        assert checkpoint(repo, name).format == name.partition("-")[2].removesuffix(
            Path(name).suffix
        )
    assert_comes_back(repo, tmp_path / "out")


def test_one_array_is_one_tensor_whatever_the_format(repo: Repository) -> None:
    commit_files(repo, SAMPLES)
    assert len({checkpoint(repo, name).tensors[0].id for name in SAMPLES}) == 1


def test_an_empty_file_is_bytes_without_a_warning(repo: Repository, tmp_path: Path) -> None:
    assert located(b"") == Outcome(None)
    assert commit_files(repo, {"model.safetensors": b"", "model.onnx": b""}).warnings == ()
    assert is_blob(repo, "model.onnx")
    assert_comes_back(repo, tmp_path / "out")


@pytest.mark.parametrize(
    "data",
    [
        b"plain text\n" * 100,
        b'[12:00] {"event": "start"}\n' * 100,
        b'INFO:   {"loss": 0.25}\n' * 100,
        b'{"weight_map": {}}',
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        b"#!/bin/sh\necho PK\x03\x04\n",
        bytes(5000),
        b"PK\x05\x06" + bytes(18),
    ],
)
def test_what_is_no_model_is_bytes_without_a_warning(data: bytes) -> None:
    assert located(data) == Outcome(None)


def test_a_zip_of_something_else_is_bytes_without_a_warning() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "<w/>" * 100)
    assert located(out.getvalue()) == Outcome(None)


@pytest.mark.parametrize("name", ["npz", "pytorch", "keras"])
def test_a_zip_behind_junk_is_bytes_as_its_own_library_would_not_load_it(name: str) -> None:
    assert located(b"#!/bin/sh\nexit\n" + SAMPLES[name]) == Outcome(None)


def test_a_zip_appended_to_safetensors_is_no_second_model() -> None:
    outcome = located(SAMPLES["safetensors"] + SAMPLES["npz"])
    assert outcome.located is None
    assert outcome.warning is not None
    assert "belong to no tensor" in outcome.warning


def test_of_two_zips_in_one_file_the_directory_at_the_end_counts() -> None:
    first, second = SAMPLES["npz"], npz_file()
    outcome = located(first + second)
    assert outcome.located is not None
    (extent,) = outcome.located.extents
    assert extent.offset > len(first)
    assert format_of(located(SAMPLES["npz"] + SAMPLES["pytorch"])) is None


def test_a_model_inside_another_files_user_block_is_found_where_it_lies() -> None:
    outcome = located(bytes(512) + SAMPLES["hdf5"])
    assert format_of(outcome) == "hdf5"
    assert outcome.located is not None
    (extent,) = outcome.located.extents
    whole = bytes(512) + SAMPLES["hdf5"]
    assert whole[extent.offset : extent.offset + extent.length] == WEIGHTS.tobytes()


def is_one_sentence(text: str) -> bool:
    return len(text) < 400 and text.isprintable() and ". " not in text and not text.endswith(".")


@pytest.mark.parametrize("name", ["safetensors", "npy", "npz", "pytorch", "hdf5", "keras", "gguf"])
def test_a_file_cut_short_is_bytes_with_a_sentence_that_says_why(name: str) -> None:
    warnings = {
        located(SAMPLES[name][:end]).warning for end in range(100, len(SAMPLES[name]), 500)
    } - {None}
    for text in warnings:
        assert text is not None
        assert is_one_sentence(text)
        assert text.endswith("; kept whole as bytes")
    # A zip without its directory could be any zip.
    assert warnings or name == "keras"


@given(st.data())
def test_a_damaged_file_gives_tensors_or_one_sentence(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    outcome = located(data.draw(mutations(SAMPLES[name])))
    if outcome.warning is not None:
        assert format_of(outcome) is None
        assert is_one_sentence(outcome.warning)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (npz_file(packed=True), "compressed members"),
        (hdf5_file(compression="gzip"), "compresses or filters"),
        (keras_file(zipfile.ZIP_DEFLATED), "the zip compresses them"),
    ],
)
def test_a_compressed_container_has_no_tensors_and_a_sentence_that_says_why(
    data: bytes, why: str, repo: Repository, tmp_path: Path
) -> None:
    (warning,) = commit_files(repo, {"model": data}).warnings
    assert why in warning
    assert warning.endswith("; kept whole as bytes")
    assert is_one_sentence(warning)
    assert checkpoint(repo, "model").tensor_bytes == 0
    assert_comes_back(repo, tmp_path / "out")


@pytest.mark.parametrize("name", ["hdf5", "keras"])
def test_without_its_extra_a_file_is_bytes_and_becomes_tensors_once_it_is_there(
    name: str, repo: Repository, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "h5py", None)
        (warning,) = commit_files(repo, {"model.h5": SAMPLES[name]}).warnings
        assert is_blob(repo, "model.h5")
        assert_comes_back(repo, tmp_path / "out")
    assert "pip install 'mvc[hdf5]'" in warning
    assert is_one_sentence(warning)
    os.utime(repo.root / "model.h5", ns=(1, 1))
    assert commit_files(repo, {}).warnings == ()
    assert checkpoint(repo, "model.h5").format == name
    assert_comes_back(repo, tmp_path / "again")


def test_external_data_of_onnx_is_tensors_of_the_data_file(
    repo: Repository, tmp_path: Path
) -> None:
    folder = repo.root / "nets"
    folder.mkdir()
    onnx.save_model(
        onnx_model(),
        str(folder / "model.onnx"),
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    assert commit_files(repo, {"plain.safetensors": SAMPLES["safetensors"]}).warnings == ()
    data = checkpoint(repo, "nets/model.onnx.data")
    assert data.format == "onnx-external"
    assert data.tensors[0].name == "w"
    assert data.tensors[0].id == checkpoint(repo, "plain.safetensors").tensors[0].id
    assert data.tensor_bytes == WEIGHTS.nbytes
    assert is_blob(repo, "nets/model.onnx")
    assert_comes_back(repo, tmp_path / "out")


def test_external_data_that_ends_early_is_bytes(repo: Repository, tmp_path: Path) -> None:
    repo.root.joinpath("model.onnx").write_bytes(b"")
    onnx.save_model(
        onnx_model(),
        str(repo.root / "model.onnx"),
        save_as_external_data=True,
        location="data.bin",
        size_threshold=0,
    )
    commit_files(repo, {"data.bin": WEIGHTS.tobytes()[:5000]})
    assert is_blob(repo, "data.bin")
    assert_comes_back(repo, tmp_path / "out")


def test_shards_are_checkpoints_and_their_index_is_bytes(repo: Repository, tmp_path: Path) -> None:
    shards = {
        f"model-0000{number}-of-00002.safetensors": save({f"layer.{number}.w": WEIGHTS + number})
        for number in (1, 2)
    }
    index = {
        "metadata": {"total_size": 2 * WEIGHTS.nbytes},
        "weight_map": {f"layer.{n}.w": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)},
    }
    listing = json.dumps(index).encode()
    result = commit_files(repo, {**shards, "model.safetensors.index.json": listing})
    assert result.warnings == ()
    for number, name in enumerate(shards, 1):
        assert [tensor.name for tensor in checkpoint(repo, name).tensors] == [f"layer.{number}.w"]
    assert is_blob(repo, "model.safetensors.index.json")
    assert_comes_back(repo, tmp_path / "out")


class Counted:
    """A file of a size that nobody would read whole, counting what is read of it."""

    def __init__(self, pattern: bytes, size: int) -> None:
        self._pattern = pattern
        self.size = size
        self.taken = 0

    def read_at(self, offset: int, length: int) -> bytes:
        check_range(offset, length, self.size)
        self.taken += length
        start = offset % len(self._pattern)
        times = (start + length) // len(self._pattern) + 1
        return (self._pattern * times)[start : start + length]


def counted(pattern: bytes, size: int = 1 << 34) -> tuple[Outcome, int]:
    source = Counted(pattern, size)
    as_source: Source = source
    return registry.locate(as_source), source.taken


@pytest.mark.parametrize("seed", range(20))
def test_hardly_anything_of_a_random_file_is_read(seed: int) -> None:
    outcome, taken = counted(np.random.default_rng(seed).bytes(100_003))
    assert outcome.located is None
    assert taken < 1 << 18


@pytest.mark.parametrize(
    "pattern",
    [b"\0", b"\x08", b"\x08\x01", b"\x12\0", b"\x12\x01a", b"\xff", b"PK\x03\x04", b"text\n"],
)
def test_a_file_that_looks_like_onnx_for_ever_is_given_up_soon(pattern: bytes) -> None:
    outcome, taken = counted(pattern)
    assert outcome.located is None
    assert taken < 1 << 20
