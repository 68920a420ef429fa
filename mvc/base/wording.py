"""Sizes, counts, shares and ids as people read them."""

from __future__ import annotations

import time

from mvc.base.ids import ObjectId

SHORT = 10
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def short(item: ObjectId | None) -> str:
    """Return an id abbreviated for people."""
    return "0" * SHORT if item is None else item.hex()[:SHORT]


def size(count: int) -> str:
    """Return a number of bytes with three digits and a decimal unit."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        if value < 999.5 or unit == _UNITS[-1]:
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def counted(count: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count} {noun if count == 1 else plural}"


def local_time(micros: int) -> str:
    """Return a time of the store in the reader's time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(micros // 1_000_000))


def iso_time(micros: int) -> str:
    """Return a time of the store as ISO 8601 in UTC with microseconds."""
    seconds, rest = divmod(micros, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06d}Z"


def percent(part: int, whole: int) -> str:
    """Return a share such that only all is 100% and only nothing is 0%."""
    if not part or part == whole:
        return "100%" if part else "0%"
    share = 100 * part / whole
    if share < 0.1:
        return "<0.1%"
    return f"{share:.1f}%" if share < 99.95 else ">99.9%"


def number(value: float) -> str:
    """Return a metric's value in the shortest form that reads back the same."""
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
