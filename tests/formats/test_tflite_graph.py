"""Operators and scales of TensorFlow Lite models: written by hand, real, and damaged."""

from __future__ import annotations

import os
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hostile import mutations
from hypothesis import given
from hypothesis import strategies as st
from tflite_files import Model, blob, numbers, quantisation

from mvc.base.errors import FormatError, LimitError
from mvc.formats import graph as graph_module
from mvc.formats import tflite_graph, tflite_scales
from mvc.formats.base import BytesSource
from mvc.formats.graph import Graph
from mvc.formats.tflite_scales import Scales

READERS: list[Callable[[BytesSource], Any]] = [tflite_graph.read, tflite_scales.read]
CONV, FULLY_CONNECTED, RELU, CUSTOM = 3, 9, 19, 32


def network() -> Model:
    """Return a convolution, an activation, and an operator that no schema knows."""
    model = Model()
    model.tensor("x", 9, [1, 8, 8, 3], 0, quantisation=quantisation([0.5], [-1]))
    scales = quantisation([0.25, 0.5, 1, 2], [0, 0, 0, 0], axis=0)
    model.weight("w", 9, [4, 3, 3, 3], bytes(108), quantisation=scales)
    model.weight("b", 2, [4], bytes(16), quantisation=quantisation([0.125]))
    for name in ("conv", "relu", "y"):
        model.tensor(name, 9, [1, 8, 8, 4], 0)
    stride = struct.pack("<i", 2)
    model.operator(CONV, [0, 1, 2], [3], (1, {0: b"\1", 1: stride, 2: stride, 3: b"\1"}))
    model.operator(RELU, [3], [4])
    model.operator(CUSTOM, [4, -1, 99], [5], custom="Mine")
    model.edges = [([0], [5])]
    return model


def read(data: bytes) -> Graph:
    return tflite_graph.read(BytesSource(data))


def scales(data: bytes) -> dict[str, Scales]:
    return tflite_scales.read(BytesSource(data))


def test_operators_have_kinds_edges_and_attributes() -> None:
    found = read(network().build())
    assert [(node.op, node.inputs, node.outputs) for node in found.nodes] == [
        ("CONV_2D", ("x", "w", "b"), ("conv",)),
        ("RELU", ("conv",), ("relu",)),
        ("Mine", ("relu", "", ""), ("y",)),
    ]
    assert found.nodes[0].attributes == {
        "padding": "1",
        "stride_w": "2",
        "stride_h": "2",
        "activation": "1",
    }
    assert [key for key in found.properties if key != "description"] == ["input x", "output y"]


def test_operators_beyond_the_first_127_are_known_by_their_second_code() -> None:
    model = Model().operator(114, [], []).operator(150, [], []).operator(199, [], [])
    assert [node.op for node in read(model.build()).nodes] == ["QUANTIZE", "GELU", "BUILTIN_199"]


def test_further_subgraphs_are_graphs_of_a_node() -> None:
    model = network().tensor("inner", 0, [1], 0, graph=1).operator(RELU, [0], [0], graph=1)
    *_, last = read(model.build()).nodes
    assert (last.op, last.name) == ("SUBGRAPH", "1")
    assert [node.inputs for node in last.graphs["body"].nodes] == [("inner",)]


def test_scales_zero_points_and_their_axis_are_read_by_the_names_of_tensors() -> None:
    assert scales(network().build()) == {
        "x": Scales(4, (0.5,), (-1,), 0),
        "w": Scales(4, (0.25, 0.5, 1.0, 2.0), (0, 0, 0, 0), 0),
        "b": Scales(1, (0.125,), (), 0),
    }


def test_scales_of_two_tensors_of_one_name_are_told_apart() -> None:
    model = Model()
    for number in (1, 2):
        row = quantisation([float(number)], axis=number)
        model.weight("w", 9, [4, 2, 3], bytes(24), quantisation=row)
    found = scales(model.build())
    assert {name: (one.scales, one.axis) for name, one in found.items()} == {
        "w": ((1.0,), 1),
        "w#2": ((2.0,), 2),
    }


def test_a_tensor_without_scales_states_nothing() -> None:
    empty = {2: numbers("f", []), 3: numbers("q", [])}
    model = Model().weight("a", 9, [4], bytes(4), quantisation=lambda out: out.table(empty))
    model.weight("b", 9, [4], bytes(4), quantisation=lambda out: out.table({}))
    assert scales(model.build()) == {}


@pytest.mark.parametrize(
    ("reader", "model", "words"),
    [
        (
            tflite_scales.read,
            network().tensor("q", 9, [1], 0, quantisation=blob(b"")),
            "impossible vtable",
        ),
        (
            tflite_graph.read,
            Model(codes=[(CUSTOM, "a" * 5000)]).operator(0, [], []),
            "above the limit",
        ),
        (tflite_graph.read, Model(graphs=[[{3: blob(b"\xff")}]]), "UTF-8"),
        (tflite_scales.read, Model().tensor("w", 9, [1], 7), "does not exist"),
    ],
)
def test_impossible_models_are_refused(reader: Any, model: Model, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        reader(BytesSource(model.build()))


@pytest.mark.parametrize("monkey", ["MAX_EDGES", "MAX_NODES", "MAX_TEXT"])
def test_what_a_graph_may_hold_is_bounded(monkeypatch: pytest.MonkeyPatch, monkey: str) -> None:
    monkeypatch.setattr(graph_module, monkey, 2)
    with pytest.raises(LimitError, match="more than"):
        read(network().build())


def test_edges_that_name_no_tensor_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "MAX_EDGES", 50)
    with pytest.raises(LimitError, match="more than 50 edges"):
        read(Model().operator(RELU, [-1] * 60, []).build())


def test_the_number_of_scales_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_scales, "MAX_SCALES", 8)
    with pytest.raises(LimitError, match="more than 8 scales"):
        scales(network().build())


@pytest.mark.parametrize("reader", READERS)
def test_huge_vectors_are_refused_before_memory_is_taken(reader: Any) -> None:
    huge = struct.pack("<I", 2**32 - 1)
    lies: list[Model] = []
    for row in ({1: lambda out: _raw(out, huge)}, {2: lambda out: _raw(out, huge)}):
        lies.append(Model(codes=[(RELU, "")], operators=[[row]]))
        lies.append(Model(graphs=[[{3: blob(b"w"), 4: lambda out, row=row: out.table(row)}]]))
    lies.append(Model(graphs=[[{3: lambda out: _raw(out, huge)}]]))
    for model in lies:
        data = BytesSource(model.build())
        tracemalloc.start()
        with suppress(FormatError):
            reader(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
        tracemalloc.stop()


def _raw(out: Any, data: bytes) -> int:
    start = len(out.data)
    out.data += data + bytes(64)
    return start


@pytest.mark.parametrize("reader", READERS)
def test_every_truncation_is_refused_or_read(reader: Any) -> None:
    data = network().build()
    whole = reader(BytesSource(data))
    for length in range(len(data)):
        with suppress(FormatError):
            assert reader(BytesSource(data[:length])) == whole


@pytest.mark.parametrize("reader", READERS)
def test_tables_in_a_ring_end(reader: Any) -> None:
    for step in (4, 8, 12, 2**32 - 4, 2**32 - 8):
        ring = b"\x08\0\0\0TFL3" + struct.pack("<I", step) * 300
        with suppress(FormatError):
            reader(BytesSource(ring))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    for reader in READERS:
        for raw in (data, b"\x10\0\0\0TFL3" + data):
            with suppress(FormatError):
                reader(BytesSource(raw))


@given(mutations(network().build()))
def test_damaged_files_raise_only_format_errors(data: bytes) -> None:
    for reader in READERS:
        with suppress(FormatError):
            reader(BytesSource(data))


@given(st.data())
def test_offsets_that_lead_anywhere_raise_only_format_errors(data: st.DataObject) -> None:
    raw = bytearray(network().build())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) // 4 - 1)) * 4
        value = data.draw(st.integers(0, 2**32 - 1) | st.integers(0, len(raw)))
        raw[at : at + 4] = struct.pack("<I", value)
    for reader in READERS:
        with suppress(FormatError):
            reader(BytesSource(bytes(raw)))


GIVEN = os.environ.get("MVC_TEST_MODELS")  # noqa: TID251
FETCHED = Path(__file__).parents[2] / ".models"


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("timer_v0.1", {"FULLY_CONNECTED": 3, "RESHAPE": 1, "SOFTMAX": 1}),
        (
            "embedding_model",
            {"CONV_2D": 20, "LEAKY_RELU": 19, "MAXIMUM": 19, "MAX_POOL_2D": 5, "PAD": 1},
        ),
    ],
)
def test_every_operator_of_a_real_model_has_its_weights(
    name: str, operators: dict[str, int]
) -> None:
    from examples.models import fetch
    from mvc.formats import tflite

    folder = Path(GIVEN) if GIVEN else FETCHED
    fetch(("openwakeword",), folder)
    source = BytesSource((folder / "openwakeword" / f"{name}.tflite").read_bytes())
    found = tflite_graph.read(source)
    assert Counter(node.op for node in found.nodes) == operators
    weights = {extent.name for extent in tflite.locate(source).extents}
    taken = {edge for node in found.nodes for edge in node.inputs}
    assert weights <= taken
    made = {edge for node in found.nodes for edge in node.outputs}
    ends = {
        key.partition(" ")[2] for key in found.properties if key.startswith(("input", "output"))
    }
    assert not taken - weights - made - ends
    assert tflite_scales.read(source) == {}
