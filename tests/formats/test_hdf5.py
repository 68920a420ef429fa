"""HDF5 and Keras archives: which datasets are plain bytes, and what stays literal."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.base.errors import FormatError, LimitError
from mvc.formats import hdf5, keras_zip
from mvc.formats.base import BytesSource, Located, checked

h5py: Any = pytest.importorskip("h5py")


def build(fill: Callable[[Any], None], **options: Any) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", **options) as file:
        fill(file)
    return stream.getvalue()


def find(data: bytes) -> Located:
    return checked(hdf5.locate(BytesSource(data)), len(data))


def content(data: bytes) -> dict[str, bytes]:
    return {e.name: data[e.offset : e.offset + e.length] for e in find(data).extents}


def sample() -> bytes:
    def fill(file: Any) -> None:
        file["layers/dense/kernel"] = np.arange(6, dtype="<f4").reshape(2, 3)
        file["layers/dense/bias"] = np.arange(3, dtype=">f8")
        file["alias"] = file["layers/dense/kernel"]
        file["soft"] = h5py.SoftLink("/layers")
        file["away"] = h5py.ExternalLink("/etc/hostname", "/x")
        file.attrs["config"] = "{}"

    return build(fill)


def test_contiguous_datasets_are_found_once() -> None:
    data = sample()
    assert hdf5.matches(data[:512], BytesSource(data))
    found = {extent.name: extent for extent in find(data).extents}
    assert len(found) == 2
    kernel = next(e for e in found.values() if e.dtype == "float32")
    assert kernel.name in ("alias", "layers/dense/kernel")
    assert kernel.shape == (2, 3)
    assert content(data)[kernel.name] == np.arange(6, dtype="<f4").tobytes()
    assert found["layers/dense/bias"].big_endian


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("block", [0, 512, 2048])
def test_files_with_a_user_block_have_their_offsets_shifted(version: str, block: int) -> None:
    def fill(file: Any) -> None:
        file["a"] = np.arange(5, dtype="<i4")
        file.create_dataset("b", data=np.arange(6, dtype="<i2"), chunks=(4,))

    data = build(fill, userblock_size=block, libver=version)
    assert hdf5.matches(data[:512], BytesSource(data))
    found = content(data)
    assert found["a"] == np.arange(5, dtype="<i4").tobytes()
    assert found["b#0"] == np.arange(4, dtype="<i2").tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("f2", "float16"), ("f4", "float32"), ("f8", "float64"), ("i1", "int8"), ("i2", "int16"),
        ("i4", "int32"), ("i8", "int64"), ("u1", "uint8"), ("u2", "uint16"), ("u4", "uint32"),
        ("u8", "uint64"), ("?", "bool"),
    ],
)  # fmt: skip
def test_every_number_type_is_found(order: str, code: str, label: str) -> None:
    array = np.arange(6).astype(order + code)
    data = build(lambda file: file.create_dataset("a", data=array))
    (extent,) = find(data).extents
    assert extent.dtype == label
    assert extent.big_endian == (order == ">" and array.dtype.itemsize > 1)
    assert content(data)["a"] == array.tobytes()


def test_an_enumeration_is_its_integers() -> None:
    kind = h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, basetype="i1")
    data = build(lambda file: file.create_dataset("e", (4,), kind, data=[0, 1, 2, 0]))
    assert find(data).extents[0].dtype == "int8"


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_plain_chunks_are_found_in_full_size(version: str) -> None:
    array = np.arange(35, dtype="<f4").reshape(5, 7)
    data = build(lambda f: f.create_dataset("a", data=array, chunks=(3, 4)), libver=version)
    found = {extent.name: extent for extent in find(data).extents}
    assert set(found) == {"a#0,0", "a#0,1", "a#1,0", "a#1,1"}
    assert {extent.shape for extent in found.values()} == {(3, 4)}
    assert content(data)["a#0,0"] == array[:3, :4].tobytes()
    edge = np.frombuffer(content(data)["a#1,1"], "<f4").reshape(3, 4)
    assert (edge[:2, :3] == array[3:, 4:]).all()


def test_a_dataset_that_is_one_chunk_keeps_its_name() -> None:
    data = build(lambda f: f.create_dataset("a", data=np.ones((3, 4)), chunks=(3, 4)))
    assert list(content(data)) == ["a"]


@pytest.mark.parametrize(
    "options",
    [{"compression": "gzip"}, {"shuffle": True, "chunks": (8,)}, {"fletcher32": True}],
)
def test_filtered_datasets_stay_literal(options: dict[str, Any]) -> None:
    data = build(lambda f: f.create_dataset("a", data=np.arange(64.0), **options))
    assert not find(data).extents
    assert "filters" in find(data).notes[0]


def test_other_types_and_layouts_stay_literal(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["text"] = "abc"
        file["texts"] = np.array([b"a", b"b"])
        file["pair"] = np.zeros(3, [("a", "<f4"), ("b", "<i4")])
        file["complex"] = np.zeros(3, "<c8")
        file["nothing"] = h5py.Empty("f4")
        file.create_dataset("unwritten", (1000,), "f4")
        file.create_dataset("away", (4,), "i1", external=[(str(tmp_path / "x"), 0, 4)])[:] = 1
        layout = h5py.VirtualLayout((4,), "i1")
        layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
        file.create_virtual_dataset("virtual", layout)

    located = find(build(fill))
    assert not located.extents
    assert located.notes


def test_a_scalar_dataset_is_found() -> None:
    (extent,) = find(build(lambda f: f.create_dataset("s", data=np.float32(1)))).extents
    assert extent.shape == ()


@pytest.mark.parametrize(
    "data",
    [hdf5.SIGNATURE, hdf5.SIGNATURE + bytes(100), hdf5.SIGNATURE + b"\xff" * 1000],
)
def test_what_the_library_cannot_read_is_a_format_error(data: bytes) -> None:
    with pytest.raises(FormatError, match="HDF5 library"):
        find(data)


def test_other_files_are_not_claimed() -> None:
    for data in (b"", bytes(5000), b"\x89HDF", bytes(100) + hdf5.SIGNATURE):
        assert not hdf5.matches(data[:512], BytesSource(data))


def test_the_number_of_datasets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_TENSORS", 1)
    with pytest.raises(LimitError):
        find(sample())


def test_the_length_of_all_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "MAX_HEADER", 10)
    with pytest.raises(LimitError, match="names take more than"):
        find(sample())


def test_truncation_is_refused() -> None:
    data = sample()
    for length in range(8, len(data), 7):
        with pytest.raises(FormatError):
            find(data[:length])


@given(st.binary(max_size=100), st.sampled_from(["<f4", ">i2", "|u1"]))
@settings(deadline=None)
def test_bytes_at_an_extent_are_those_of_the_dataset(raw: bytes, code: str) -> None:
    width = np.dtype(code).itemsize
    array = np.frombuffer(raw[: len(raw) // width * width], code)
    data = build(lambda f: f.create_dataset("a", data=array))
    assert content(data) == ({"a": array.tobytes()} if array.size else {})


@given(st.data())
@settings(deadline=None)
def test_mutated_files_raise_only_format_errors(data: st.DataObject) -> None:
    raw = bytearray(sample())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        find(bytes(raw))


def archive(weights: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        out.writestr("metadata.json", "{}")
        out.writestr("config.json", "{}")
        out.writestr("model.weights.h5", weights, method)
    return stream.getvalue()


def test_weights_in_a_keras_archive_are_found() -> None:
    data = archive(sample())
    assert keras_zip.matches(data[:512], BytesSource(data))
    located = checked(keras_zip.locate(BytesSource(data)), len(data))
    parts = [data[e.offset : e.offset + e.length] for e in located.extents]
    assert sorted(parts) == sorted(content(sample()).values())


def test_compressed_weights_in_a_keras_archive_stay_literal() -> None:
    located = keras_zip.locate(BytesSource(archive(sample(), zipfile.ZIP_DEFLATED)))
    assert not located.extents
    assert "compresses" in located.notes[0]


def test_a_broken_keras_archive_is_refused() -> None:
    data = archive(b"no weights")
    with pytest.raises(FormatError, match="HDF5 library"):
        keras_zip.locate(BytesSource(data))
    assert not keras_zip.matches(data[:60], BytesSource(data[:60]))
    assert not keras_zip.matches(b"x", BytesSource(b"x"))
    other = data.replace(b"model.weights.h5", b"model.weights.h6")
    assert not keras_zip.matches(other[:512], BytesSource(other))
    with pytest.raises(FormatError, match=r"no model\.weights\.h5"):
        keras_zip.locate(BytesSource(other))
