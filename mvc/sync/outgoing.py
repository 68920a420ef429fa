"""Parts: packs made for the other side from objects of a plan (docs/protocol.md, "part")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.messages import Asked


@dataclass(slots=True)
class Part:
    """A pack in two files of its own, not in any storage: `head` and `tail` bytes long."""

    name: ObjectId
    head: int
    tail: int

    def body(self) -> Iterator[bytes]:
        """Yield the head, then the tail, in pieces of at most MAX_PIECE; may be called again."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove the files."""
        raise NotImplementedError


def make_part(
    repo: Repository, asked: Sequence[Asked], folder: Path, *, heads: bool = False
) -> Part:
    """Write a pack of objects, each chunk as a delta against the base asked for, or smaller.

    `folder` is where unfinished files live. Raises MissingObjectError, IntegrityError,
    LimitError where the part would exceed MAX_PART.
    """
    raise NotImplementedError
