from __future__ import annotations

from mvc.base.clock import system_clock
from mvc.base.fileio import now_ns
from mvc.base.progress import SILENT, Progress


def test_the_clock_counts_microseconds() -> None:
    assert abs(system_clock() * 1000 - now_ns()) < 60 * 10**9


def test_nobody_need_watch_progress() -> None:
    watched: Progress = SILENT
    watched.start("task", 10)
    watched.advance(10)
    watched.finish()
