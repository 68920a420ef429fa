"""Locates tensors in safetensors files.

Specification: https://github.com/huggingface/safetensors, section "Format": an unsigned 64-bit
header length, a JSON header, and the data, which the tensors tile without holes.
"""

from __future__ import annotations

import json
from typing import Any

from mvc.base import dtypes
from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import (
    MAX_HEADER,
    MAX_TENSORS,
    Extent,
    Located,
    Source,
    check_range,
    check_shape,
)

MAX_LABEL = 64

LABELS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F6_E2M3": "float6_e2m3fn",
    "F6_E3M2": "float6_e3m2fn",
    "F4": "float4_e2m1fn",
    "I64": "int64",
    "U64": "uint64",
    "I32": "int32",
    "U32": "uint32",
    "I16": "int16",
    "U16": "uint16",
    "I8": "int8",
    "U8": "uint8",
    "I4": "int4",
    "U4": "uint4",
    "BOOL": "bool",
    "C64": "complex64",
    "C128": "complex128",
}


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file starts like a safetensors file: a length, then a JSON object.

    No length fills all eight bytes; text with a JSON object in its first line does.
    """
    opening = head[8:].lstrip(b" \t\r\n")
    return (
        head[7:8] == b"\0"
        and opening.startswith(b"{")
        and opening[1:].lstrip(b" \t\r\n")[:1] in (b'"', b"}")
    )


def locate(source: Source) -> Located:
    """Find the tensors of a safetensors file.

    Args:
        source: The file.

    Returns:
        One extent a tensor, in file order.

    Raises:
        FormatError: The file does not follow the specification.
    """
    header, start = _read_header(source)
    if len(header) > MAX_TENSORS + 1:
        raise LimitError(f"the header names more than {MAX_TENSORS} tensors")
    _check_metadata(header.pop("__metadata__", {}))
    available = source.size - start
    found: list[tuple[int, int, str, str, tuple[int, ...]]] = []
    unknown: set[str] = set()
    for name, entry in header.items():
        begin, end, label, shape = _parse_entry(name, entry, available)
        if label not in LABELS:
            unknown.add(label)
        found.append((begin, end, name, label, shape))
    found.sort(key=lambda item: item[:2])
    notes = tuple(
        f"The data type {label!r} is unknown; its tensors are kept as opaque bytes."
        for label in sorted(unknown)
    )
    return Located("safetensors", tuple(_tile(found, start, available)), notes=notes)


def _read_header(source: Source) -> tuple[dict[str, Any], int]:
    if source.size < 8:
        raise FormatError("the file is shorter than its header length")
    length = int.from_bytes(source.read_at(0, 8), "little")
    if length > MAX_HEADER:
        raise LimitError(f"the header of {length} bytes is above the limit of {MAX_HEADER}")
    if length > source.size - 8:
        raise FormatError(f"the header of {length} bytes is longer than the file")
    try:
        header = json.loads(
            source.read_at(8, length).decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the header is not valid JSON ({type(error).__name__})") from None
    if type(header) is not dict:
        raise FormatError("the header is not a JSON object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise FormatError("the header has a duplicate key")
    return result


def _refuse_constant(literal: str) -> None:
    raise FormatError(f"the header contains {literal}, which is not JSON")


def _check_metadata(metadata: object) -> None:
    if type(metadata) is not dict or any(type(value) is not str for value in metadata.values()):
        raise FormatError("__metadata__ is not a map of texts to texts")


def _parse_entry(name: str, entry: object, available: int) -> tuple[int, int, str, tuple[int, ...]]:
    if type(entry) is not dict:
        raise FormatError(f"the entry of tensor {name[:80]!r} is not an object")
    label, dims, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if type(label) is not str or not 0 < len(label) <= MAX_LABEL:
        raise FormatError(f"tensor {name[:80]!r} has no data type")
    if type(dims) is not list:
        raise FormatError(f"tensor {name[:80]!r} has no shape")
    if type(offsets) is not list or [type(item) for item in offsets] != [int, int]:
        raise FormatError(f"tensor {name[:80]!r} has no two data offsets")
    begin, end = offsets
    check_range(begin, end - begin, available)
    shape = check_shape(tuple(dims))
    known = LABELS.get(label)
    expected = None if known is None else dtypes.nbytes(known, shape)
    if expected is not None and expected != end - begin:
        raise FormatError(f"the shape of tensor {name[:80]!r} does not agree with its offsets")
    return begin, end, label, shape


def _tile(
    found: list[tuple[int, int, str, str, tuple[int, ...]]], start: int, available: int
) -> list[Extent]:
    extents = []
    covered = 0
    for begin, end, name, label, shape in found:
        if begin != end and begin != covered:
            problem = "overlaps the one before it" if begin < covered else "has a hole before it"
            raise FormatError(f"tensor {name[:80]!r} {problem}")
        covered = max(covered, end) if begin != end else covered
        # An empty tensor may claim any offset; it is put where it breaks no order.
        offset = start + max(covered, begin) if begin == end else start + begin
        extents.append(Extent(name, _own_label(label), shape, offset, end - begin))
    if covered != available:
        raise FormatError(f"{available - covered} bytes of data belong to no tensor")
    return extents


def _own_label(label: str) -> str:
    known = LABELS.get(label)
    if known is not None:
        return known
    lowered = label.lower()
    return f"unknown_{lowered}" if lowered in dtypes.KNOWN else lowered
