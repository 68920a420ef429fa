"""The bare repositories below the root of a server, and who answers for each of them.

A name is walked folder by folder and no link is followed, so nothing outside the root is served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

from mvc.base import fileio
from mvc.base.errors import MvcError, NotFoundError
from mvc.base.ids import ObjectId, digest
from mvc.repo.repository import Environment, Repository, is_repository
from mvc.storage import keys
from mvc.sync.limits import PART_BYTES
from mvc.sync.link import Answer, Server
from mvc.sync.messages import GiveRequest, PlanRequest, RefsReply, RefsRequest, Request
from mvc.sync.quarantine import INCOMING
from mvc.sync.repository_names import MAX_SEGMENTS, is_name
from mvc.sync.tokens import FOLDER, Token

KEPT = 64


class Answering(Server, Protocol):
    """A server with files to let go of."""

    def close(self) -> None:
        """Let go of them."""
        ...


Make = Callable[[Repository, Token], Answering]
Key = tuple[str, Token]
_Seen = tuple[fileio.FileStat | None, ...]


@dataclass(slots=True)
class _Seat:
    """An open repository and who answers for it, for one request at a time."""

    repo: Repository
    server: Answering
    seen: _Seen

    def close(self) -> None:
        self.server.close()
        self.repo.close()


class Served:
    """The repositories below `root`; `make` says who answers for one. Safe from several threads."""

    def __init__(self, root: Path, make: Make, environment: Environment | None = None) -> None:
        self.root = root.resolve()
        self._make = make
        self._environment = environment
        self._guard = Lock()
        self._idle: OrderedDict[int, tuple[Key, _Seat]] = OrderedDict()

    @contextmanager
    def serving(self, name: str, token: Token) -> Iterator[Server]:
        """Lend who answers for a repository; NotFoundError where there is none.

        A token that may make repositories finds an empty one where there is none, and makes it
        when it first sends something.
        """
        folder = self.folder(name)
        if folder is None:
            if "admin" not in token.server or self._inside_another(name):
                raise absent(name)
            yield _Absent(self, name, token)
            return
        seat = self._taken(name, token, folder)
        try:
            yield seat.server
        except MvcError:
            self._put_back((name, token), seat)
            raise
        except BaseException:
            seat.close()
            raise
        self._put_back((name, token), seat)

    def folder(self, name: str) -> Path | None:
        """Return where a repository is, None where there is none."""
        if not is_name(name):
            return None
        path = self.root
        for part in name.split("/"):
            path = path / part
            if fileio.kind(path) != "directory":
                return None
        return path if is_repository(path) else None

    def create(self, name: str) -> None:
        """Make a bare repository; NotFoundError where its name leads elsewhere."""
        path = self.root
        for part in name.split("/"):
            path = path / part
            if fileio.kind(path) not in ("directory", "missing"):
                raise absent(name)
        if not is_name(name) or self._inside_another(name):
            raise absent(name)
        with fileio.locked(self.root / FOLDER / "lock"):
            Repository.init(path, bare=True, environment=self._environment).close()

    def names(self) -> Iterator[str]:
        """Yield the names of all repositories."""
        pending = [""]
        while pending:
            above = pending.pop()
            for part in fileio.names(self.root / above):
                name = f"{above}/{part}" if above else part
                if not is_name(name) or fileio.kind(self.root / name) != "directory":
                    continue
                if is_repository(self.root / name):
                    yield name
                elif name.count("/") < MAX_SEGMENTS - 1:
                    pending.append(name)

    def lying(self) -> int:
        """Return the bytes of all quarantines."""
        total = 0
        for name in self.names():
            with suppress(MvcError):
                total += fileio.disk_bytes(self.root / name / INCOMING)
        return total

    def close(self) -> None:
        """Close every repository that nobody uses."""
        with self._guard:
            seats = [seat for _, seat in self._idle.values()]
            self._idle.clear()
        for seat in seats:
            seat.close()

    def _inside_another(self, name: str) -> bool:
        parts = name.split("/")
        above = (self.root.joinpath(*parts[:depth]) for depth in range(len(parts)))
        return any(is_repository(path) or is_repository(path / ".mvc") for path in above)

    def _taken(self, name: str, token: Token, folder: Path) -> _Seat:
        # Another repository may have come in its place, or other settings.
        now = tuple(fileio.stat_file(folder / name) for name in (keys.FORMAT, "config.toml"))
        with self._guard:
            found = [number for number, (key, _) in self._idle.items() if key == (name, token)]
            seats = [self._idle.pop(number)[1] for number in found[-1:]]
        for seat in seats:
            if seat.seen == now:
                return seat
            seat.close()
        repo = Repository(folder, None, self._environment)
        return _Seat(repo, self._make(repo, token), now)

    def _put_back(self, key: Key, seat: _Seat) -> None:
        with self._guard:
            self._idle[id(seat)] = key, seat
            over = [self._idle.popitem(last=False)[1][1] for _ in range(len(self._idle) - KEPT)]
        for old in over:
            old.close()


class _Absent:
    """Answers for a repository that is made when something is first sent to it."""

    def __init__(self, served: Served, name: str, token: Token) -> None:
        self._served = served
        self._name = name
        self._token = token

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        if isinstance(request, RefsRequest):
            state = ObjectId(digest(b""))
            same = request.known == state
            return Answer(RefsReply((), False, None, state, same, PART_BYTES), iter(()))
        if isinstance(request, PlanRequest | GiveRequest):
            raise absent(self._name)
        self._served.create(self._name)
        # The answer to one of these has no body, so nothing is read after the loan is over.
        with self._served.serving(self._name, self._token) as server:
            return server.answer(request, body)


def absent(name: str) -> NotFoundError:
    """Return the error for a repository that is not there, or not for whoever asks."""
    return NotFoundError(
        f"there is no repository {name}", hint="check the address, and what the token is for"
    )
