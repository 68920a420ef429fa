"""Writes files as torch.save would, by hand: no PyTorch and no pickling library."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "complex64": "ComplexFloatStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


@dataclass(frozen=True)
class Name:
    module: str
    name: str


@dataclass(frozen=True)
class Call:
    func: Any
    args: Any
    state: Any = None
    pairs: Any = None


@dataclass(frozen=True)
class Persistent:
    value: Any


def number(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def opcodes(value: Any) -> bytes:
    """Return the opcodes that push a value."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return number(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            raw = value.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(raw)) + raw
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case dict():
            return b"}" + _items(value)
        case Name():
            return b"c" + f"{value.module}\n{value.name}\n".encode()
        case Persistent():
            return opcodes(value.value) + b"Q"
        case Call():
            made = opcodes(value.func) + opcodes(value.args) + b"R"
            made += _items(value.pairs) if value.pairs is not None else b""
            return made + (opcodes(value.state) + b"b" if value.state is not None else b"")
    raise TypeError(type(value))


def _items(pairs: Mapping[Any, Any]) -> bytes:
    return b"(" + b"".join(opcodes(k) + opcodes(v) for k, v in pairs.items()) + b"u"


def dumps(value: Any) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


def storage(key: str, label: str, count: int, view: Any = ()) -> Persistent:
    kind = Name("torch", STORAGES[label])
    return Persistent(("storage", kind, key, "cuda:0", count, *view))


def tensor(
    ref: Persistent, shape: Sequence[int], strides: Sequence[int] | None = None, offset: int = 0
) -> Call:
    if strides is None:
        strides = [int(np.prod(shape[i + 1 :], dtype=object)) for i in range(len(shape))]
    hooks = Call(Name("collections", "OrderedDict"), ())
    args = (ref, offset, tuple(shape), tuple(strides), False, hooks)
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), args)


def ordered(pairs: Mapping[Any, Any]) -> Call:
    return Call(Name("collections", "OrderedDict"), (), pairs=pairs)


def save_zip(
    value: Any,
    data: Mapping[str, bytes],
    *,
    top: str = "archive",
    extra: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr(f"{top}/data.pkl", dumps(value))
        for key, raw in data.items():
            archive.writestr(f"{top}/data/{key}", raw)
        for name, raw in (extra or {}).items():
            archive.writestr(f"{top}/{name}", raw)
    return out.getvalue()


def save_legacy(value: Any, data: Mapping[str, tuple[int, bytes]]) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    head = dumps(0x1950A86A20F9469CFC6C) + dumps(1001) + dumps(system)
    tail = b"".join(struct.pack("<q", count) + raw for count, raw in data.values())
    return head + dumps(value) + dumps(list(data)) + tail


Arrays = Mapping[str, tuple[str, tuple[int, ...], bytes]]


def state_dict(arrays: Arrays) -> tuple[Call, dict[str, bytes], dict[str, tuple[int, bytes]]]:
    """Return an object and its storages for the zip and the legacy format."""
    pairs, plain, counted = {}, {}, {}
    for index, (name, (label, shape, raw)) in enumerate(arrays.items()):
        count = int(np.prod(shape, dtype=object))
        pairs[name] = tensor(storage(str(index), label, count), shape)
        plain[str(index)] = raw
        counted[str(index)] = (count, raw)
    return ordered(pairs), plain, counted
