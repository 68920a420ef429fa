"""Sizes, times, counts and ids as people read them, and as JSON has them."""

from __future__ import annotations

import re
import time

from mvc.base.errors import UsageError
from mvc.base.ids import ObjectId

SHORT = 10
_UNITS = ("kB", "MB", "GB", "TB", "PB")
_AGO = re.compile(r"(\d{1,6})[ .]?(second|minute|hour|day|week|month|year)s?([ .]ago)?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?(Z)?", re.ASCII
)
_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "year": 365 * 86400,
}


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


def parse_time(text: str, now: int) -> int:
    """Return the time that `2025-11-21`, `2025-11-21T08:00Z`, `yesterday`, `2 weeks ago` means."""
    if text.strip() == "yesterday":
        text = "1 day ago"
    if match := _AGO.fullmatch(text.strip()):
        return now - int(match.group(1)) * _SECONDS[match.group(2)] * 1_000_000
    match = _DATE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"{text[:40]!r} is not a time",
            hint="for example 2025-11-21, yesterday, or '2 weeks ago'",
        )
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    moment = (year, month, day, hour, minute, second, 0, 0, -1)
    if match.group(7):
        import calendar

        return calendar.timegm(moment) * 1_000_000
    try:
        return int(time.mktime(moment)) * 1_000_000
    except (OverflowError, ValueError):
        raise UsageError(f"{text[:40]!r} is not a time") from None


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
