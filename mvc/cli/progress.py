"""A progress bar on stderr: bytes, rate and time left; gone when the work is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY_SECONDS = 0.3


class Bar:
    """Draws one task at a time. What is over quickly is never drawn, nor is rich loaded for it."""

    def __init__(self, *, colour: bool = True) -> None:
        self._colour = colour
        self._task = ""
        self._total = 0
        self._done = 0
        self._since = 0.0
        self._drawn: tuple[Progress, TaskID] | None = None

    def start(self, task: str, total: int) -> None:
        """Begin a task of `total` bytes."""
        self.finish()
        self._task, self._total, self._done = task, total, 0
        self._since = time.monotonic()

    def advance(self, amount: int) -> None:
        """Draw that `amount` more bytes are done."""
        self._done += amount
        if self._drawn is not None:
            progress, task = self._drawn
            progress.update(task, completed=self._done)
        elif time.monotonic() - self._since > DELAY_SECONDS:
            self._drawn = self._draw()

    def finish(self) -> None:
        """Take the bar away."""
        if self._drawn is not None:
            self._drawn[0].stop()
            self._drawn = None

    def _draw(self) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, no_color=not self._colour),
            transient=True,
        )
        progress.start()
        task = progress.add_task(self._task, total=self._total or None, completed=self._done)
        return progress, task
