"""The carrier for a repository on this machine: no bytes are framed, nothing is shared.

The other repository is data, not a part of this one: its settings do not count, its links are not
followed, and one that somebody else owns is not opened unless that was allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import MvcError, NotAllowedError, NotFoundError
from mvc.repo.names import FOLDER
from mvc.repo.repository import Environment, Repository, is_repository
from mvc.sync.grants import everything
from mvc.sync.link import Answer, refusal, refused
from mvc.sync.messages import Request
from mvc.sync.quarantine import INCOMING
from mvc.sync.service import Bounds, Service

PARTS = ("packs", "refs", "logs", "locks", "tmp", INCOMING)


class LocalLink:
    """A link to the repository at a path: a bare one, a working copy, or its `.mvc` folder.

    `who` is the asker's name. Raises NotFoundError, and NotAllowedError where another user owns
    the repository, unless `strangers`. What is given is put together in `scratch`, so that nothing
    need be written there to fetch from it.
    """

    def __init__(
        self,
        path: Path,
        who: str = "local",
        *,
        environment: Environment | None = None,
        strangers: bool = False,
        scratch: Path | None = None,
    ) -> None:
        self._repo = opened(path, environment, strangers=strangers)
        self._service = Service(self._repo, everything(who), bounds=Bounds(scratch=scratch))

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        """See Link."""
        sent = _Sent(body)
        try:
            answer = self._service.answer(request, iter(sent))
        except MvcError as error:
            if error is sent.failure:
                raise
            raise refused(refusal(error)) from error
        return Answer(answer.reply, _told(answer.body))

    def close(self) -> None:
        """See Link."""
        self._service.close()
        self._repo.close()


def opened(
    path: Path, environment: Environment | None = None, *, strangers: bool = False
) -> Repository:
    """Return the repository at a path, not one that the path is inside of.

    Raises NotFoundError or NotAllowedError.
    """
    folder = path / FOLDER if is_repository(path / FOLDER) else path
    worktree = path if folder != path else path.parent if path.name == FOLDER else None
    if not is_repository(folder):
        raise NotFoundError(
            f"{path} is not an mvc repository", hint="`mvc init --bare PATH` makes one"
        )
    for name in PARTS:
        if fileio.kind(folder / name) not in ("directory", "missing"):
            raise NotAllowedError(f"{path} has a link or a file where {name} belongs")
    if not strangers and not all(fileio.is_mine(item) for item in (folder, folder / "packs")):
        raise NotAllowedError(
            f"{path} belongs to another user",
            hint="`mvc config --global core.trust_other_owners true` if its owner may be trusted",
        )
    return Repository(folder, worktree, environment)


class _Sent:
    """A body whose failures are those of whoever sends it, not the server's."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self.failure: MvcError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._body
        except MvcError as error:
            self.failure = error
            raise


def _told(body: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a body whose failures are those of a server."""
    try:
        yield from body
    except MvcError as error:
        raise refused(refusal(error)) from error
