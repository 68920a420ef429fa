"""The operators of a TensorFlow Lite model. Weights are not read.

Specification: schema.fbs, version 3, of the TensorFlow Lite project. Attributes are known of the
operators that networks for devices are mostly made of; of others, only their type is.
"""

from __future__ import annotations

import struct

from mvc.formats.base import MAX_NAME, MAX_TENSORS, Source
from mvc.formats.flatbuffer import Flatbuffer, Table
from mvc.formats.graph import MAX_EDGES, MAX_NODES, Graph, Node, Room

_CODES, _SUBGRAPHS, _DESCRIPTION = 1, 2, 3
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3

_NAMES = (
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE "
    "EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D "
    "LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 "
    "RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS "
    "SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER "
    "BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE "
    "UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT "
    "LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG "
    "PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE "
    "EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD "
    "REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV "
    "REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU "
    "SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V"
)
_OPS = dict(enumerate(_NAMES.split())) | {114: "QUANTIZE", 150: "GELU"}
_CUSTOM = 32

# Of each kind of options: the scalar fields in order, b for a byte, i for int32, f for float.
_OPTIONS = {
    1: "padding:b stride_w:i stride_h:i activation:b dilation_w:i dilation_h:i",
    2: "padding:b stride_w:i stride_h:i multiplier:i activation:b dilation_w:i dilation_h:i",
    5: "padding:b stride_w:i stride_h:i filter_width:i filter_height:i activation:b",
    8: "activation:b weights_format:b keep_num_dims:b asymmetric_quantize_inputs:b",
    9: "beta:f",
    10: "axis:i activation:b",
    11: "activation:b",
    21: "activation:b",
}
_WIDTHS = {"b": 1, "i": 4, "f": 4}


def read(source: Source) -> Graph:
    """Return the graph of a model; further subgraphs are those of a node `SUBGRAPH`.

    Raises:
        FormatError: a table or vector lies outside the file, or the file holds too much.
    """
    flat = Flatbuffer(source)
    model = flat.root()
    room = Room()
    codes = [room.text(_code(Table.at(flat, at))) for at in model.tables(_CODES, MAX_NODES)]
    graphs = [_graph(Table.at(flat, at), codes, room) for at in model.tables(_SUBGRAPHS, MAX_NODES)]
    properties = {"description": model.text(_DESCRIPTION, MAX_NAME)}
    if not graphs:
        return Graph((), properties)
    others = tuple(
        Node("SUBGRAPH", str(number), (), (), {}, {"body": graph})
        for number, graph in enumerate(graphs[1:], 1)
    )
    return Graph((*graphs[0].nodes, *others), {**properties, **graphs[0].properties})


def _code(table: Table) -> str:
    number = max(table.scalar(0, "i8"), table.scalar(3, "i32"))
    if number == _CUSTOM:
        return table.text(1, MAX_NAME) or "CUSTOM"
    return _OPS.get(number, f"BUILTIN_{number}")


def _graph(table: Table, codes: list[str], room: Room) -> Graph:
    names = [
        room.text(Table.at(table.buffer, at).text(3, MAX_NAME)) or f"tensor.{number}"
        for number, at in enumerate(table.tables(_TENSORS, MAX_TENSORS))
    ]

    def named(numbers: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(
            room.text(names[number] if 0 <= number < len(names) else "") for number in numbers
        )

    nodes = []
    for at in table.tables(_OPERATORS, MAX_NODES):
        room.node()
        operator = Table.at(table.buffer, at)
        code = operator.scalar(0, "u32")
        op = codes[code] if code < len(codes) else f"CODE_{code}"
        edges = [named(operator.numbers(field, MAX_EDGES)) for field in (1, 2)]
        nodes.append(Node(op, "", edges[0], edges[1], _attributes(operator)))
    properties = {
        f"{kind} {name}": ""
        for kind, field in (("input", _INPUTS), ("output", _OUTPUTS))
        for name in named(table.numbers(field, MAX_EDGES))
    }
    return Graph(tuple(nodes), properties)


def _attributes(operator: Table) -> dict[str, str]:
    kind = operator.scalar(3, "u8")
    place = operator.where(4, 4)
    if kind not in _OPTIONS or place is None:
        return {}
    options = Table.at(operator.buffer, operator.buffer.follow(place))
    found = {}
    for number, entry in enumerate(_OPTIONS[kind].split()):
        name, _, code = entry.partition(":")
        at = options.where(number, _WIDTHS[code])
        if at is not None:
            raw = operator.buffer.bytes_at(at, _WIDTHS[code])
            found[name] = f"{struct.unpack('<' + code, raw)[0]:g}"
    return found
