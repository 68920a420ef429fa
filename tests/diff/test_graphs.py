from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mvc.base.errors import FormatError
from mvc.diff.graphs import compare
from mvc.formats import graph as graph_module
from mvc.formats import onnx_graph
from mvc.formats.base import BytesSource
from mvc.formats.graph import Graph, Node


def node(op: str, inputs: str, outputs: str, name: str = "", **attributes: str) -> Node:
    return Node(op, name, tuple(inputs.split()), tuple(outputs.split()), attributes)


CHAIN = (
    node("Conv", "x w0", "a", "conv0", pads="[1, 1]"),
    node("Relu", "a", "b", "relu0"),
    node("Conv", "b w1", "c", "conv1", pads="[1, 1]"),
    node("Relu", "c", "d", "relu1"),
    node("Gemm", "d w2", "y", "gemm"),
)


def test_an_operator_in_between_rewires_only_what_follows_it() -> None:
    new = [*CHAIN[:2], node("Clip", "b", "b2", "clip"), *CHAIN[2:]]
    new[3] = node("Conv", "b2 w1", "c", "conv1", pads="[1, 1]")
    found = compare(Graph(CHAIN), Graph(tuple(new)))
    assert [item.op for item in found.added] == ["Clip"]
    assert (found.removed, found.unchanged) == ((), 4)
    (change,) = found.changed
    assert (change.new.name, change.rewired, change.attributes) == ("conv1", True, ())


def test_numbered_names_that_shifted_are_no_difference() -> None:
    def numbered(operators: list[str], first: int) -> Graph:
        nodes = []
        for place, op in enumerate(operators):
            here, before = first + place, "x" if not place else f"v{first + place - 1}"
            weight = f" w{place}" if op == "Conv" else ""
            nodes.append(node(op, before + weight, f"v{here}", f"{op}_{here}"))
        return Graph(tuple(nodes))

    operators = ["Conv", "Relu", "Conv", "Sigmoid", "Mul"]
    found = compare(numbered(operators, 0), numbered(operators, 40))
    assert not found.differs
    assert (found.unchanged, found.renamed) == (5, 5)


def test_attributes_and_operators_that_changed_are_named() -> None:
    new = (
        node("Conv", "x w0", "a", "conv0", pads="[2, 2]"),
        node("Gelu", "a", "b", "relu0"),
        *CHAIN[2:],
    )
    found = compare(Graph(CHAIN), Graph(new))
    assert (found.added, found.removed) == ((), ())
    first, second = found.changed
    (pads,) = first.attributes
    assert (pads.path, pads.old, pads.new) == ("pads", "[1, 1]", "[2, 2]")
    assert (second.old.op, second.new.op) == ("Relu", "Gelu")


def test_weights_that_were_renamed_rewire_nothing() -> None:
    new = tuple(
        Node(
            item.op,
            item.name,
            tuple(name.replace("w", "model.w") for name in item.inputs),
            item.outputs,
            item.attributes,
        )
        for item in CHAIN
    )
    assert compare(Graph(CHAIN), Graph(new)).differs
    names = {f"w{number}": f"model.w{number}" for number in range(3)}
    assert not compare(Graph(CHAIN), Graph(new), names).differs


def test_what_is_inside_both_ways_of_an_if_is_compared() -> None:
    def branching(op: str) -> Graph:
        ways = {"then": Graph((node(op, "x", "y"),)), "else": Graph((node("Neg", "x", "y"),))}
        return Graph((Node("If", "if0", ("c",), ("out",), {}, ways),))

    found = compare(branching("Relu"), branching("Gelu"))
    (change,) = found.changed
    assert (change.old.op, change.new.op, change.new.scope) == ("Relu", "Gelu", "if0/then")
    gone = compare(branching("Relu"), Graph(()))
    assert [item.op for item in gone.removed] == ["If", "Relu", "Neg"]


def test_inputs_and_versions_are_properties() -> None:
    found = compare(
        Graph((), {"opset": "13", "input x": "float32 [1]"}), Graph((), {"opset": "17"})
    )
    assert [(item.path, item.old, item.new) for item in found.properties] == [
        ("input x", "float32 [1]", None),
        ("opset", "13", "17"),
    ]


OPERATORS = st.lists(st.sampled_from(["Relu", "Conv", "Add", "Mul"]), max_size=12)


def chain(operators: list[str], prefix: str) -> Graph:
    nodes = [
        node(op, f"{prefix}{place}", f"{prefix}{place + 1}") for place, op in enumerate(operators)
    ]
    return Graph(tuple(nodes))


@given(OPERATORS, OPERATORS)
def test_every_operator_is_counted_on_each_side(old: list[str], new: list[str]) -> None:
    found = compare(chain(old, "a"), chain(new, "b"))
    both = found.unchanged + len(found.changed)
    assert both + len(found.removed) == len(old)
    assert both + len(found.added) == len(new)


@given(OPERATORS)
def test_a_graph_does_not_differ_from_itself(operators: list[str]) -> None:
    found = compare(chain(operators, "a"), chain(operators, "b"))
    assert not found.differs or found.removed == found.added == ()
    assert not compare(chain(operators, "a"), chain(operators, "a")).differs


def model() -> bytes:
    weight = helper.make_tensor(
        "w", TensorProto.FLOAT, (2, 2), np.ones(4, "f4").tobytes(), raw=True
    )
    inner = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["n"])],
        "inner",
        [],
        [helper.make_tensor_value_info("n", TensorProto.FLOAT, [2, 2])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["m"], name="mm"),
            helper.make_node("Custom", ["m"], ["k"], domain="my", f=1.5, i=-3, s="a\x00b"),
            helper.make_node("Fancy", ["k"], ["z"], floats=[0.5, 2], ints=[1, 2], strings=["p"]),
            helper.make_node("If", ["c"], ["y"], name="if", then_branch=inner, else_branch=inner),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])],
        [weight],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    data: bytes = made.SerializeToString()
    return data


def test_the_reader_agrees_with_the_library_of_the_format() -> None:
    read = onnx_graph.read(BytesSource(model()))
    library = onnx.load_from_string(model()).graph
    assert [item.name for item in read.nodes] == [item.name for item in library.node]
    assert [item.inputs for item in read.nodes] == [tuple(item.input) for item in library.node]
    assert [item.outputs for item in read.nodes] == [tuple(item.output) for item in library.node]
    _, custom, fancy, branch = read.nodes
    assert custom.op == "my.Custom"
    assert custom.attributes == {"f": "1.5", "i": "-3", "s": '"a\\u0000b"'}
    assert fancy.attributes == {"floats": "[0.5, 2]", "ints": "[1, 2]", "strings": '["p"]'}
    assert {name: len(below.nodes) for name, below in branch.graphs.items()} == {
        "then_branch": 1,
        "else_branch": 1,
    }
    assert read.properties["opset ai.onnx"] == "17"
    assert read.properties["input x"] == "float32 [batch, 2]"


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_model_is_refused_or_read_but_nothing_else(at: int, value: int) -> None:
    data = bytearray(model())
    data[at % len(data)] = value
    with suppress(FormatError):
        onnx_graph.read(BytesSource(bytes(data)))


def test_a_graph_of_too_many_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "MAX_NODES", 3)
    with pytest.raises(FormatError, match="more than 3 nodes"):
        onnx_graph.read(BytesSource(model()))
