"""The wire format of protocol buffers, read in place and within bounds.

Owns tags, varints and lengths; knows no message type. Payloads are never loaded: a
length-delimited field is reported as its range in the file. Groups, which proto3 dropped, are
refused. Specification: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mvc.base.errors import FormatError
from mvc.formats.base import Source, check_range

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 64
MAX_VARINT = 10

_WINDOW = 16384
# A tag takes at most 5 bytes and the number or length after it at most 10.
_REACH = 16


class Field(NamedTuple):
    """One field: `value` is the number, or the offset of `length` payload bytes in the file."""

    number: int
    kind: int
    value: int
    length: int


class Wire:
    """Reads messages of one file through a small window that moves forward."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._window = b""
        self._base = 0

    def fields(self, start: int, end: int, depth: int = 0) -> Iterator[Field]:
        """Yield the fields of the message in [start, end).

        Args:
            start: where the message begins.
            end: where it ends.
            depth: how many messages enclose it.

        Raises:
            FormatError: the bytes are no message, or messages nest deeper than MAX_DEPTH.
        """
        check_range(start, end - start, self._source.size)
        if depth > MAX_DEPTH:
            raise FormatError(f"messages nest deeper than {MAX_DEPTH} levels")
        position = start
        while position < end:
            tag, position = self._varint(position, end)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 1 << 29:
                raise FormatError("a field number is out of range")
            if kind == VARINT:
                value, position = self._varint(position, end)
                yield Field(number, kind, value, 0)
                continue
            if kind == BYTES:
                length, position = self._varint(position, end)
            elif kind == FIXED32:
                length = 4
            elif kind == FIXED64:
                length = 8
            else:
                raise FormatError("a field has a wire type that is a group or unknown")
            if length > end - position:
                raise FormatError("a field is longer than the message around it")
            yield Field(number, kind, position, length)
            position += length

    def varints(self, start: int, end: int, limit: int) -> list[int]:
        """Return the numbers of a packed field, refusing more than `limit` of them."""
        values: list[int] = []
        position = start
        while position < end:
            if len(values) == limit:
                raise FormatError(f"a list holds more than {limit} numbers")
            value, position = self._varint(position, end)
            values.append(value)
        return values

    def text(self, field: Field, limit: int) -> str:
        """Return a string field of at most `limit` bytes."""
        if field.kind != BYTES:
            raise FormatError("a field that should be text has another wire type")
        if field.length > limit:
            raise FormatError(f"a name of {field.length} bytes is above the limit of {limit}")
        index = self._load(field.value, field.length)
        try:
            return self._window[index : index + field.length].decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("a name is not UTF-8") from None

    def _load(self, position: int, length: int) -> int:
        index = position - self._base
        if index < 0 or index + length > len(self._window):
            size = min(max(length, _WINDOW), self._source.size - position)
            self._window = self._source.read_at(position, size)
            self._base = position
            index = 0
        return index

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        reach = end - position
        if reach <= 0:
            raise FormatError("a message is cut short")
        index = self._load(position, min(_REACH, reach))
        window = self._window
        byte = window[index]
        if byte < 0x80:
            return byte, position + 1
        value = byte & 0x7F
        for step in range(1, min(MAX_VARINT, reach)):
            byte = window[index + step]
            value |= (byte & 0x7F) << (7 * step)
            if byte < 0x80:
                if value >> 64:
                    raise FormatError("a number does not fit in 64 bits")
                return value, position + step + 1
        raise FormatError("a number has no end")


def signed(value: int) -> int:
    """Return the int64 that a varint stands for."""
    return value - (1 << 64) if value >> 63 else value
