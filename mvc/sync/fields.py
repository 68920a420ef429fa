"""Checked values of messages: what a decoded msgpack value must be, or FormatError."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mvc.base.errors import FormatError, LimitError
from mvc.base.ids import ObjectId, check_id
from mvc.objects.canonical import natural
from mvc.sync.limits import MAX_TEXT

Value = TypeVar("Value")


def text(value: object) -> str:
    """Return a text of at most MAX_TEXT bytes."""
    if type(value) is not str:
        raise FormatError("a message has something else where a text belongs")
    if len(value.encode("utf-8")) > MAX_TEXT:
        raise LimitError("a text in a message is too long")
    return value


def flag(value: object) -> bool:
    """Return a boolean."""
    if type(value) is not bool:
        raise FormatError("a message has something else where true or false belongs")
    return value


def number(value: object) -> int:
    """Return a whole number from 0 up to 2^63 - 1."""
    return natural(value, (1 << 63) - 1)


def optional(check: Callable[[object], Value]) -> Callable[[object], Value | None]:
    """Return a check that lets None pass."""
    return lambda value: None if value is None else check(value)


def ident(value: object) -> ObjectId:
    """Return an id."""
    return check_id(value)


def token(value: object) -> bytes:
    """Return 16 bytes."""
    if type(value) is not bytes or len(value) != TOKEN_BYTES:
        raise FormatError("a message has something else where 16 bytes belong")
    return value


TOKEN_BYTES = 16


def many(check: Callable[[object], Value], most: int) -> Callable[[object], tuple[Value, ...]]:
    """Return a check of an array of at most `most` values."""

    def checked(value: object) -> tuple[Value, ...]:
        if type(value) is not list:
            raise FormatError("a message has something else where an array belongs")
        if len(value) > most:
            raise LimitError(f"a message has an array of more than {most}")
        return tuple(check(item) for item in value)

    return checked


def distinct(check: Callable[[object], Value], most: int) -> Callable[[object], tuple[Value, ...]]:
    """Return a check of an array of at most `most` values, none of them twice."""
    every = many(check, most)

    def checked(value: object) -> tuple[Value, ...]:
        found = every(value)
        if len(set(found)) != len(found):
            raise FormatError("a message names something twice")
        return found

    return checked


def row(value: object, length: int) -> list[object]:
    """Return an array of so many values."""
    if type(value) is not list or len(value) != length:
        raise FormatError(f"a message has something else where {length} values belong")
    return value
