"""Answer one asker on standard input and output: whom, for which repository, within which limits.

What a client asks ssh to run is untrusted text. Below a root nothing but a path is taken from it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mvc.base.errors import MvcError, NotAllowedError, NotFoundError, StorageError, UsageError
from mvc.repo.names import FOLDER, check_branch
from mvc.repo.repository import Environment, Repository, is_repository
from mvc.sync.answering import Patience, Served, answer_all
from mvc.sync.grants import Grants, device, everything
from mvc.sync.link import Answer, Server
from mvc.sync.messages import Request

COMMAND = ["mvc", "serve", "--stdio"]
MAX_COMMAND = 8192


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What to serve, and to whom.

    `path` is what the command line names, `original` what the client asked ssh to run where a
    forced command runs instead. Below `root` the one counts, or else the other.
    """

    path: str | None = None
    original: str | None = None
    root: Path | None = None
    device: str | None = None
    append_only: bool = False
    read_only: bool = False


def serve_stdio(
    request: ServeRequest,
    here: Path,
    source: int,
    target: int,
    *,
    environment: Environment | None = None,
    patience: Patience | None = None,
    log: Callable[[Served], None] = lambda _: None,
) -> None:
    """Answer the requests that come from a descriptor until it ends.

    Raises UsageError, or NotAllowedError where the client asked ssh to run something else. Where
    there is no such repository, the client is told so, and NotFoundError or NotAllowedError raised
    at the end of its requests.
    """
    grants = granted(request, environment)
    wanted = asked(request)
    try:
        repo = _opened(wanted, request.root, here, environment)
    except MvcError as error:
        answer_all(_Refusing(error), source, target, patience=patience, log=log)
        raise
    with repo:
        from mvc.sync.service import Service

        service = Service(repo, grants)
        confined = request.root is not None or request.device is not None
        server = _Discreet(service, repo.folder) if confined else service
        try:
            answer_all(server, source, target, patience=patience, log=log)
        finally:
            service.close()


def granted(request: ServeRequest, environment: Environment | None = None) -> Grants:
    """Return what the asker may do; UsageError for a device that cannot have a prefix."""
    if request.device is None:
        me = environment.author or environment.fallback_author if environment else None
        found = everything(me or "ssh")
    else:
        if "/" in request.device:
            raise UsageError(f"{request.device[:80]!r} cannot be the name of a device")
        check_branch(f"devices/{request.device}/main")
        found = device(request.device)
    without = {"force"} if request.append_only else set[str]()
    without |= {"force", "append"} if request.read_only else set()
    return replace(found, held=frozenset(item for item in found.held if item.verb not in without))


def asked(request: ServeRequest) -> str:
    """Return the path that is meant, as text.

    Raises UsageError where nobody names one, NotAllowedError where ssh was to run anything else.
    """
    told = None if request.original is None else _told(request.original)
    if request.path is not None:
        return request.path
    if request.root is None or told is None:
        raise UsageError(
            "no repository is named", hint="write mvc serve --stdio PATH, or --root DIR for ssh"
        )
    return told


def _told(original: str) -> str:
    """Return the path of `mvc serve --stdio PATH`."""
    try:
        words = shlex.split(original) if len(original) <= MAX_COMMAND else []
    except ValueError:
        words = []
    if len(words) != len(COMMAND) + 1 or words[:-1] != COMMAND or words[-1].startswith("-"):
        raise NotAllowedError("this key is for `mvc serve --stdio PATH` and nothing else")
    return words[-1]


def _opened(
    wanted: str, root: Path | None, here: Path, environment: Environment | None
) -> Repository:
    path = here / wanted if root is None else inside(here / root, wanted)
    for folder, worktree in ((path, None), (path / FOLDER, path)):
        if is_repository(folder):
            if root is not None:
                _check_inside(here / root, folder, wanted)
            return Repository(folder, worktree, environment)
    raise _absent(wanted)


def inside(root: Path, wanted: str) -> Path:
    """Return the folder below `root` that a client's path means.

    Raises NotAllowedError for a path that could mean one elsewhere, NotFoundError for one that a
    link leads elsewhere.
    """
    if not wanted.isprintable():
        raise _outside()
    path = wanted.removesuffix("/")
    if wanted.startswith("/"):
        tops = (root, root.resolve())
        below = [path.removeprefix(str(top)) for top in tops if f"{path}/".startswith(f"{top}/")]
        if not below:
            raise _outside()
        path = below[0].removeprefix("/")
    parts = path.split("/") if path else []
    if not parts and not wanted.startswith("/"):
        raise _outside()
    if any(part in ("", ".", "..") or part.startswith(("~", "-")) for part in parts):
        raise _outside()
    found = root.joinpath(*parts)
    _check_inside(root, found, wanted)
    return found


def _check_inside(root: Path, path: Path, wanted: str) -> None:
    try:
        found = path.resolve()
    except (OSError, RuntimeError, ValueError):
        raise _absent(wanted) from None
    if not found.is_relative_to(root.resolve()):
        raise _absent(wanted)


def _absent(wanted: str) -> NotFoundError:
    return NotFoundError(f"there is no repository {wanted[:200]!r}", hint="check the address")


def _outside() -> NotAllowedError:
    return NotAllowedError(
        "a path must be that of a repository below the folder that is served",
        hint="write it from there, without `..` and `~`",
    )


class _Discreet(Server):
    """Tells nothing about files of this machine to whoever has no login here."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._places = {str(folder), str(folder.resolve())}

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        try:
            return self._server.answer(request, body)
        except MvcError as error:
            told = f"{error.message} {error.hint}"
            if isinstance(error, StorageError) or any(place in told for place in self._places):
                raise type(error)("the server has failed") from error
            raise


class _Refusing(Server):
    """Tells every request the same error."""

    def __init__(self, error: MvcError) -> None:
        self._error = error

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        raise self._error
