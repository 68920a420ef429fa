"""The carrier for a repository on this machine: no bytes are framed, nothing is shared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mvc.repo.repository import Environment
from mvc.sync.link import Answer
from mvc.sync.messages import Request


class LocalLink:
    """A link to the repository at a path: a bare one, a working copy, or its `.mvc` folder.

    `who` is the asker's name. Raises NotFoundError, and NotAllowedError where another user owns
    the repository, unless `strangers`.
    """

    def __init__(
        self,
        path: Path,
        who: str = "local",
        *,
        environment: Environment | None = None,
        strangers: bool = False,
    ) -> None:
        raise NotImplementedError

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        """See Link."""
        raise NotImplementedError

    def close(self) -> None:
        """See Link."""
