"""Points in time as people write them."""

from __future__ import annotations

import re
import time

from mvc.base.errors import UsageError

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
