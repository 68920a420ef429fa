from __future__ import annotations

import json
import struct
import time
from typing import Any

import pytest
from hostile import contents, locate, mutations, state_dicts, survives
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.formats import safetensors
from mvc.formats.base import BytesSource

LABELS = {"float32": "F32", "bfloat16": "BF16", "int64": "I64", "bool": "BOOL", "uint8": "U8"}


def write(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[Any], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def save(arrays: dict[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    header, data = {}, b""
    for name, (label, shape, raw) in arrays.items():
        end = len(data) + len(raw)
        header[name] = entry(LABELS[label], list(shape), len(data), end)
        data += raw
    return write(header, data)


SAMPLE = save(
    {
        "w": ("float32", (2, 3), bytes(range(24))),
        "b": ("bfloat16", (3,), b"abcdef"),
        "n": ("int64", (), bytes(8)),
        "e": ("float32", (0, 2), b""),
    }
)


@given(state_dicts(tuple(LABELS)))
def test_every_tensor_of_a_generated_file_is_found_with_its_bytes(arrays: Any) -> None:
    data = save(arrays)
    assert contents(locate(safetensors, data), data) == arrays


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    survives(safetensors, data)


@given(mutations(SAMPLE))
def test_a_damaged_file_raises_only_format_errors(data: bytes) -> None:
    survives(safetensors, data)


def test_a_file_cut_anywhere_is_refused() -> None:
    for end in range(len(SAMPLE)):
        with pytest.raises(FormatError):
            locate(safetensors, SAMPLE[:end])


F = entry("F32", [1], 0, 4)

MALFORMED = {
    "header of zero bytes": struct.pack("<Q", 0),
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2^64-1 bytes": struct.pack("<Q", 2**64 - 1) + b"{}",
    "header longer than the file": struct.pack("<Q", 3) + b"{}",
    "header above the limit": struct.pack("<Q", 100_000_001) + b"{}",
    "overlap": write({"a": F, "b": F}, bytes(4)),
    "partial overlap": write({"a": F, "b": entry("F32", [1], 2, 6)}, bytes(6)),
    "hole": write({"a": F, "b": entry("F32", [1], 5, 9)}, bytes(9)),
    "hole at the start": write({"a": entry("F32", [1], 4, 8)}, bytes(8)),
    "reversed": write({"a": entry("F32", [1], 4, 0)}, bytes(4)),
    "negative": write({"a": entry("F32", [1], -4, 0)}, bytes(4)),
    "past the end": write({"a": entry("F32", [2], 0, 8)}, bytes(4)),
    "trailing bytes": write({"a": F}, bytes(5)),
    "wrapping product": write(
        {"a": entry("F32", [4194305, 4194305, 211106198978564], 0, 4)}, bytes(4)
    ),
    "negative dimension": write({"a": entry("F32", [-1], 0, 4)}, bytes(4)),
    "float dimension": write({"a": entry("F32", [1.0], 0, 4)}, bytes(4)),
    "bool dimension": write({"a": entry("F32", [True], 0, 4)}, bytes(4)),
    "text dimension": write({"a": entry("F32", ["1"], 0, 4)}, bytes(4)),
    "rank 65": write({"a": entry("F32", [1] * 65, 0, 4)}, bytes(4)),
    "float offset": write(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}}', bytes(4)),
    "bool offset": write(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,true]}}', bytes(1)),
    "three offsets": write({"a": {**F, "data_offsets": [0, 4, 4]}}, bytes(4)),
    "no dtype": write({"a": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "empty dtype": write({"a": entry("", [1], 0, 4)}, bytes(4)),
    "long dtype": write({"a": entry("X" * 65, [1], 0, 4)}, bytes(4)),
    "no shape": write({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)),
    "entry that is a list": write({"a": []}),
    "header that is a list": write([]),
    "duplicate tensor": write(
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
        b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    ),
    "duplicate field": write(b'{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "duplicate metadata": write(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "metadata of numbers": write({"__metadata__": {"a": 1}}),
    "metadata that is a text": write({"__metadata__": "a"}),
    "deep JSON": write(b'{"a":' + b"[" * 100_000),
    "an integer of 5000 digits": write(b'{"a":' + b"1" * 5000 + b"}"),
    "NaN": write(b'{"a":NaN}'),
    "Infinity": write(b'{"a":-Infinity}'),
    "byte order mark": write(b"\xef\xbb\xbf{}"),
    "zero padding": write(b"{}\0\0"),
    "bad UTF-8": write(b'{"\xff":1}'),
    "lone surrogate": write(rb'{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "name of 1 MB": write({"a" * 1_000_000: entry("U8", [0], 0, 0)}),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        locate(safetensors, data)


ODD = {
    "no tensors": write({}),
    "metadata only": write({"__metadata__": {"format": "pt"}}),
    "padding": write(b"{}      "),
    "extra field": write({"a": {**F, "extra": [1]}}, bytes(4)),
    "empty name": write({"": F}, bytes(4)),
    "hostile names": write(
        {name: entry("U8", [0], 0, 0) for name in ("a\0b", "../x", "A", "a", "é", "e\u0301")}
    ),
    "empty with a huge dimension": write({"a": entry("F32", [0, 2**62], 0, 0)}),
    "empty in the middle of another": write({"a": F, "z": entry("U8", [0], 2, 2)}, bytes(4)),
    "empties sharing an offset": write({n: entry("U8", [0], 0, 0) for n in "abc"}),
    "empties around": write(
        {"a": F, "y": entry("I8", [0], 4, 4), "x": entry("I8", [0], 0, 0)}, bytes(4)
    ),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_an_odd_but_valid_file_is_read(data: bytes) -> None:
    assert locate(safetensors, data).format == "safetensors"
    assert safetensors.matches(data[:512], BytesSource(data))


@pytest.mark.parametrize(
    ("label", "count", "length", "ours"),
    [
        ("F64", 1, 8, "float64"),
        ("F8_E4M3", 3, 3, "float8_e4m3fn"),
        ("F8_E5M2", 3, 3, "float8_e5m2"),
        ("F8_E8M0", 3, 3, "float8_e8m0fnu"),
        ("F4", 3, 2, "float4_e2m1fn"),
        ("F6_E2M3", 4, 3, "float6_e2m3fn"),
        ("F6_E3M2", 4, 3, "float6_e3m2fn"),
        ("C64", 1, 8, "complex64"),
        ("U16", 2, 4, "uint16"),
    ],
)
def test_a_label_maps_to_ours(label: str, count: int, length: int, ours: str) -> None:
    data = write({"a": entry(label, [count], 0, length)}, bytes(length))
    (extent,) = locate(safetensors, data).extents
    assert (extent.dtype, extent.length) == (ours, length)


@pytest.mark.parametrize("label", ["F3_NEW", "float32"])
def test_an_unknown_label_gives_opaque_bytes_and_a_note(label: str) -> None:
    data = write({"a": entry(label, [7], 0, 3)}, b"abc")
    located = locate(safetensors, data)
    assert contents(located, data)["a"][2] == b"abc"
    assert located.extents[0].word == 1
    assert label in located.notes[0]


def test_a_hundred_thousand_tensors_take_linear_time() -> None:
    header = {f"layer.{i}.weight": entry("U8", [2], 2 * i, 2 * i + 2) for i in range(100_000)}
    data = write(header, bytes(200_000))
    start = time.perf_counter()
    assert len(locate(safetensors, data).extents) == 100_000
    assert time.perf_counter() - start < 10
