"""Objects on their way in parts, of a size that the connection carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from mvc.base.progress import Progress
from mvc.sync.listing import LEAST_PART
from mvc.sync.messages import Planned
from mvc.sync.plan import batches
from mvc.sync.retry import ShortLivedError


@dataclass(slots=True)
class Sums:
    """What went over the link: parts, and their bytes."""

    parts: int = 0
    bytes: int = 0


def in_parts(
    planned: Sequence[Planned], part_bytes: int, act: Callable[[list[Planned]], None]
) -> None:
    """Call `act` with one batch of a plan after another, in order.

    Where connections do not last as long as a part takes, parts become smaller: ShortLivedError is
    raised only when they cannot.
    """
    done, size = 0, part_bytes
    while done < len(planned):
        try:
            for batch in batches(islice(planned, done, None), size):
                act(batch)
                done += len(batch)
        except ShortLivedError as error:
            smaller = min(size // 2, error.passed * 3 // 4)
            if size <= LEAST_PART:
                raise
            size = max(smaller, LEAST_PART)


class Watched:
    """A body that tells a progress how much of it passed; begun anew, it takes back what it told.

    Told are as many bytes as were planned, however many there are.
    """

    def __init__(
        self, make: Callable[[], Iterable[bytes]], length: int, planned: int, progress: Progress
    ) -> None:
        self._make = make
        self._length = max(length, 1)
        self._planned = planned
        self._progress = progress
        self._passed = 0
        self._told = 0

    def __iter__(self) -> Iterator[bytes]:
        self._passed = 0
        self._tell(0)
        for piece in self._make():
            yield piece
            self._passed += len(piece)
            self._tell(min(self._planned, self._planned * self._passed // self._length))

    def _tell(self, told: int) -> None:
        if told != self._told:
            self._progress.advance(told - self._told)
            self._told = told
