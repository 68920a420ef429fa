"""The key-values of a GGUF file: plain values, and of long lists how many and a digest."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Any

from mvc.base.errors import FormatError
from mvc.formats.base import MAX_HEADER, Source
from mvc.formats.gguf import MAX_NESTING, Cursor
from mvc.formats.graph import shortened

MAX_LISTED = 16
"""Entries of a list that is given as it is."""

MAX_TEXT = 120
"""Characters of a text that is given as it is; a longer one is its beginning and a digest."""

_KINDS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_NAMES = {6: "numbers", 7: "booleans", 8: "strings", 9: "lists", 12: "numbers"}
_STRING, _ARRAY = 8, 9
_BLOCK = 1 << 16


def read(source: Source) -> dict[str, Any]:
    """Return the key-values in the order of the file; of a key given twice, the first counts.

    Raises:
        FormatError: the header is cut short, too long, or has an impossible type.
    """
    cursor = Cursor(source)
    cursor.count()
    pairs = cursor.count()
    cursor.expect(pairs, cursor.count_bytes + 5)
    found: dict[str, Any] = {}
    for _ in range(pairs):
        key = cursor.string(65535).decode("utf-8", "backslashreplace")
        value = _value(cursor, cursor.number("I"), MAX_NESTING)
        found.setdefault(key, value)
    return found


def _value(cursor: Cursor, kind: int, depth: int) -> Any:
    if kind in _KINDS:
        return _unpacked(cursor, kind, 1)[0]
    if kind == _STRING:
        return shortened(cursor.string(MAX_HEADER).decode("utf-8", "backslashreplace"), MAX_TEXT)
    if kind != _ARRAY or not depth:
        raise FormatError(f"a metadata value has the impossible type {kind}")
    inner, count = cursor.number("I"), cursor.count()
    if inner in _KINDS:
        size = struct.calcsize(_KINDS[inner])
        cursor.expect(count, size)
        if count <= MAX_LISTED:
            return list(_unpacked(cursor, inner, count))
        return _summed(cursor, inner, count, size)
    cursor.expect(count, cursor.count_bytes)
    if inner == _STRING and count > MAX_LISTED:
        return _summed(cursor, inner, count, 0)
    listed = [_value(cursor, inner, depth - 1) for _ in range(min(count, MAX_LISTED))]
    for _ in range(count - len(listed)):
        _value(cursor, inner, depth - 1)
    return listed if count <= MAX_LISTED else f"{count} lists"


def _unpacked(cursor: Cursor, kind: int, count: int) -> tuple[Any, ...]:
    layout = struct.Struct(f"{'>' if cursor.big_endian else '<'}{count}{_KINDS[kind]}")
    return layout.unpack(cursor.take(layout.size))


def _summed(cursor: Cursor, kind: int, count: int, size: int) -> str:
    """Return how many entries a list has, and a digest of them."""
    state = blake2b(digest_size=4)
    if size:
        left = count * size
        while left:
            part = cursor.take(min(left, _BLOCK))
            state.update(part)
            left -= len(part)
    else:
        for _ in range(count):
            raw = cursor.string(MAX_HEADER)
            state.update(len(raw).to_bytes(8, "little"))
            state.update(raw)
    return f"{count} {_NAMES.get(kind, 'integers')} #{state.hexdigest()}"
