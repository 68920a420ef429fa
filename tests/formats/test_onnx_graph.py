"""Operators of ONNX models whose bytes are damaged or lie: refused, within bounds."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hostile import mutations
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mvc.base.errors import FormatError, LimitError
from mvc.formats import graph as graph_module
from mvc.formats import onnx_graph
from mvc.formats.base import BytesSource
from mvc.formats.graph import Graph


def model() -> bytes:
    """Return a network with every kind of attribute, and a graph in another one."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, (2, 2), np.ones(4, "f4").tobytes(), True)
    below = helper.make_graph([helper.make_node("Neg", ["x"], ["n"])], "below", [], [])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="mm"),
        helper.make_node("A", ["m"], ["k"], domain="my", f=1.5, i=-3, s="text", t=weight),
        helper.make_node("B", ["k"], ["z"], floats=[0.5, 2], ints=[1, 2], strings=["p"]),
        helper.make_node("If", ["c"], ["y"], then_branch=below, else_branch=below),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    data: bytes = helper.make_model(graph).SerializeToString()
    return data


DATA = model()


def read(data: bytes) -> Graph:
    return onnx_graph.read(BytesSource(data))


def message(number: int, payload: bytes) -> bytes:
    """Return a field with a message or text."""
    size, length = b"", len(payload)
    while length > 0x7F:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + payload


def nested(depth: int) -> bytes:
    """Return a model whose graph holds a node whose attribute holds a graph, and so on."""
    graph = b""
    for _ in range(depth):
        graph = message(1, message(5, message(1, b"g") + message(6, graph)))
    return message(7, graph)


def test_graphs_that_nest_without_end_are_refused() -> None:
    (node,) = read(nested(5)).nodes
    assert node.graphs.keys() == {"g"}
    for depth in (40, 400, 3000):
        with pytest.raises(FormatError, match="nest deeper"):
            read(nested(depth))


def test_every_truncation_is_refused_or_read() -> None:
    for length in range(len(DATA)):
        with suppress(FormatError):
            assert len(read(DATA[:length]).nodes) in (0, 4)


@pytest.mark.parametrize("limit", ["MAX_NODES", "MAX_EDGES", "MAX_TEXT", "MAX_FIELDS"])
def test_what_a_graph_may_hold_is_bounded(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(graph_module, limit, 3)
    with pytest.raises(LimitError, match="more than"):
        read(DATA)


@pytest.mark.parametrize("field", [b"\x3d\0\0\0\0", b"\x40\x01", b"\x4a\x01a"])
def test_the_values_of_an_attribute_are_bounded(
    monkeypatch: pytest.MonkeyPatch, field: bytes
) -> None:
    monkeypatch.setattr(onnx_graph, "MAX_EDGES", 100)
    attribute = message(1, b"a") + field * 200
    with pytest.raises(LimitError, match="more than 100 values"):
        read(message(7, message(1, message(5, attribute))))


def test_sizes_of_inputs_and_tensors_without_end_take_no_memory() -> None:
    sizes = message(2, message(1, b"\x08\x01") * 50_000)
    value = message(1, b"x") + message(2, message(1, b"\x08\x01" + sizes))
    tensor = message(5, b"\x08\x01" * 100_000)
    attribute = message(1, b"a") + tensor
    data = message(7, message(11, value) + message(1, message(5, attribute)))
    tracemalloc.start()
    found = read(data)
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()
    assert found.properties["input x"].count("1") == 64


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    for raw in (data, message(7, data), message(7, message(1, data))):
        with suppress(FormatError):
            read(raw)


@given(mutations(DATA))
def test_damaged_files_raise_only_format_errors(data: bytes) -> None:
    with suppress(FormatError):
        read(data)
