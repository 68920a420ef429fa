"""Links that count and that break off, and repositories that push to and fetch from each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mvc.base.errors import NetworkError
from mvc.base.ids import ObjectId
from mvc.repo.refs import BRANCHES
from mvc.repo.repository import Repository
from mvc.sync.grants import everything
from mvc.sync.link import Answer, Link
from mvc.sync.local import LocalLink
from mvc.sync.memory import Memory
from mvc.sync.messages import Request
from mvc.sync.push import Move, Pushed, push
from mvc.sync.retry import ShortLivedError
from mvc.sync.service import Bounds, Service
from tests.e2e.world import ENVIRONMENT, World, network, nudged, weights

MAIN = BRANCHES + "main"
ADDRESS = "there"


@dataclass
class Counting:
    """A link that counts requests by verb, and the bytes of bodies."""

    link: Link
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0
    requests: list[Request] = field(default_factory=list)

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        self.asked[request.VERB] += 1
        self.requests.append(request)
        answer = self.link.ask(request, self._out(body))
        return Answer(answer.reply, self._in(answer.body))

    def close(self) -> None:
        self.link.close()

    def _out(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for piece in body:
            self.sent += len(piece)
            yield piece

    def _in(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for piece in body:
            self.received += len(piece)
            yield piece

    @property
    def beside_parts(self) -> int:
        return sum(count for verb, count in self.asked.items() if verb not in ("part", "give"))


@dataclass
class Narrow(Counting):
    """A link that breaks off where a body is longer than `most`, as a patient link tells it."""

    most: int = 1 << 60
    broken: int = 0

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        before = self.broken
        try:
            return Counting.ask(self, request, body)
        except NetworkError as error:
            if self.broken > before:
                raise ShortLivedError(error, self.most) from error
            raise

    def _out(self, body: Iterable[bytes]) -> Iterator[bytes]:
        return self._narrowed(Counting._out(self, body))

    def _in(self, body: Iterable[bytes]) -> Iterator[bytes]:
        return self._narrowed(Counting._in(self, body))

    def _narrowed(self, body: Iterable[bytes]) -> Iterator[bytes]:
        passed = 0
        for piece in body:
            passed += len(piece)
            if passed > self.most:
                self.broken += 1
                raise ShortLivedError(NetworkError("cut"), self.most)
            yield piece


@dataclass
class Breaking(Counting):
    """A link that fails at its n-th request of a verb, before or behind the server."""

    verb: str = "update"
    at: int = 1
    behind: bool = False

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        strikes = self.verb == request.VERB and self.asked[self.verb] + 1 == self.at
        if strikes and not self.behind:
            self.asked[self.verb] += 1
            self.requests.append(request)
            raise NetworkError("cut before it arrived")
        answer = Counting.ask(self, request, body)
        if strikes:
            raise NetworkError("cut before the answer came")
        return answer


def bare(path: Path) -> Repository:
    return Repository.init(path, bare=True, environment=ENVIRONMENT)


def linked(there: Repository, part_bytes: int = 1 << 24) -> Counting:
    return Counting(local(there, part_bytes))


def local(there: Repository, part_bytes: int = 1 << 24) -> Link:
    link = LocalLink(there.folder, "tester", environment=ENVIRONMENT)
    bounds = Bounds(part_bytes=part_bytes)
    link._service = Service(link._repo, everything("tester"), bounds=bounds)
    return link


def tuned(world: World, count: int, size: int = 200_000, start: int = 0) -> list[ObjectId]:
    """Commit so many versions of a model, each some steps of training after the one before."""
    body = weights(1, size)
    for number in range(start):
        body = nudged(body, number)
    found = []
    for number in range(start, start + count):
        body = nudged(body, number)
        model = network({"body": body, "head": weights(99 + number, 4096)})
        found.append(world.save({"m.safetensors": model}, f"version {number}").id)
    return found


def pushed(
    world: World,
    link: Link,
    *moves: Move,
    seen: Iterable[ObjectId] = (),
    atomic: bool = False,
    dry_run: bool = False,
) -> Pushed:
    repo = world.repo
    head = repo.head_commit()
    memory = Memory(repo, ADDRESS)
    wanted = moves or (Move(MAIN, head, "main"),)
    return push(repo, link, wanted, memory, seen, atomic=atomic, dry_run=dry_run)
