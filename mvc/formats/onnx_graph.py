"""The operators of an ONNX model, subgraphs included. Weights are not read.

Specification: onnx/onnx.proto of the ONNX project.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from itertools import islice

from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import MAX_NAME, MAX_RANK, Source
from mvc.formats.graph import MAX_EDGES, Graph, Node, Room, digest, shortened
from mvc.formats.onnx import DTYPES
from mvc.formats.protobuf import BYTES, FIXED32, VARINT, Field, Wire, signed

PAYLOAD = (4, 5, 6, 7, 9, 10, 11)
MAX_NUMBERS = 100_000
MAX_STRING = 1 << 20
MAX_TENSOR = 1 << 16
"""Bytes of a small tensor in an attribute that are looked at for a digest."""


def read(source: Source) -> Graph:
    """Return the graph of a model.

    Raises:
        FormatError: the protobuf is malformed, nests too deep or holds too much.
    """
    return _Reader(source).model()


class _Reader:
    def __init__(self, source: Source) -> None:
        self._wire = Wire(source)
        self._source = source
        self._room = Room()

    def model(self) -> Graph:
        properties: dict[str, str] = {}
        graph = Graph(())
        for item in self._wire.fields(0, self._source.size):
            if item.number == 1:
                properties["ir_version"] = str(item.value)
            elif item.number == 5:
                properties["model_version"] = str(signed(item.value))
            elif item.number in (2, 3, 4) and item.kind == BYTES:
                key = {2: "producer_name", 3: "producer_version", 4: "domain"}[item.number]
                properties[key] = self._text(item)
            elif item.number == 8:
                domain, version = self._pair(item, 1, 2)
                properties[f"opset {domain or 'ai.onnx'}"] = version
            elif item.number == 14:
                key, value = self._pair(item, 1, 2)
                properties[f"metadata {key}"] = value
            elif item.number == 7:
                graph = self._graph(item, 1)
        return Graph(graph.nodes, {**properties, **graph.properties})

    def _fields(self, message: Field, depth: int) -> Iterator[Field]:
        if message.kind != BYTES:
            raise FormatError("a field that should be a message has another wire type")
        for item in self._wire.fields(message.value, message.value + message.length, depth):
            self._room.field()
            yield item

    def _text(self, item: Field, limit: int = MAX_STRING) -> str:
        return self._room.text(shortened(self._wire.text(item, limit)))

    def _name(self, item: Field) -> str:
        return self._room.text(self._wire.text(item, MAX_NAME))

    def _pair(self, message: Field, one: int, two: int) -> tuple[str, str]:
        found = {one: "", two: ""}
        for item in self._fields(message, 1):
            if item.number in found:
                found[item.number] = (
                    self._text(item) if item.kind == BYTES else str(signed(item.value))
                )
        return found[one], found[two]

    def _graph(self, message: Field, depth: int) -> Graph:
        nodes: list[Node] = []
        properties: dict[str, str] = {}
        for item in self._fields(message, depth):
            if item.number == 1:
                nodes.append(self._node(item, depth + 1))
            elif item.number in (11, 12):
                name, kind = self._value(item, depth + 1)
                properties[f"{'input' if item.number == 11 else 'output'} {name}"] = kind
        return Graph(tuple(nodes), properties)

    def _node(self, message: Field, depth: int) -> Node:
        self._room.node()
        inputs: list[str] = []
        outputs: list[str] = []
        texts = {3: "", 4: "", 7: ""}
        attributes: dict[str, str] = {}
        graphs: dict[str, Graph] = {}
        for item in self._fields(message, depth):
            if item.number == 1:
                inputs.append(self._name(item))
            elif item.number == 2:
                outputs.append(self._name(item))
            elif item.number in texts:
                texts[item.number] = self._name(item)
            elif item.number == 5:
                self._attribute(item, attributes, graphs, depth + 1)
        op = f"{texts[7]}.{texts[4]}" if texts[7] not in ("", "ai.onnx") else texts[4]
        ordered = dict(sorted(attributes.items()))
        return Node(op, texts[3], tuple(inputs), tuple(outputs), ordered, graphs)

    def _attribute(
        self, message: Field, values: dict[str, str], graphs: dict[str, Graph], depth: int
    ) -> None:
        name = ""
        found: list[str] = []
        below: list[Graph] = []
        listed = False
        for item in self._fields(message, depth):
            if item.number == 1:
                name = self._name(item)
            elif item.number in (6, 11):
                below.append(self._graph(item, depth + 1))
            elif item.number in (2, 3, 4, 5, 7, 8, 9, 10, 21):
                listed = listed or item.number in (7, 8, 9, 10)
                found.extend(self._values(item, depth + 1))
                if len(found) > MAX_EDGES:
                    raise LimitError(f"an attribute of more than {MAX_EDGES} values")
        for number, graph in enumerate(below):
            graphs[f"{name}.{number}" if len(below) > 1 else name] = graph
        if found:
            text = f"[{', '.join(found)}]" if listed else found[0]
            values[name] = self._room.text(shortened(text))

    def _values(self, item: Field, depth: int) -> Iterator[str]:
        """Yield the values of one field of an attribute as text."""
        if item.number in (2, 7):
            yield from self._floats(item)
        elif item.number in (3, 8):
            numbers = [item.value]
            if item.kind == BYTES:
                numbers = self._wire.varints(item.value, item.value + item.length, MAX_NUMBERS)
            yield from (str(signed(number)) for number in numbers)
        elif item.number in (4, 9, 21):
            if item.kind != BYTES or item.length > MAX_STRING:
                raise FormatError("a string of an attribute is too long")
            data = self._source.read_at(item.value, item.length)
            yield json.dumps(data.decode("utf-8", "backslashreplace"), ensure_ascii=False)
        else:
            yield self._tensor(item, depth)

    def _floats(self, item: Field) -> Iterator[str]:
        if item.kind == FIXED32:
            data = self._source.read_at(item.value, 4)
        elif item.kind == BYTES and item.length <= 4 * MAX_NUMBERS:
            data = self._source.read_at(item.value, item.length)
        else:
            raise FormatError("the numbers of an attribute have the wrong wire type")
        for (number,) in struct.iter_unpack("<f", data[: len(data) // 4 * 4]):
            yield f"{number:.7g}"

    def _tensor(self, message: Field, depth: int) -> str:
        """Return type, shape and a digest of a tensor; where weights lie the source has zeros."""
        dims: list[int] = []
        kind, room = 0, MAX_TENSOR
        data = b""
        for item in self._fields(message, depth):
            if item.number == 1 and item.kind == VARINT:
                dims = [*dims[:MAX_RANK], item.value]
            elif item.number == 1 and item.kind == BYTES:
                more = self._wire.varints(item.value, item.value + item.length, MAX_RANK)
                dims = [*dims[:MAX_RANK], *more]
            elif item.number == 2:
                kind = item.value
            elif item.number in PAYLOAD:
                room -= max(1, item.length)
                if room >= 0:
                    data += self._payload(item)
        mark = f" #{digest(data)}" if room >= 0 else ""
        return f"{DTYPES.get(kind, 'tensor')} {dims[:MAX_RANK]}{mark}"

    def _payload(self, item: Field) -> bytes:
        if item.kind == BYTES:
            return self._source.read_at(item.value, item.length)
        return item.value.to_bytes(8, "big")

    def _value(self, message: Field, depth: int) -> tuple[str, str]:
        """Return the name and the type of an input or output."""
        name, kind = "", "?"
        for item in self._fields(message, depth):
            if item.number == 1:
                name = self._name(item)
            elif item.number == 2:
                for held in self._fields(item, depth + 1):
                    if held.number == 1:
                        kind = self._tensor_type(held, depth + 2)
        return name, self._room.text(kind)

    def _tensor_type(self, message: Field, depth: int) -> str:
        label, dims = "?", ""
        for item in self._fields(message, depth):
            if item.number == 1:
                label = DTYPES.get(item.value, "string" if item.value == 8 else "?")
            elif item.number == 2:
                listed = islice(self._fields(item, depth + 1), MAX_RANK)
                dims = f" [{', '.join(self._dim(dim, depth + 2) for dim in listed)}]"
        return label + dims

    def _dim(self, message: Field, depth: int) -> str:
        for item in self._fields(message, depth):
            if item.number == 1 and item.kind == VARINT:
                return str(signed(item.value))
            if item.number == 2:
                return self._text(item, MAX_NAME)
        return "?"
