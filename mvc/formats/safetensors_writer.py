"""A safetensors file over arrays in memory, as the reference library would write it.

Tensors are ordered by type, widest first, then by name, and the header is padded to 8 bytes, so
the file has the SHA-256 of one saved by the `safetensors` package without metadata.
"""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from mvc.base.dtypes import nbytes
from mvc.base.errors import FormatError
from mvc.formats.base import check_name, check_range
from mvc.formats.safetensors import LABELS

# The order of the reference library's enumeration of types.
_NARROW = ("BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8")
_EIGHT = ("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
_WIDE = ("I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64")
_ORDER = (*_NARROW, *_EIGHT, *_WIDE)
_CODES = {label: code for code, label in LABELS.items()}


@dataclass(frozen=True, slots=True)
class Array:
    """The bytes of a tensor in C order, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


class ArraySource:
    """The bytes of the file, put together when they are read; implements Source."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        ranked = sorted(arrays, key=lambda name: (-_rank(name, arrays[name]), name))
        header: dict[str, object] = {}
        at = 0
        for name in ranked:
            array = arrays[name]
            end = at + len(array.data)
            header[check_name(name)] = {
                "dtype": _CODES[array.dtype],
                "shape": list(array.shape),
                "data_offsets": [at, end],
            }
            at = end
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        self._pieces = [memoryview(struct.pack("<Q", len(text)) + text)]
        self._pieces += [arrays[name].data for name in ranked if len(arrays[name].data)]
        self._starts = [0]
        for piece in self._pieces:
            self._starts.append(self._starts[-1] + len(piece))

    @property
    def size(self) -> int:
        """See Source."""
        return self._starts[-1]

    def read_at(self, offset: int, length: int) -> bytes:
        """See Source."""
        check_range(offset, length, self.size)
        out = bytearray()
        number = bisect_right(self._starts, offset) - 1
        while len(out) < length:
            skip = offset + len(out) - self._starts[number]
            out += self._pieces[number][skip : skip + length - len(out)]
            number += 1
        return bytes(out)


def _rank(name: str, array: Array) -> int:
    code = _CODES.get(array.dtype)
    if code not in _ORDER:
        raise FormatError(f"tensor {name[:80]!r}: safetensors has no type for {array.dtype}")
    if nbytes(array.dtype, array.shape) != len(array.data):
        raise FormatError(f"tensor {name[:80]!r} has another size than its shape")
    return _ORDER.index(code)
