"""TensorFlow Lite models: buffers of a flatbuffer, named after the tensors that use them.

Owns the few tables of the schema that lead to weights. Specification: schema.fbs, version 3, of
the TensorFlow Lite project.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mvc.base import dtypes
from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import (
    MAX_HEADER,
    MAX_NAME,
    MAX_RANK,
    MAX_TENSORS,
    Extent,
    Located,
    Source,
    View,
    check_range,
)
from mvc.formats.flatbuffer import Flatbuffer, Table

IDENTIFIER = b"TFL3"
LARGE = 4096

_VERSION, _SUBGRAPHS, _BUFFERS = 0, 2, 4
_TENSORS = 0
_SHAPE, _TYPE, _BUFFER, _NAME, _QUANTISATION, _SPARSITY = 0, 1, 2, 3, 4, 6
_DATA, _OFFSET, _SIZE = 0, 1, 2

_DTYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    8: "complex64",
    9: "int8",
    10: "float64",
    11: "complex128",
    12: "uint64",
    15: "uint32",
    16: "uint16",
    17: "int4",
    18: "bfloat16",
}


@dataclass(slots=True)
class _Tensor:
    name: str
    dtype: str | None
    shape: tuple[int, ...]
    buffer: int
    table: Table
    graph: int = 0


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file carries the identifier of TensorFlow Lite schema version 3."""
    del source
    return head[4:8] == IDENTIFIER


def locate(source: Source) -> Located:
    """Find the constant tensors of a TensorFlow Lite model.

    Raises:
        FormatError: a table, vector or buffer lies outside the file.
    """
    flat = Flatbuffer(source)
    model = flat.root()
    version = model.scalar(_VERSION, "u32")
    if version != 3:
        raise FormatError(f"schema version {version} is not 3")
    ranges = _buffer_ranges(model)
    names = _Names()
    users: dict[int, list[_Tensor]] = {}
    for tensor in _named(model, ranges, names):
        if ranges[tensor.buffer][1]:
            users.setdefault(tensor.buffer, []).append(tensor)
    extents: list[Extent] = []
    views: list[View] = []
    end = shared = 0
    for number in sorted(range(len(ranges)), key=ranges.__getitem__):
        offset, length = ranges[number]
        if offset < end and length:
            shared += 1
            continue
        tensors = users.get(number, [])
        extent = _extent(tensors, names, number, ranges[number])
        if extent is not None:
            extents.append(extent)
            views.extend(_views(extent, tensors))
            end = offset + length
    notes = (f"{shared} buffers share bytes with another buffer and are left out.",)
    return Located("tflite", tuple(extents), tuple(views), notes if shared else ())


def quantised(model: Table) -> Iterator[tuple[str, tuple[int, ...], Table]]:
    """Yield name, shape and quantisation parameters of the tensors that have such.

    Constant tensors have the names that `locate` gives them.
    """
    ranges = _buffer_ranges(model)
    for tensor in _named(model, ranges, _Names()):
        place = tensor.table.where(_QUANTISATION, 4)
        if place is not None:
            table = Table.at(model.buffer, model.buffer.follow(place))
            yield tensor.name, tensor.shape, table


class _Names:
    """Hands out every name once; whoever comes second gets a subgraph or a number added."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._following: Counter[str] = Counter()

    def fresh(self, name: str, graph: int = 0) -> str:
        if graph and name in self._used:
            name = f"subgraph.{graph}/{name}"
        result = name
        while result in self._used:
            self._following[name] += 1
            result = f"{name}#{self._following[name] + 1}"
        self._used.add(result)
        return result


def _buffer_ranges(model: Table) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for position in model.tables(_BUFFERS, MAX_TENSORS):
        table = Table.at(model.buffer, position)
        offset = table.scalar(_OFFSET, "u64")
        if offset > 1:
            length = table.scalar(_SIZE, "u64")
            check_range(offset, length, model.buffer.size)
            ranges.append((offset, length))
        else:
            ranges.append(table.vector(_DATA, 1) or (0, 0))
    return ranges


def _named(model: Table, ranges: Sequence[tuple[int, int]], names: _Names) -> Iterator[_Tensor]:
    """Yield all tensors; those that are constant have names of their own."""
    for tensor in _tensors(model):
        if tensor.buffer >= len(ranges):
            raise FormatError(f"tensor {tensor.name[:80]!r} uses a buffer that does not exist")
        if ranges[tensor.buffer][1]:
            tensor.name = names.fresh(tensor.name, tensor.graph)
        yield tensor


def _tensors(model: Table) -> list[_Tensor]:
    found: list[_Tensor] = []
    room, text = MAX_TENSORS, MAX_HEADER
    subgraphs = model.tables(_SUBGRAPHS, MAX_TENSORS)
    for graph, place in enumerate(subgraphs):
        subgraph = Table.at(model.buffer, place)
        # Offsets may share vectors and strings, so both are bounded over the whole file.
        positions = subgraph.tables(_TENSORS, MAX_TENSORS)
        room -= len(positions)
        if room < 0:
            raise LimitError(f"its subgraphs hold more than {MAX_TENSORS} tensors")
        for index, position in enumerate(positions):
            tensor = _tensor(Table.at(model.buffer, position))
            if not tensor.name:
                tensor.name = f"tensor.{index}"
            tensor.graph = graph
            text -= len(tensor.name)
            if text < 0:
                raise LimitError(f"its tensor names take more than {MAX_HEADER} characters")
            found.append(tensor)
    return found


def _tensor(table: Table) -> _Tensor:
    shape = table.numbers(_SHAPE, MAX_RANK)
    dtype = _DTYPES.get(table.scalar(_TYPE, "i8"))
    if table.where(_SPARSITY, 4) is not None or min(shape, default=0) < 0:
        dtype = None
    name = table.text(_NAME, MAX_NAME - 64)
    return _Tensor(name, dtype, shape, table.scalar(_BUFFER, "u32"), table)


def _extent(
    users: list[_Tensor], names: _Names, number: int, place: tuple[int, int]
) -> Extent | None:
    offset, length = place
    for tensor in users:
        if tensor.dtype and dtypes.nbytes(tensor.dtype, tensor.shape) == length:
            return Extent(tensor.name, tensor.dtype, tensor.shape, offset, length)
    if length <= LARGE:
        return None
    name = users[0].name if users else names.fresh(f"buffer.{number}")
    return Extent(name, "uint8", (length,), offset, length)


def _views(extent: Extent, users: list[_Tensor]) -> list[View]:
    strides: list[int] = []
    step = 1
    for dim in reversed(extent.shape):
        strides.insert(0, step)
        step *= dim
    return [
        View(tensor.name, extent.name, tensor.shape, 0, tuple(strides))
        for tensor in users
        if (tensor.dtype, tensor.shape) == (extent.dtype, extent.shape)
        and tensor.name != extent.name
    ]
