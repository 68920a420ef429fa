"""ONNX: where tensors hide in a model, how they are named, and what external data may claim."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import onnx as reference
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from mvc.base.errors import FormatError, LimitError
from mvc.formats import onnx
from mvc.formats.base import BytesSource, Extent, Located, checked


def raw(name: str, kind: int, dims: list[int], data: bytes) -> TensorProto:
    return TensorProto(name=name, data_type=kind, dims=dims, raw_data=data)


def graph(*initializers: TensorProto, nodes: tuple[NodeProto, ...] = ()) -> GraphProto:
    return GraphProto(name="g", node=nodes, initializer=initializers)


def model(main: GraphProto, **rest: Any) -> bytes:
    whole = ModelProto(ir_version=8, producer_name="t", graph=main, **rest)
    return bytes(whole.SerializeToString())


def constant(output: str, tensor: TensorProto) -> NodeProto:
    value = AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor)
    return NodeProto(op_type="Constant", output=[output], attribute=[value])


def branch(name: str, *graphs: GraphProto) -> NodeProto:
    labels = ("then_branch", "else_branch")
    attributes = [
        AttributeProto(name=label, type=AttributeProto.GRAPH, g=item)
        for label, item in zip(labels, graphs, strict=False)
    ]
    return NodeProto(op_type="If", name=name, output=[name + "_out"], attribute=attributes)


def find(data: bytes) -> Located:
    return checked(onnx.locate(BytesSource(data)), len(data))


def claims(data: bytes) -> bool:
    return onnx.matches(data[:512], BytesSource(data))


def content(data: bytes) -> dict[str, bytes]:
    return {e.name: data[e.offset : e.offset + e.length] for e in find(data).extents}


def sample() -> bytes:
    inner = graph(nodes=(constant("c", raw("", 1, [1], b"then")),))
    other = graph(nodes=(constant("c", raw("", 1, [1], b"else")),))
    nodes = (constant("k", raw("", 3, [3], b"abc")), branch("if", inner, other))
    return model(graph(raw("w", 1, [2], b"weights!"), nodes=nodes))


def test_initializers_constants_and_subgraphs_are_found() -> None:
    assert claims(sample())
    assert content(sample()) == {
        "k": b"abc",
        "if/then_branch/c": b"then",
        "if/else_branch/c": b"else",
        "w": b"weights!",
    }


def test_a_name_in_a_subgraph_stays_plain_while_it_is_the_only_one() -> None:
    data = model(graph(nodes=(branch("if", graph(raw("w", 3, [1], b"x"))),)))
    assert content(data) == {"w": b"x"}


def test_equal_names_get_numbers_that_collide_with_nothing() -> None:
    tensors = [raw(name, 3, [1], b"-") for name in ("w", "w", "w#2", "", "")]
    assert list(content(model(graph(*tensors)))) == ["w", "w#3", "w#2", "", "#2"]


def test_sparse_function_training_and_attribute_tensors_are_found() -> None:
    main = graph(raw("w", 3, [1], b"w"))
    sparse = main.sparse_initializer.add()
    sparse.values.CopyFrom(raw("s", 3, [1], b"s"))
    sparse.indices.CopyFrom(raw("", 3, [1], b"i"))
    node = NodeProto(op_type="Custom", name="n", output=["o"])
    node.attribute.append(AttributeProto(name="one", t=raw("lost", 3, [1], b"1")))
    several = [raw("", 3, [1], b"2"), raw("", 3, [1], b"3")]
    node.attribute.append(AttributeProto(name="many", tensors=several))
    main.node.append(node)
    function = reference.FunctionProto(name="f", node=[constant("fc", raw("", 3, [1], b"f"))])
    training = reference.TrainingInfoProto(algorithm=graph(raw("w", 3, [1], b"t")))
    data = model(main, functions=[function], training_info=[training])
    assert claims(data)
    assert content(data) == {
        "n/one": b"1",
        "n/many.0": b"2",
        "n/many.1": b"3",
        "w": b"w",
        "s": b"s",
        "s.indices": b"i",
        "training_info/0/algorithm/w": b"t",
        "fc": b"f",
    }


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        (TensorProto.FLOAT, 32), (TensorProto.UINT8, 8), (TensorProto.INT8, 8),
        (TensorProto.UINT16, 16), (TensorProto.INT16, 16), (TensorProto.INT32, 32),
        (TensorProto.INT64, 64), (TensorProto.BOOL, 8), (TensorProto.FLOAT16, 16),
        (TensorProto.DOUBLE, 64), (TensorProto.UINT32, 32), (TensorProto.UINT64, 64),
        (TensorProto.COMPLEX64, 64), (TensorProto.COMPLEX128, 128), (TensorProto.BFLOAT16, 16),
        (TensorProto.FLOAT8E4M3FN, 8), (TensorProto.FLOAT8E4M3FNUZ, 8),
        (TensorProto.FLOAT8E5M2, 8), (TensorProto.FLOAT8E5M2FNUZ, 8), (TensorProto.UINT4, 4),
        (TensorProto.INT4, 4), (TensorProto.FLOAT4E2M1, 4), (24, 8), (25, 2), (26, 2),
    ],
)  # fmt: skip
def test_raw_data_of_every_type_is_found(kind: int, bits: int) -> None:
    length = (5 * bits + 7) // 8
    (extent,) = find(model(graph(raw("w", kind, [5], bytes(length))))).extents
    assert (extent.length, extent.shape) == (length, (5,))


def test_packed_floats_are_found_and_varints_stay_literal() -> None:
    make: Any = helper.make_tensor
    rows = [
        make("f", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
        make("c", TensorProto.COMPLEX64, [2], [1 + 2j, 3 + 4j]),
        make("d", TensorProto.DOUBLE, [2], [1.0, 2.0]),
        make("z", TensorProto.COMPLEX128, [1], [1 + 2j]),
        make("i", TensorProto.INT64, [3000], list(range(3000))),
        make("s", TensorProto.STRING, [1], [b"x" * 5000]),
    ]
    data = model(graph(*rows))
    found = content(data)
    assert list(found) == ["f", "c", "d", "z"]
    assert found["f"] == np.array([1, 2, 3], "<f4").tobytes()
    assert found["z"] == np.array([1 + 2j], "<c16").tobytes()
    assert [note.split(",")[0] for note in find(data).notes] == [
        "1 tensors stay literal because int64_data does not hold their bytes as they are",
        "1 tensors stay literal because they hold strings",
    ]


@pytest.mark.parametrize(
    ("kind", "dims", "data"),
    [
        (1, [3], bytes(4096)),
        (1, [-1], bytes(4096)),
        (1, [2**63 - 1], bytes(4096)),
        (1, [4194305, 4194305, 211106198978564], bytes(4096)),
        (99, [4096], bytes(4096)),
        (0, [4096], bytes(4096)),
    ],
)
def test_a_payload_that_disagrees_stays_literal(kind: int, dims: list[int], data: bytes) -> None:
    located = find(model(graph(raw("w", kind, dims, data))))
    assert not located.extents
    assert "'w'" in located.notes[0]


def test_a_payload_in_two_pieces_stays_literal() -> None:
    piece = raw("w", 3, [1], b"x").SerializeToString() + raw("", 3, [], b"y").SerializeToString()
    data = b"\x08\x08\x3a" + bytes([len(piece) + 2]) + b"\x2a" + bytes([len(piece)]) + piece
    assert claims(data)
    assert not find(data).extents
    assert find(data).notes


def test_empty_tensors_are_found() -> None:
    (extent,) = find(model(graph(raw("w", 1, [0, 3], b"")))).extents
    assert (extent.shape, extent.length) == ((0, 3), 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x08",
        model(graph()),
        ModelProto(graph=graph(raw("w", 3, [1], b"x"))).SerializeToString(),
        ModelProto(ir_version=101, graph=graph(raw("w", 3, [1], b"x"))).SerializeToString(),
        model(graph(raw("w", 3, [1], b"x"))) + b"\x3a\x00",
        model(graph(raw("w", 3, [1], b"x"))) + b"\x48\x01",
        model(graph(raw("w", 3, [1], b"x"))) + b"\x0a\x00",
        model(graph(raw("w", 3, [1], b"x"))) + b"\0",
        b"\x08\x08\x3a\x02\x08\x01",
        b"{\"a\": 1}",
        b"\n" * 40,
        bytes(64),
    ],
)  # fmt: skip
def test_what_is_no_model_is_not_claimed(data: bytes) -> None:
    assert not claims(data)


@given(st.binary(min_size=1, max_size=200))
def test_arbitrary_bytes_are_not_claimed(data: bytes) -> None:
    if claims(data):
        assert ModelProto.FromString(data).HasField("graph")


def nested(levels: int) -> GraphProto:
    item = graph(raw("w", 3, [1], b"x"))
    for _ in range(levels):
        item = graph(nodes=(branch("if", item),))
    return item


def test_graphs_do_not_nest_without_end() -> None:
    assert content(model(nested(15))) == {"w": b"x"}
    with pytest.raises(FormatError, match="nest deeper"):
        find(model(nested(25)))


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (raw("a" * 4097, 3, [1], b"x"), "above the limit"),
        (raw("w", 3, [1] * 65, b"x"), "dimensions|more than 65"),
        (raw("w", 3, [1] * 1000, b"x"), "dimensions|more than 65"),
    ],
)
def test_names_and_ranks_are_bounded(tensor: TensorProto, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        find(model(graph(tensor)))


def test_the_number_of_tensors_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "MAX_TENSORS", 3)
    with pytest.raises(LimitError):
        find(sample())


def test_names_around_nested_graphs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = graph(nodes=(branch("b", graph(raw("w", 3, [1], b"x"))),))
    with pytest.raises(LimitError, match="nested graphs"):
        find(model(graph(nodes=(branch("a" * 4090, inner),))))
    monkeypatch.setattr(onnx, "MAX_HEADER", 10)
    with pytest.raises(LimitError, match="names take more than"):
        find(sample())


class Sparse:
    """Several gigabytes of zeros with a model around them."""

    def __init__(self, head: bytes, zeros: int) -> None:
        self._head = head
        self.size = len(head) + zeros

    def read_at(self, offset: int, length: int) -> bytes:
        assert length < 1 << 20
        return self._head[offset : offset + length].ljust(length, b"\0")


def test_models_above_two_gigabytes_are_read() -> None:
    zeros = 5_000_000_000

    def number(value: int) -> bytes:
        return bytes([value & 0x7F | 0x80]) + number(value >> 7) if value > 0x7F else bytes([value])

    tensor = b"\x08" + number(zeros) + b"\x10\x03\x42\x01w\x4a" + number(zeros)
    main = b"\x2a" + number(len(tensor) + zeros) + tensor
    source = Sparse(b"\x08\x08\x3a" + number(len(main) + zeros) + main, zeros)
    assert onnx.matches(source.read_at(0, 512), source)
    (extent,) = checked(onnx.locate(source), source.size).extents
    assert (extent.shape, extent.length) == ((zeros,), zeros)


def test_every_truncation_is_refused() -> None:
    data = sample()
    for length in range(len(data)):
        assert not claims(data[:length])
        with suppress(FormatError):
            find(data[:length])


tensors = st.tuples(
    st.text(max_size=5).filter(lambda name: name.isprintable()),
    st.sampled_from([(1, 4), (3, 1), (7, 8), (10, 2), (16, 2)]),
    st.binary(max_size=60),
)


@given(st.lists(tensors, min_size=1, max_size=6))
def test_bytes_at_every_extent_are_those_of_the_tensor(
    rows: list[tuple[str, tuple[int, int], bytes]],
) -> None:
    made = []
    for name, (kind, width), data in rows:
        count = len(data) // width
        made.append(raw(name, kind, [count], data[: count * width]))
    assert list(content(model(graph(*made))).values()) == [item.raw_data for item in made]


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    with suppress(FormatError):
        find(data)
    with suppress(FormatError):
        onnx.external(BytesSource(data))


@given(st.data())
def test_mutated_files_raise_only_format_errors(data: st.DataObject) -> None:
    mutated = bytearray(sample())
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        find(bytes(mutated))
    claims(bytes(mutated))


def elsewhere(name: str, dims: list[int], **entries: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def outside(*items: TensorProto) -> dict[str, tuple[Extent, ...]]:
    return onnx.external(BytesSource(model(graph(*items))))


def test_external_tensors_are_found_by_file() -> None:
    found = outside(
        elsewhere("b", [3], location="w.data", offset="64", length="12"),
        elsewhere("a", [2, 2], location="w.data"),
        elsewhere("c", [1], location="sub/x.bin", checksum="ab"),
        raw("d", 3, [1], b"x"),
    )
    assert found == {
        "w.data": (Extent("a", "float32", (2, 2), 0, 16), Extent("b", "float32", (3,), 64, 12)),
        "sub/x.bin": (Extent("c", "float32", (1,), 0, 4),),
    }
    assert not find(model(graph(elsewhere("a", [1], location="w.data")))).extents


@pytest.mark.parametrize(
    "location",
    [
        "", "/etc/passwd", "../w", "a/../w", "a/..", "..", ".", "./w", "a//w", "a\\w", "..\\w",
        "C:w", "C:/w", "file:w", "a\0b", "a\nb", "a/",
    ],
)  # fmt: skip
def test_locations_that_could_leave_the_folder_are_skipped(location: str) -> None:
    assert outside(elsewhere("a", [1], location=location)) == {}


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "-1"}, {"offset": "1_0"}, {"offset": " 1"}, {"offset": "0x1"},
        {"offset": "9" * 30}, {"offset": ""}, {"offset": "\u0663"}, {"length": "5"},
        {"length": "-4"}, {"length": "4\n"},
    ],
)  # fmt: skip
def test_odd_external_entries_are_skipped(entries: dict[str, str]) -> None:
    assert outside(elsewhere("a", [1], location="w", **entries)) == {}


def test_tied_and_overlapping_external_tensors_are_taken_once() -> None:
    found = outside(
        elsewhere("first", [4], location="w"),
        elsewhere("tied", [4], location="w"),
        elsewhere("overlapping", [4], location="w", offset="8"),
        elsewhere("next", [4], location="w", offset="16"),
    )
    assert [extent.name for extent in found["w"]] == ["first", "next"]
