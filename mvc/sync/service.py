"""Answers for one repository and one asker (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mvc.repo.repository import Repository
from mvc.sync.grants import Grants
from mvc.sync.limits import PART_BYTES
from mvc.sync.link import Answer
from mvc.sync.messages import Request
from mvc.sync.quarantine import RESERVE_BYTES


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a server allows beyond the limits of the protocol."""

    part_bytes: int = PART_BYTES
    quarantine_bytes: int | None = None
    reserve_bytes: int = RESERVE_BYTES


class Service:
    """A server for one repository: `who` is the asker's name in reflogs and of its quarantine.

    Safe to keep for many requests of one asker, one at a time.
    """

    def __init__(
        self, repo: Repository, grants: Grants, who: str | None = None, bounds: Bounds | None = None
    ) -> None:
        self._repo = repo
        self._grants = grants
        self._who = who or grants.name
        self._bounds = bounds or Bounds()

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        """Return the answer to a request, or raise MvcError (see mvc.sync.link.refusal)."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the quarantine's files; the repository stays open."""
