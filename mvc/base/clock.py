"""The time of day, injectable: ids and outputs of a test must not depend on when it runs."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Microseconds since the epoch, UTC."""


def system_clock() -> int:
    """Return the machine's time in microseconds."""
    return time.time_ns() // 1000
