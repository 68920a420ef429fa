"""How long work tells its caller how far it is. The command line draws it; libraries are silent."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives steps of a task measured in bytes."""

    def start(self, task: str, total: int) -> None:
        """Begin a task of `total` bytes."""
        ...

    def advance(self, amount: int) -> None:
        """Report that `amount` more bytes are done."""
        ...

    def finish(self) -> None:
        """End the task."""
        ...


class Silent:
    """A progress that nobody watches."""

    def start(self, task: str, total: int) -> None:
        """Ignore."""

    def advance(self, amount: int) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""


SILENT = Silent()
