"""Where received packs lie until an update has used them (docs/protocol.md, "part")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.limits import QUARANTINE_DAYS
from mvc.sync.messages import GiveReply, PartRequest

RESERVE_BYTES = 256 << 20


class Quarantine:
    """The parts that one asker has sent, or that one remote has given, below `folder`.

    `most` bytes are held at a time (None: no limit), and `reserve` bytes of the disk stay free.
    """

    def __init__(
        self, folder: Path, *, most: int | None = None, reserve: int = RESERVE_BYTES
    ) -> None:
        self.folder = folder
        self._most = most
        self._reserve = reserve

    def take(self, part: PartRequest | GiveReply, body: Iterator[bytes]) -> None:
        """Make a part durable, once it is verified as far as it can be alone.

        Reads the body to its end. Raises FormatError, LimitError, IntegrityError, StorageError.
        """
        raise NotImplementedError

    def has(self, part: ObjectId) -> bool:
        """Tell whether a part is here."""
        raise NotImplementedError

    def parts(self) -> list[ObjectId]:
        """Return the names of all parts that are here."""
        raise NotImplementedError

    def holds(self, wanted: ObjectId) -> bool:
        """Tell whether an object is in one of the parts."""
        raise NotImplementedError

    def drop(self, parts: Iterable[ObjectId]) -> None:
        """Remove parts; those that are not here are passed over."""
        raise NotImplementedError

    def forget_old(self, days: int = QUARANTINE_DAYS) -> None:
        """Remove everything if nothing came for so many days."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the files."""


def quarantine(repo: Repository, who: str) -> Quarantine:
    """Return the quarantine of an asker, or on the fetching side that of a remote."""
    raise NotImplementedError
