"""Canonical msgpack: one value has exactly one encoding (docs/format.md, "Canonical bytes").

Maps have text keys in code-point order; integers, strings and arrays take their shortest form;
floats are 64 bits. Bytes that would come out differently when encoded again are refused.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgpack

from mvc.base.errors import FormatError, LimitError

MAX_OBJECT = 64 << 20
MAX_ITEMS = 2_000_002
MAX_VALUES = 16_000_000
MAX_NESTING = 8
# Smaller objects take little memory whatever they hold.
COUNTED_ABOVE = 1 << 16

Value: TypeAlias = Any


def encode(value: Value) -> bytes:
    """Return the canonical bytes of maps, lists, text, bytes, integers, floats, booleans, None.

    Maps may hold maps; lists hold no maps. Raises FormatError where a value has no such bytes.
    """
    try:
        data = bytes(msgpack.packb(_ordered(value), use_bin_type=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"a value cannot be stored: {str(error)[:120]}") from error
    if len(data) > MAX_OBJECT:
        raise LimitError(f"an object of {len(data)} bytes is above the limit of {MAX_OBJECT}")
    if len(data) > COUNTED_ABOVE:
        _count(data, MAX_VALUES)
    return data


def decode(data: bytes, values: int = MAX_VALUES) -> Value:
    """Return the value of canonical bytes, or raise FormatError.

    It holds at most `values` values, itself and arrays included: one byte can announce what takes
    64 in memory, so those of a large object are counted before any is made.
    """
    if len(data) > MAX_OBJECT:
        raise LimitError(f"an object of {len(data)} bytes is above the limit of {MAX_OBJECT}")
    if len(data) > COUNTED_ABOVE:
        _count(data, values)
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            object_pairs_hook=_strict_map,
            ext_hook=_no_extension,
            # Type -1 does not pass the hook; it becomes a float, which encodes otherwise.
            timestamp=1,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
        )
        again = msgpack.packb(value, use_bin_type=True)
    except FormatError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FormatError(f"not canonical msgpack: {str(error)[:120]}") from error
    if again != data:
        raise FormatError("not canonical msgpack: encoding it again gives other bytes")
    return value


def _count(data: bytes, values: int) -> None:
    """Refuse msgpack of more values, or deeper ones, without making any."""
    waiting = [1]
    at = 0
    while waiting:
        if not waiting[-1]:
            waiting.pop()
            continue
        waiting[-1] -= 1
        values -= 1
        if at >= len(data) or values < 0:
            raise LimitError("an object has too many values, or ends before the last of them")
        byte = data[at]
        if scalar := _SCALARS[byte]:
            at += scalar
            continue
        width, members = _SIZED[byte]
        number = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else byte & 15
        at += 1 + width
        if not members:
            at += number
        elif len(waiting) > MAX_NESTING:
            raise LimitError(f"an object is nested more than {MAX_NESTING} deep")
        else:
            waiting.append(number * members)


def _scalars() -> list[int]:
    """Return how many bytes the value takes that begins with each byte; 0 if others say it."""
    sizes = [1] * 256
    sizes[0x80:0xA0] = [0] * 32
    sizes[0xA0:0xC0] = range(1, 33)
    sizes[0xC4:0xE0] = [0, 0, 0, 0, 0, 0, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18, *[0] * 7]
    return sizes


_SCALARS = _scalars()
# For each byte that begins a value of any size: how many bytes hold a number, and how many
# members each of that number stands for (0: it counts bytes).
_SIZED = {
    **dict.fromkeys(range(0x80, 0x90), (0, 2)),
    **dict.fromkeys(range(0x90, 0xA0), (0, 1)),
    **{0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 0), 0xC8: (2, 0), 0xC9: (4, 0)},
    **{0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)},
    **{0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)},
}


def _ordered(value: Value) -> Value:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return value


def _strict_map(pairs: list[tuple[Value, Value]]) -> dict[str, Value]:
    keys = [key for key, _ in pairs]
    if any(type(key) is not str for key in keys) or keys != sorted(set(keys)):
        raise FormatError("not canonical msgpack: map keys are text, in order, each once")
    return dict(pairs)


def _no_extension(code: int, data: bytes) -> Value:
    raise FormatError("not canonical msgpack: there are no extensions")


def fields(value: Value, names: tuple[str, ...]) -> list[Any]:
    """Return the values of a map that has exactly the keys `names`, in that order."""
    if type(value) is not dict or set(value) != set(names):
        raise FormatError(f"an object needs exactly the fields {', '.join(names)}")
    return [value[name] for name in names]


def text(value: Value, limit: int) -> str:
    """Return `value` if it is text of at most `limit` UTF-8 bytes."""
    if type(value) is not str:
        raise FormatError("text expected")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise FormatError(f"not valid Unicode: {value[:40]!a}") from None
    if size > limit:
        raise LimitError(f"a text is longer than {limit} bytes")
    return value


def natural(value: Value, limit: int = 2**63 - 1) -> int:
    """Return `value` if it is a plain integer from 0 to `limit`."""
    if type(value) is not int or not 0 <= value <= limit:
        raise FormatError("a number is out of range")
    return value


def array(value: Value, limit: int) -> list[Any]:
    """Return `value` if it is an array of at most `limit` items."""
    if type(value) is not list:
        raise FormatError("an array is expected")
    if len(value) > limit:
        raise LimitError(f"an array of {len(value)} items is above the limit of {limit}")
    return value


def raw(value: Value, length: int | None = None) -> bytes:
    """Return `value` if it is bytes, of exactly `length` if given."""
    if type(value) is not bytes or (length is not None and len(value) != length):
        raise FormatError("bytes of another length are expected")
    return value
