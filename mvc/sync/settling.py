"""Parts that are verified and made durable while the next ones arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Self

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.sync.messages import GiveReply
from mvc.sync.quarantine import Arrived, Quarantine


class Settling:
    """Takes parts as a quarantine does, one step ahead. Use as a context manager.

    Leaving it waits until all of them are durable; what is wrong with one is raised then, or when
    the next one has come. `settled` is told of each, in a thread of its own.
    """

    def __init__(self, held: Quarantine, settled: Callable[[ObjectId], None]) -> None:
        self._held = held
        self._settled = settled
        self._executor = ThreadPoolExecutor(1, "mvc-settling")
        self._last: Future[None] | None = None

    def take(self, part: GiveReply, body: Iterator[bytes]) -> None:
        """Take in a part; see `Quarantine.take`."""
        arrived = self._held.receive(part, body)
        try:
            self._wait()
        except BaseException:
            if arrived is not None:
                arrived.close()
            raise
        if arrived is not None:
            self._last = self._executor.submit(self._settle, arrived)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._wait()
            else:
                # What went wrong first is raised.
                with suppress(MvcError):
                    self._wait()
        finally:
            self._executor.shutdown()

    def _wait(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def _settle(self, arrived: Arrived) -> None:
        self._held.settle(arrived)
        self._settled(arrived.part.name)
