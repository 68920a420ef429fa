"""Chunks that are decoded while other parts are still on their way, so that an update need not.

What is found holds for the very files that were read: a part that was removed and sent again under
the same name is another one. Whether a chunk may join is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import cache

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.counted import Counted
from mvc.sync.incoming import Incoming
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Files, Quarantine

QUEUED = 4
"""Parts of one asker that wait here at most; what is not looked at early is looked at in time."""


@cache
def _executor() -> ThreadPoolExecutor:
    """Return the one thread of a process that does this, for all askers in turn."""
    return ThreadPoolExecutor(1, "mvc-early")


class Early:
    """What was found out about parts of one quarantine before they joined."""

    def __init__(self, repo: Repository, held: Quarantine) -> None:
        self._repo = repo
        self._held = held
        self._found: dict[ObjectId, tuple[Files, frozenset[ObjectId]]] = {}
        self._waiting: list[Future[None]] = []

    def add(self, part: ObjectId, counted: Callable[[], Counted]) -> None:
        """Look into a part soon; of deltas, those against what counts or is in the part, too."""
        self._waiting = [one for one in self._waiting if not one.done()]
        if len(self._waiting) < QUEUED:
            self._waiting.append(_executor().submit(self._look, part, counted))

    def close(self) -> None:
        """Wait for what is under way, and leave out what has not begun; more may follow."""
        for one in self._waiting:
            one.cancel()
        wait(self._waiting)
        self._waiting = []

    def sound(self, part: ObjectId) -> frozenset[ObjectId]:
        """Return the chunks of a part that are known to have the bytes that their ids say."""
        files, found = self._found.get(part, (None, frozenset()))
        return found if files is not None and files == self._held.files(part) else frozenset()

    def _look(self, part: ObjectId, counted: Callable[[], Counted]) -> None:
        before = self._held.files(part)
        if before is None:
            return
        try:
            with closing(Parts(self._held, [part])) as sent:
                found = Incoming(self._repo, sent, counted()).sound_alone()
        except MvcError:
            # The update will tell what is wrong.
            return
        if self._held.files(part) == before:
            self._found[part] = before, found
