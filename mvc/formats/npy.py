"""Locates the array in a NumPy .npy file, versions 1.0 to 3.0.

Specification: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header
is read by a parser of its own that knows only the literals NumPy writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mvc.base.errors import FormatError, LimitError
from mvc.formats.base import Extent, Located, Source, check_range, check_shape

MAGIC = b"\x93NUMPY"
MAX_HEADER = 64 * 1024
MAX_DEPTH = 16
MAX_ITEM = 2**31

Value = str | int | bool | tuple["Value", ...] | list["Value"] | dict[str, "Value"]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^'\\\n]*'|\"[^\"\\\n]*\")|(?P<int>-?[0-9]{1,20})L?|(?P<word>True|False)"
    r"|(?P<mark>[\[\](){},:]))",
    re.ASCII,
)
_DESCR = re.compile(r"([<>|=])([a-zA-Z])([0-9]{0,10})(\[[0-9]{0,9}[a-zA-Z]{1,7}\])?", re.ASCII)
_PLAIN = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "c8": "complex64",
    "c16": "complex128",
    "b1": "bool",
    **{f"i{size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"u{size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Header:
    """What a .npy header says; `shape` is in the order of the bytes in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int
    word: int
    big_endian: bool
    transposed: bool

    def extent(self, name: str, base: int = 0) -> Extent:
        """Return the array as an extent, for a .npy file that starts at `base`."""
        return Extent(
            name,
            self.dtype,
            self.shape,
            base + self.offset,
            self.length,
            self.big_endian,
            self.transposed,
            self.word,
        )


@dataclass(frozen=True, slots=True)
class _Element:
    label: str
    size: int
    word: int = 1
    big_endian: bool = False


def matches(head: bytes, source: Source) -> bool:
    """Tell whether the file starts with the magic string of .npy."""
    return head.startswith(MAGIC)


def locate(source: Source) -> Located:
    """Find the array of a .npy file; it is called "array".

    Args:
        source: The file.

    Returns:
        One extent.

    Raises:
        FormatError: The file is malformed, cut short, or holds Python objects.
    """
    header = read_header(source)
    trailing = source.size - header.offset - header.length
    notes = (f"{trailing} bytes after the array stay as they are.",) if trailing else ()
    return Located("npy", (header.extent("array"),), notes=notes)


def read_header(source: Source) -> Header:
    """Read the header of a .npy file and check that the file holds all of the array.

    Args:
        source: The file, or the window of a container in which it lies uncompressed.

    Returns:
        The element type, the shape and the place of the data.

    Raises:
        FormatError: The header is malformed, or the array is longer than the file.
    """
    text, offset = _header_text(source)
    fields = _parse(text)
    if type(fields) is not dict or set(fields) != {"descr", "fortran_order", "shape"}:
        raise FormatError("the header does not have the three keys of .npy")
    shape, fortran = fields["shape"], fields["fortran_order"]
    if type(shape) is not tuple or type(fortran) is not bool:
        raise FormatError("the header has an impossible shape or order")
    dims = check_shape(shape)
    element = _element(fields["descr"], MAX_DEPTH)
    length = element.size
    for dim in dims:
        length *= dim
    if length > source.size - offset:
        raise FormatError(f"the array needs {length} bytes and the file ends before that")
    transposed = fortran and len(dims) >= 2
    return Header(
        element.label,
        dims[::-1] if transposed else dims,
        offset,
        length,
        element.word,
        element.big_endian,
        transposed,
    )


def _header_text(source: Source) -> tuple[str, int]:
    prelude = source.read_at(0, min(12, source.size))
    if not prelude.startswith(MAGIC) or len(prelude) < 10:
        raise FormatError("the file does not start like .npy")
    version = tuple(prelude[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise FormatError(f"version {version[0]}.{version[1]} of .npy is unknown")
    start = 10 if version == (1, 0) else 12
    length = int.from_bytes(prelude[8:start], "little")
    if length > MAX_HEADER:
        raise LimitError(f"the header of {length} bytes is above the limit of {MAX_HEADER}")
    check_range(start, length, source.size)
    try:
        text = source.read_at(start, length).decode("utf-8" if version == (3, 0) else "latin-1")
    except UnicodeDecodeError:
        raise FormatError("the header is not valid UTF-8") from None
    return text, start + length


def _parse(text: str) -> Value:
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip(" \t\r\n"))
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            raise FormatError(f"the header is not a literal at character {position}")
        kind = str(match.lastgroup)
        tokens.append((kind, match[kind]))
        position = match.end()
    tokens.reverse()
    value = _parse_value(tokens, MAX_DEPTH)
    if tokens:
        raise FormatError("the header has text after its end")
    return value


def _parse_value(tokens: list[tuple[str, str]], depth: int) -> Value:
    kind, text = _take(tokens)
    if kind == "text":
        return text[1:-1]
    if kind == "int":
        return int(text)
    if kind == "word":
        return text == "True"
    if text not in _CLOSERS or not depth:
        raise FormatError("the header is not a literal that .npy knows")
    if text == "{":
        return _parse_dict(tokens, depth - 1)
    items: list[Value] = []
    comma = False
    while not _accept(tokens, _CLOSERS[text]):
        if items and not comma:
            raise FormatError("the header lacks a comma")
        items.append(_parse_value(tokens, depth - 1))
        comma = _accept(tokens, ",")
    if text == "[":
        return items
    return items[0] if len(items) == 1 and not comma else tuple(items)


def _parse_dict(tokens: list[tuple[str, str]], depth: int) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    comma = True
    while not _accept(tokens, "}"):
        key = _parse_value(tokens, 0)
        if not comma or type(key) is not str or not _accept(tokens, ":"):
            raise FormatError("the header is not a dictionary of texts")
        if key in fields:
            raise FormatError("the header has a duplicate key")
        fields[key] = _parse_value(tokens, depth)
        comma = _accept(tokens, ",")
    return fields


def _take(tokens: list[tuple[str, str]]) -> tuple[str, str]:
    if not tokens:
        raise FormatError("the header ends early")
    return tokens.pop()


def _accept(tokens: list[tuple[str, str]], mark: str) -> bool:
    if not tokens:
        raise FormatError("the header ends early")
    if tokens[-1] == ("mark", mark):
        tokens.pop()
        return True
    return False


def _element(descr: Value, depth: int) -> _Element:
    if type(descr) is list:
        size = sum(_field_size(field, depth) for field in descr)
        if size > MAX_ITEM:
            raise LimitError(f"an element of {size} bytes is above the limit of {MAX_ITEM}")
        return _Element(f"struct{size}", size)
    match = _DESCR.fullmatch(descr) if type(descr) is str else None
    if match is None:
        raise FormatError("the element type is not one of .npy")
    order, kind, digits, unit = match.groups()
    if kind == "O":
        raise FormatError("the array holds Python objects")
    size = int(digits or 0)
    if size > MAX_ITEM:
        raise LimitError(f"an element of {size} bytes is above the limit of {MAX_ITEM}")
    return _simple(kind, size, unit or "", big_endian=order == ">")


def _simple(kind: str, size: int, unit: str, *, big_endian: bool) -> _Element:
    plain = None if unit else _PLAIN.get(f"{kind}{size}")
    if plain is not None:
        return _Element(plain, size, big_endian=big_endian and size > 1)
    if kind == "V" and not unit:
        return _Element(f"void{size}", size, 2 if size == 2 else 1, big_endian and size == 2)
    if kind in "Sa" and not unit:
        return _Element(f"bytes{size}", size)
    if kind == "U" and not unit:
        return _Element(f"unicode{size}", 4 * size, 4, big_endian)
    if kind in "Mm" and size == 8:
        name = "datetime64" if kind == "M" else "timedelta64"
        return _Element(name + unit, 8, 8, big_endian)
    if kind in "fc" and not unit and size in (10, 12, 16, 20, 24, 32):
        label = f"float{8 * size}" if kind == "f" else f"complex{8 * size}"
        # An extended float has no word of its own size; the bytes stay in their order.
        return _Element(label, size, 2, big_endian)
    raise FormatError("the element type is not one of .npy")


def _field_size(field: Value, depth: int) -> int:
    if type(field) is not tuple or len(field) not in (2, 3) or not depth:
        raise FormatError("a structured element type is malformed")
    size = _element(field[1], depth - 1).size
    if len(field) == 3:
        if type(field[2]) is int:
            dims: tuple[int, ...] = check_shape((field[2],))
        elif type(field[2]) is tuple:
            dims = check_shape(field[2])
        else:
            raise FormatError("a structured element type is malformed")
        for dim in dims:
            size *= dim
    return size
