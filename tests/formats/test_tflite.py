"""TensorFlow Lite: what the reader makes of files, written by hand and damaged."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tflite_files import Model, blob, ints

from mvc.base.errors import FormatError
from mvc.formats import tflite
from mvc.formats.base import BytesSource, Located, checked


def find(data: bytes) -> Located:
    return checked(tflite.locate(BytesSource(data)), len(data))


def sample() -> Model:
    model = Model().weight("w", 0, [2, 3], bytes(range(24))).weight("b", 9, [5], b"hello")
    return model.tensor("activation", 0, [1, 9], 0)


def test_buffers_are_found_and_named_after_their_tensors() -> None:
    data = sample().build()
    assert tflite.matches(data[:512], BytesSource(data))
    first, second = find(data).extents
    assert (first.name, first.dtype, first.shape) == ("w", "float32", (2, 3))
    assert data[first.offset : first.offset + first.length] == bytes(range(24))
    assert (second.name, second.dtype, second.length) == ("b", "int8", 5)


def test_a_second_tensor_on_a_buffer_is_a_view_if_it_agrees() -> None:
    model = sample().tensor("tied", 0, [2, 3], 1).tensor("other", 0, [3, 2], 1)
    (view,) = find(model.build()).views
    assert (view.name, view.source, view.strides) == ("tied", "w", (3, 1))


def test_a_buffer_goes_to_the_first_tensor_that_fits_it() -> None:
    model = Model()
    number = model.buffer(bytes(8))
    model.tensor("wrong", 0, [3], number).tensor("right", 0, [2], number)
    assert [extent.name for extent in find(model.build()).extents] == ["right"]


def test_names_are_made_unique_across_subgraphs() -> None:
    model = Model()
    for graph in (0, 0, 1, 1):
        model.tensor("w", 9, [4], model.buffer(bytes(4)), graph)
    model.tensor("", 9, [4], model.buffer(bytes(4)), 1)
    names = sorted(extent.name for extent in find(model.build()).extents)
    assert names == ["subgraph.1/w", "subgraph.1/w#2", "tensor.2", "w", "w#2"]


@pytest.mark.parametrize("kind", [5, 13, 19, 99])
def test_large_buffers_of_other_types_are_plain_bytes(kind: int) -> None:
    model = Model().weight("s", kind, [2], bytes(5000)).weight("small", kind, [2], bytes(50))
    (extent,) = find(model.build()).extents
    assert (extent.name, extent.dtype, extent.shape) == ("s", "uint8", (5000,))


def test_sparse_and_negative_shapes_are_plain_bytes() -> None:
    model = Model()
    model.tensor("sparse", 9, [5000], model.buffer(bytes(5000)), sparsity=blob(b"\0\0\0\0"))
    model.tensor("negative", 9, [-1], model.buffer(bytes(5001)))
    assert [extent.dtype for extent in find(model.build()).extents] == ["uint8", "uint8"]


def test_buffers_without_a_tensor_are_taken_only_when_large() -> None:
    model = sample()
    model.buffer(bytes(4096))
    model.buffer(bytes(4097))
    assert [extent.name for extent in find(model.build()).extents] == ["w", "b", "buffer.4"]


def test_buffers_outside_the_flatbuffer_are_found() -> None:
    model = Model(buffers=[b"", (b"abcd", 4096)]).tensor("w", 3, [4], 1)
    (extent,) = find(model.build()).extents
    assert (extent.offset, extent.shape) == (4096, (4,))


def test_four_bit_numbers_take_half_a_byte() -> None:
    (extent,) = find(Model().weight("w", 17, [5], bytes(3)).build()).extents
    assert (extent.dtype, extent.length) == ("int4", 3)


def test_two_buffers_in_one_place_are_taken_once() -> None:
    model = Model(buffers=[b"", (b"abcd", 4096), (b"abcd", 4096)])
    located = find(model.tensor("a", 3, [4], 1).tensor("b", 3, [4], 2).build())
    assert [extent.name for extent in located.extents] == ["a"]
    assert located.notes


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\0TFL3", "impossible vtable|outside"),
        (b"\xff\xff\xff\xffTFL3", "outside"),
        (Model(version=2).build(), "version 2"),
        (sample().tensor("x", 0, [1], 9).build(), "does not exist"),
        (Model(graphs=[[{3: blob(b"\xff")}]]).build(), "UTF-8"),
        (Model(graphs=[[{3: blob(b"a" * 5000)}]]).build(), "above the limit"),
        (Model(graphs=[[{0: ints([1] * 65)}]]).build(), "above the limit"),
        (Model(graphs=[[{0: struct.pack("<I", 2**32 - 1)}]]).build(), "outside"),
        (Model(graphs=[[{0: struct.pack("<I", 0)}]]).build(), "outside"),
        (Model(buffers=[b"", (b"abcd", 4096)]).build()[:-1], "outside"),
    ],
)
def test_impossible_models_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        find(data)


def test_shared_tensor_lists_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "MAX_TENSORS", 5)
    with pytest.raises(FormatError, match="more than 5"):
        find(Model(graphs=[[{}, {}, {}], [{}, {}, {}]]).build())


def test_shared_names_do_not_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite, "MAX_HEADER", 10)
    with pytest.raises(FormatError, match="names take more than"):
        find(sample().build())


def test_every_truncation_is_refused_or_sound() -> None:
    data = sample().build()
    for length in range(8, len(data)):
        with pytest.raises(FormatError):
            find(data[:length])


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 9, 10]), st.binary(max_size=60)), max_size=6))
def test_bytes_at_every_extent_are_those_of_the_tensor(parts: list[tuple[int, bytes]]) -> None:
    width = {0: 4, 1: 2, 2: 4, 9: 1, 10: 8}
    model, expected = Model(), {}
    for index, (kind, raw) in enumerate(parts):
        count = len(raw) // width[kind]
        if count:
            expected[f"t{index}"] = raw[: count * width[kind]]
            model.weight(f"t{index}", kind, [count], expected[f"t{index}"])
    data = model.build()
    found = {e.name: data[e.offset : e.offset + e.length] for e in find(data).extents}
    assert found == expected


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    with suppress(FormatError):
        find(data)
    with suppress(FormatError):
        find(b"\x10\0\0\0TFL3" + data)


@given(st.data())
def test_mutated_files_raise_only_format_errors(data: st.DataObject) -> None:
    raw = bytearray(sample().build())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        find(bytes(raw))
