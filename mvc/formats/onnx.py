"""ONNX: tensors inside a ModelProto, and the ranges it claims in external data files.

Owns the walk from model to graphs, nodes, attributes and tensors, and how tensors inside
subgraphs are named. Specification: onnx/onnx.proto and docs/ExternalData.md of the ONNX project.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mvc.base import dtypes
from mvc.base.errors import FormatError, LimitError
from mvc.formats import protobuf
from mvc.formats.base import (
    MAX_DIM,
    MAX_HEADER,
    MAX_NAME,
    MAX_RANK,
    MAX_TENSORS,
    Extent,
    Located,
    Source,
)
from mvc.formats.protobuf import BYTES, FIXED32, VARINT, Field, Wire

EXTERNAL_FORMAT = "onnx-external"
MAX_IR_VERSION = 100
MAX_MODEL_FIELDS = 100_000
LARGE = 4096

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
    15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz",
    19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4_e2m1fn",
    24: "float8_e8m0fnu", 25: "uint2", 26: "int2", 27: "float6_e2m3fn", 28: "float6_e3m2fn",
}  # fmt: skip

_MODEL_KINDS = dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), BYTES) | {1: VARINT, 5: VARINT}
_GRAPH_FIELDS = frozenset((1, 2, 5, 10, 11, 12, 13, 14, 15, 16))
_GRAPH_CONTENT = (1, 5, 12)

_DATA_FIELDS = {4: "float_data", 5: "int32_data", 6: "string_data", 7: "int64_data"}
_DATA_FIELDS |= {9: "raw_data", 10: "double_data", 11: "uint64_data"}
_PACKED = {4: ("float32", "complex64"), 10: ("float64", "complex128")}
_PAYLOAD_BYTES = frozenset((*_DATA_FIELDS, 3))


@dataclass(slots=True)
class _Tensor:
    name: str = ""
    scope: str = ""
    kind: int = 0
    dims: list[int] = field(default_factory=list)
    data: list[Field] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the whole file reads as a ModelProto with a graph that holds something.

    ONNX has no magic number, so every field at the top must be known and of its right wire type
    up to the last byte, `ir_version` must be plausible, and the graph must not be empty. A file
    of more than MAX_MODEL_FIELDS such fields is something else, and is not read to its end.
    """
    if not head or head[0] >> 3 not in _MODEL_KINDS:
        return False
    wire = Wire(source)
    version = 0
    graphs: list[Field] = []
    try:
        for count, item in enumerate(wire.fields(0, source.size)):
            if _MODEL_KINDS.get(item.number) != item.kind or count == MAX_MODEL_FIELDS:
                return False
            if item.number == 1:
                version = item.value
            elif item.number == 7:
                graphs.append(item)
                if len(graphs) > 1:
                    return False
        if not 0 < version <= MAX_IR_VERSION or not graphs:
            return False
        for item in wire.fields(graphs[0].value, graphs[0].value + graphs[0].length, 1):
            if item.number not in _GRAPH_FIELDS or item.kind != BYTES:
                return False
            if item.number in _GRAPH_CONTENT:
                return True
    except FormatError:
        return False
    return False


def locate(source: Source) -> Located:
    """Find the tensors that lie inside an ONNX file.

    Raises:
        FormatError: the protobuf is malformed, nests too deep or holds too many tensors.
    """
    remarks = _Remarks()
    extents: list[Extent] = []
    for tensor in _named(_Collector(source).model()):
        if tensor.is_external:
            continue
        found = _extent(tensor, remarks)
        if found is not None:
            extents.append(found)
    extents.sort(key=lambda extent: extent.offset)
    return Located("onnx", tuple(extents), notes=remarks.notes())


def external(source: Source) -> dict[str, tuple[Extent, ...]]:
    """Return, for every external data file of an ONNX model, the ranges the model claims in it.

    Only locations that stay inside the model's folder are returned. Extents are in file order
    without overlap: of tied tensors the first one in the model keeps the bytes.

    Raises:
        FormatError: the protobuf is malformed, nests too deep or holds too many tensors.
    """
    claims: dict[str, list[Extent]] = {}
    for tensor in _named(_Collector(source).model()):
        location = tensor.external.get("location", "")
        if not tensor.is_external or not _stays_inside(location):
            continue
        claim = _claim(tensor)
        if claim is not None:
            claims.setdefault(location, []).append(claim)
    return {location: _apart(extents) for location, extents in claims.items()}


class _Collector:
    """Walks a model and gathers every TensorProto in it, without touching payloads."""

    def __init__(self, source: Source) -> None:
        self._wire = Wire(source)
        self._size = source.size
        self._tensors: list[_Tensor] = []
        self._room = MAX_HEADER

    def model(self) -> list[_Tensor]:
        functions = trainings = 0
        for item in self._wire.fields(0, self._size):
            if item.number == 7:
                self._graph(_message(item), "", 1)
            elif item.number == 20:
                self._training(_message(item), f"training_info/{trainings}", 1)
                trainings += 1
            elif item.number == 25:
                self._function(_message(item), f"functions/{functions}", 1)
                functions += 1
        return self._tensors

    def _fields(self, message: Field, depth: int) -> Iterable[Field]:
        return self._wire.fields(message.value, message.value + message.length, depth)

    def _training(self, message: Field, scope: str, depth: int) -> None:
        for item in self._fields(message, depth):
            if item.number == 1:
                self._graph(_message(item), f"{scope}/initialization", depth + 1)
            elif item.number == 2:
                self._graph(_message(item), f"{scope}/algorithm", depth + 1)

    def _function(self, message: Field, scope: str, depth: int) -> None:
        nodes = 0
        for item in self._fields(message, depth):
            if item.number == 7:
                self._node(_message(item), scope, nodes, depth + 1)
                nodes += 1
            elif item.number == 11:
                self._attribute(_message(item), scope, "", depth + 1)

    def _graph(self, message: Field, scope: str, depth: int) -> None:
        nodes = 0
        for item in self._fields(message, depth):
            if item.number == 1:
                self._node(_message(item), scope, nodes, depth + 1)
                nodes += 1
            elif item.number == 5:
                self._tensor(_message(item), scope, "", depth + 1)
            elif item.number == 15:
                self._sparse(_message(item), scope, "", depth + 1)

    def _node(self, message: Field, scope: str, index: int, depth: int) -> None:
        name = output = operator = ""
        attributes: list[Field] = []
        for item in self._fields(message, depth):
            if item.number == 2 and not output:
                output = self._wire.text(item, MAX_NAME)
            elif item.number == 3:
                name = self._wire.text(item, MAX_NAME)
            elif item.number == 4:
                operator = self._wire.text(item, MAX_NAME)
            elif item.number == 5:
                attributes.append(_message(item))
        if not attributes:
            return
        owner = name or output or f"node.{index}"
        if len(scope) > MAX_NAME:
            raise LimitError("the names of nested graphs are too long")
        for item in attributes:
            constant = output if operator == "Constant" else ""
            self._attribute(item, f"{scope}/{owner}".lstrip("/"), constant, depth + 1, scope)

    def _attribute(
        self, message: Field, scope: str, constant: str, depth: int, outer: str | None = None
    ) -> None:
        name = ""
        held: list[Field] = []
        for item in self._fields(message, depth):
            if item.number == 1:
                name = self._wire.text(item, MAX_NAME)
            elif item.number in (5, 6, 10, 11, 22, 23):
                held.append(_message(item))
        if not held:
            return
        path = f"{scope}/{name}"
        several = len(held) > 1
        for index, item in enumerate(held):
            inner = f"{path}.{index}" if several else path
            if item.number in (6, 11):
                self._graph(item, inner, depth + 1)
                continue
            read = self._tensor if item.number in (5, 10) else self._sparse
            if constant:
                read(item, scope if outer is None else outer, constant, depth + 1)
            else:
                read(item, "", inner, depth + 1)

    def _sparse(self, message: Field, scope: str, name: str, depth: int) -> None:
        for item in self._fields(message, depth):
            if item.number == 1:
                name = self._tensor(_message(item), scope, name, depth + 1).name
            elif item.number == 2:
                self._tensor(_message(item), scope, f"{name}.indices", depth + 1)

    def _tensor(self, message: Field, scope: str, name: str, depth: int) -> _Tensor:
        tensor = _Tensor(scope=scope)
        for item in self._fields(message, depth):
            if item.number == 1:
                self._dims(tensor, item)
            elif item.number == 2 and item.kind == VARINT:
                tensor.kind = item.value
            elif item.number in _PAYLOAD_BYTES:
                # Two entries are enough to know that the payload is not in one piece.
                if len(tensor.data) < 2:
                    tensor.data.append(item)
            elif item.number == 8:
                tensor.name = self._wire.text(item, MAX_NAME)
            elif item.number == 13:
                self._external_entry(tensor, _message(item), depth + 1)
            elif item.number == 14 and item.kind == VARINT:
                tensor.is_external = item.value == 1
        tensor.name = name or tensor.name
        self._tensors.append(tensor)
        if len(self._tensors) > MAX_TENSORS:
            raise LimitError(f"it holds more than {MAX_TENSORS} tensors")
        # Every node of a nested graph repeats the names around it, so a small file could ask
        # for gigabytes of names.
        self._room -= len(tensor.name) + len(scope)
        if self._room < 0:
            raise LimitError(f"its tensor names take more than {MAX_HEADER} characters")
        return tensor

    def _dims(self, tensor: _Tensor, item: Field) -> None:
        if item.kind == BYTES:
            room = MAX_RANK + 1
            values = self._wire.varints(item.value, item.value + item.length, room)
        elif item.kind == VARINT:
            values = [item.value]
        else:
            raise FormatError("the dimensions of a tensor have the wrong wire type")
        tensor.dims.extend(protobuf.signed(value) for value in values)
        if len(tensor.dims) > MAX_RANK:
            raise LimitError(f"a tensor has more than {MAX_RANK} dimensions")

    def _external_entry(self, tensor: _Tensor, message: Field, depth: int) -> None:
        key = value = ""
        for item in self._fields(message, depth):
            if item.number == 1:
                key = self._wire.text(item, MAX_NAME)
            elif item.number == 2:
                value = self._wire.text(item, MAX_NAME)
        if key in ("location", "offset", "length"):
            tensor.external[key] = value


class _Remarks:
    """Counts why tensors stay literal, so that a million of them make one sentence."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: str, name: str) -> None:
        self._counts[reason] += 1
        self._examples.setdefault(reason, name[:80])

    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{count} tensors stay literal because {reason}, such as {self._examples[reason]!r}."
            for reason, count in sorted(self._counts.items())
        )


def _message(item: Field) -> Field:
    if item.kind != BYTES:
        raise FormatError(f"field {item.number} should be a message but has another wire type")
    return item


def _named(tensors: list[_Tensor]) -> list[_Tensor]:
    """Return the tensors with names made unique: by scope first, then by a number."""
    counts = Counter(tensor.name for tensor in tensors)
    used = {name for name, count in counts.items() if count == 1}
    following: Counter[str] = Counter()
    for tensor in tensors:
        if counts[tensor.name] == 1:
            continue
        plain = f"{tensor.scope}/{tensor.name}" if tensor.scope else tensor.name
        if len(plain.encode("utf-8")) > MAX_NAME - 10:
            plain = "tensor"
        name = plain
        while name in used:
            following[plain] += 1
            name = f"{plain}#{following[plain] + 1}"
        used.add(name)
        tensor.name = name
    return tensors


def _shape(tensor: _Tensor) -> tuple[int, ...] | None:
    good = all(0 <= dim <= MAX_DIM for dim in tensor.dims)
    return tuple(tensor.dims) if good else None


def _extent(tensor: _Tensor, remarks: _Remarks) -> Extent | None:
    if not tensor.data:
        return None
    data = tensor.data[0]
    shape = _shape(tensor)
    label = DTYPES.get(tensor.kind)
    reason = _why_literal(tensor, label)
    if reason is None and (shape is None or dtypes.nbytes(str(label), shape) != data.length):
        reason = "their bytes disagree with their dimensions"
    if reason is not None or shape is None or label is None:
        if data.length >= LARGE or len(tensor.data) > 1:
            remarks.add(reason or "", tensor.name)
        return None
    return Extent(tensor.name, label, shape, data.value, data.length)


def _why_literal(tensor: _Tensor, label: str | None) -> str | None:
    data = tensor.data[0]
    if tensor.kind == 8:
        return "they hold strings"
    if label is None:
        return "their element type is unknown"
    if len(tensor.data) > 1 or (data.kind in (VARINT, FIXED32) and data.number != 9):
        return "their values are stored one by one or in several pieces"
    if data.kind != BYTES or data.number == 3:
        return "their values are stored one by one or in several pieces"
    if data.number == 9 or label in _PACKED.get(data.number, ()):
        return None
    return f"{_DATA_FIELDS[data.number]} does not hold their bytes as they are"


def _stays_inside(location: str) -> bool:
    """Tell whether a location is a plain relative path, under POSIX and Windows rules alike."""
    if not location or re.search(r"[\x00-\x1f\x7f\\:]", location):
        return False
    return all(part not in ("", ".", "..") for part in location.split("/"))


def _claim(tensor: _Tensor) -> Extent | None:
    shape = _shape(tensor)
    offset = _decimal(tensor.external.get("offset", "0"))
    if shape is None or offset is None:
        return None
    label = DTYPES.get(tensor.kind)
    expected = None if label is None else dtypes.nbytes(label, shape)
    length = expected
    if "length" in tensor.external:
        length = _decimal(tensor.external["length"])
    if length is None or label is None or length != expected:
        return None
    return Extent(tensor.name, label, shape, offset, length)


def _decimal(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) else None


def _apart(extents: list[Extent]) -> tuple[Extent, ...]:
    kept: list[Extent] = []
    end = 0
    for extent in sorted(extents, key=lambda extent: extent.offset):
        if extent.offset >= end:
            kept.append(extent)
            end = extent.offset + extent.length
    return tuple(kept)
