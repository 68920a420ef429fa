"""GGUF, the file format of llama.cpp: versions 1 to 3, little and big endian.

Owns the walk over a GGUF header, whose metadata is skipped rather than built, and the numbers of
GGML tensor types; the sizes of their blocks are in `mvc.base.dtypes`. Specification: docs/gguf.md
in the ggml repository.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from typing import NoReturn

from mvc.base.dtypes import BLOCKS
from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import MAX_HEADER, MAX_NAME, MAX_TENSORS, Extent, Located, Source

MAGIC = b"GGUF"
MAX_DIMS = 4
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 65536
MAX_NESTING = 8

_BLOCK = 1 << 20

_PLAIN = {
    0: "float32",
    1: "float16",
    24: "int8",
    25: "int16",
    26: "int32",
    27: "int64",
    28: "float64",
    30: "bfloat16",
}
_PLAIN_BYTES = {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2}

_QUANTISED = {
    2: "ggml_q4_0",
    3: "ggml_q4_1",
    6: "ggml_q5_0",
    7: "ggml_q5_1",
    8: "ggml_q8_0",
    9: "ggml_q8_1",
    10: "ggml_q2_k",
    11: "ggml_q3_k",
    12: "ggml_q4_k",
    13: "ggml_q5_k",
    14: "ggml_q6_k",
    15: "ggml_q8_k",
    16: "ggml_iq2_xxs",
    17: "ggml_iq2_xs",
    18: "ggml_iq3_xxs",
    19: "ggml_iq1_s",
    20: "ggml_iq4_nl",
    21: "ggml_iq3_s",
    22: "ggml_iq2_s",
    23: "ggml_iq4_xs",
    29: "ggml_iq1_m",
    34: "ggml_tq1_0",
    35: "ggml_tq2_0",
    39: "ggml_mxfp4",
    40: "ggml_nvfp4",
    41: "ggml_q1_0",
}

_STRING, _ARRAY = 8, 9
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UNSIGNED = {0: "B", 2: "H", 4: "I", 10: "Q"}


@dataclass(frozen=True, slots=True)
class _Info:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file starts with the GGUF magic."""
    del source
    return head[:4] == MAGIC


def locate(source: Source) -> Located:
    """Find the tensors of a GGUF file.

    Raises:
        FormatError: a count, length, offset or alignment is impossible for this file.
    """
    cursor = Cursor(source)
    tensors = cursor.count()
    pairs = cursor.count()
    if tensors > MAX_TENSORS:
        raise LimitError(f"it declares {tensors} tensors, above the limit of {MAX_TENSORS}")
    alignment = _skip_metadata(cursor, pairs)
    cursor.expect(tensors, 8 + 3 * cursor.count_bytes)
    infos = [_read_info(cursor) for _ in range(tensors)]
    start = cursor.position + -cursor.position % alignment
    for info in infos:
        if info.offset % alignment:
            raise FormatError(f"tensor {info.name[:80]!r} is not aligned to {alignment} bytes")
    infos.sort(key=lambda info: info.offset)
    return _place(infos, start, source.size, big_endian=cursor.big_endian)


class Cursor:
    """Forward reading over the header through one block buffer."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._end = min(source.size, MAX_HEADER)
        self._block = b""
        self._base = 0
        self.position = 4
        self._layouts = {code: struct.Struct("<" + code) for code in "BHIQ"}
        version = self.number("I")
        self.big_endian = version & 0xFFFF == 0
        if self.big_endian:
            self._layouts = {code: struct.Struct(">" + code) for code in "BHIQ"}
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (1, 2, 3):
            raise FormatError(f"version {version} is not one of 1, 2 and 3")
        self._count_code = "I" if version == 1 else "Q"
        self.count_bytes = 4 if version == 1 else 8

    def _need(self, length: int) -> int:
        if length > self._end - self.position:
            self._refuse("its header is cut short or declares more than the file holds")
        index = self.position - self._base
        if index + length > len(self._block):
            size = min(max(length, _BLOCK), self._end - self.position)
            self._block = self._source.read_at(self.position, size)
            self._base = self.position
            index = 0
        return index

    def _refuse(self, reason: str) -> NoReturn:
        if self._end < self._source.size:
            raise LimitError(f"its header is above the limit of {MAX_HEADER} bytes")
        raise FormatError(reason)

    def number(self, code: str) -> int:
        """Return the next number; `code` is that of the struct module."""
        layout = self._layouts[code]
        index = self._need(layout.size)
        self.position += layout.size
        return int(layout.unpack_from(self._block, index)[0])

    def count(self) -> int:
        """Return the next count, whose width depends on the version."""
        return self.number(self._count_code)

    def expect(self, count: int, least: int) -> None:
        """Refuse a count that cannot fit in the rest of the header, before any loop over it."""
        if count * least > self._end - self.position:
            self._refuse(f"it declares {count} entries, more than the file holds")

    def skip(self, length: int) -> None:
        """Pass over bytes."""
        if length > self._end - self.position:
            self._need(length)
        self.position += length

    def take(self, length: int) -> bytes:
        """Return the next bytes; a caller bounds how many."""
        index = self._need(length)
        self.position += length
        return self._block[index : index + length]

    def string(self, limit: int) -> bytes:
        """Return the next string, refusing one of more than `limit` bytes."""
        length = self.count()
        if length > limit:
            raise FormatError(f"a name of {length} bytes is above the limit of {limit}")
        index = self._need(length)
        self.position += length
        return self._block[index : index + length]

    def skip_strings(self, count: int) -> None:
        """Skip an array of strings; a tokenizer has several 100,000 of them."""
        width = self.count_bytes
        self.expect(count, width)
        unpack = self._layouts[self._count_code].unpack_from
        for _ in range(count):
            index = self.position - self._base
            if index + width > len(self._block):
                index = self._need(width)
            length = unpack(self._block, index)[0]
            if width + length > self._end - self.position:
                self._need(width + length)
            self.position += width + length


def _skip_metadata(cursor: Cursor, pairs: int) -> int:
    cursor.expect(pairs, cursor.count_bytes + 5)
    alignment: int | None = None
    for _ in range(pairs):
        key = cursor.string(65535)
        kind = cursor.number("I")
        if key != b"general.alignment":
            _skip_value(cursor, kind, MAX_NESTING)
            continue
        if kind not in _UNSIGNED or alignment is not None:
            raise FormatError("general.alignment is given twice or is not an unsigned number")
        alignment = cursor.number(_UNSIGNED[kind])
        if not 0 < alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            raise FormatError(f"an alignment of {alignment} is not a power of two up to 65536")
    return alignment or DEFAULT_ALIGNMENT


def _skip_value(cursor: Cursor, kind: int, depth: int) -> None:
    if kind in _SCALAR_BYTES:
        cursor.skip(_SCALAR_BYTES[kind])
    elif kind == _STRING:
        cursor.skip(cursor.count())
    elif kind == _ARRAY and depth:
        inner = cursor.number("I")
        count = cursor.count()
        if inner in _SCALAR_BYTES:
            cursor.skip(count * _SCALAR_BYTES[inner])
        elif inner == _STRING:
            cursor.skip_strings(count)
        else:
            cursor.expect(count, 4 + cursor.count_bytes)
            for _ in range(count):
                _skip_value(cursor, inner, depth - 1)
    else:
        raise FormatError(f"a metadata value has the impossible type {kind}")


def _read_info(cursor: Cursor) -> _Info:
    raw = cursor.string(MAX_NAME)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("a tensor name is not UTF-8") from None
    rank = cursor.number("I")
    if rank > MAX_DIMS:
        raise FormatError(f"tensor {name[:80]!r} has {rank} dimensions, more than {MAX_DIMS}")
    dims = [cursor.count() for _ in range(rank)]
    if any(dim >= 1 << 62 for dim in dims):
        raise FormatError(f"tensor {name[:80]!r} has an impossible dimension")
    kind = cursor.number("I")
    # GGML lists the fastest dimension first.
    return _Info(name, tuple(reversed(dims)), kind, cursor.number("Q"))


def _length(info: _Info) -> int | None:
    """Return the bytes a tensor takes, None when its type is unknown."""
    count = math.prod(info.shape)
    if info.kind in _PLAIN_BYTES:
        return count * _PLAIN_BYTES[info.kind]
    if info.kind not in _QUANTISED:
        return None
    elements, size = BLOCKS[_QUANTISED[info.kind]]
    row = info.shape[-1] if info.shape else 1
    if row % elements:
        raise FormatError(f"rows of tensor {info.name[:80]!r} are not whole blocks of {elements}")
    return count // elements * size


def _label(kind: int) -> str:
    return _PLAIN.get(kind) or _QUANTISED.get(kind) or f"ggml_type_{kind}"


def _place(infos: list[_Info], start: int, size: int, *, big_endian: bool) -> Located:
    extents: list[Extent] = []
    unknown: Counter[int] = Counter()
    following: int | None = None
    upcoming = size - start
    for info in reversed(infos):
        if info.offset != following:
            upcoming = size - start if following is None else following
            following = info.offset
        length = _length(info)
        if length is None:
            unknown[info.kind] += 1
            length = max(upcoming - info.offset, 0)
        if start + info.offset + length > size:
            raise FormatError(f"tensor {info.name[:80]!r} reaches past the end of the file")
        extents.append(
            Extent(
                name=info.name,
                dtype=_label(info.kind),
                shape=info.shape,
                offset=start + info.offset,
                length=length,
                big_endian=big_endian and info.kind in _PLAIN and _PLAIN_BYTES[info.kind] > 1,
            )
        )
    extents.sort(key=lambda extent: (extent.offset, extent.length))
    notes = tuple(
        f"GGML type {kind} is unknown: {count} tensors of it are taken up to the tensor after them."
        for kind, count in sorted(unknown.items())
    )
    return Located("gguf", tuple(extents), notes=notes)
