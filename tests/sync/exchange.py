"""Pushing to a service and fetching from it, step by step, as the simplest client does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgpack

from mvc.base.ids import ObjectId
from mvc.repo.repository import Environment, Repository
from mvc.sync.grants import Grants, everything
from mvc.sync.joining import receive
from mvc.sync.limits import PART_BYTES
from mvc.sync.link import Answer
from mvc.sync.messages import (
    Asked,
    Change,
    GiveReply,
    GiveRequest,
    MissingReply,
    MissingRequest,
    Outcome,
    PartRequest,
    Planned,
    PlanReply,
    PlanRequest,
    RefsReply,
    RefsRequest,
    Request,
    UpdateReply,
    UpdateRequest,
    planned,
)
from mvc.sync.outgoing import make_part
from mvc.sync.plan import batches, held_by, objects_to_send, plan, versions_between
from mvc.sync.quarantine import Quarantine, quarantine
from mvc.sync.service import Service
from tests.e2e.world import ENVIRONMENT, World, contents

PUSH = b"sixteen bytes..."
MAIN = "refs/heads/main"
OWNER = everything("owner")


def bare(path: Path, environment: Environment = ENVIRONMENT) -> Repository:
    return Repository.init(path, bare=True, environment=environment)


@dataclass
class Sent:
    """A part as it goes over the wire."""

    name: ObjectId
    head: bytes
    tail: bytes

    @property
    def request(self) -> PartRequest:
        return PartRequest(self.name, len(self.head), len(self.tail))

    def body(self) -> Iterator[bytes]:
        yield self.head
        yield self.tail


def part_of(repo: Repository, asked: Iterable[Asked]) -> Sent:
    with make_part(repo, [*asked], repo.scratch) as part:
        data = b"".join(part.body())
        return Sent(part.name, data[: part.head], data[part.head :])


@dataclass
class Client:
    """Who asks a service, and what went over the wire."""

    repo: Repository
    service: Service
    part_bytes: int = PART_BYTES
    parts: list[ObjectId] = field(default_factory=list)
    moved: int = 0

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        return self.service.answer(request, iter(body))

    def refs(self, *prefixes: str) -> RefsReply:
        reply = self.ask(RefsRequest(prefixes or ("refs/",))).reply
        assert isinstance(reply, RefsReply)
        return reply

    def missing(self, ids: Iterable[ObjectId], bases: Iterable[ObjectId] = ()) -> set[ObjectId]:
        reply = self.ask(MissingRequest(tuple(bases), tuple(ids))).reply
        assert isinstance(reply, MissingReply)
        return set(reply.missing)

    def plan(self, new: ObjectId, bases: Iterable[ObjectId] = ()) -> list[Planned]:
        """Return what there is to send for a version, given what the server has."""
        versions, boundary = versions_between(self.repo, [new], bases)
        wanted = objects_to_send(self.repo, versions, boundary)
        missing = self.missing([item.id for item in wanted], bases)
        wanted = [item for item in wanted if item.id in missing]
        return [*plan(self.repo, wanted, held_by(self.repo, boundary).__contains__)]

    def send(self, entries: Iterable[Planned]) -> list[ObjectId]:
        names = []
        for batch in batches(entries, self.part_bytes):
            part = part_of(self.repo, [Asked(item.id, item.base) for item in batch])
            self.take(part)
            names.append(part.name)
        self.parts += names
        return names

    def take(self, part: Sent) -> None:
        self.ask(part.request, part.body())
        self.moved += len(part.head) + len(part.tail)

    def update(
        self,
        *changes: Change,
        bases: Iterable[ObjectId] = (),
        push: bytes = PUSH,
        parts: Iterable[ObjectId] | None = None,
        atomic: bool = False,
    ) -> dict[str, str]:
        """Move refs; return the code of each."""
        return {
            item.ref: item.code
            for item in self.outcomes(*changes, bases=bases, push=push, parts=parts, atomic=atomic)
        }

    def outcomes(
        self,
        *changes: Change,
        bases: Iterable[ObjectId] = (),
        push: bytes = PUSH,
        parts: Iterable[ObjectId] | None = None,
        atomic: bool = False,
    ) -> tuple[Outcome, ...]:
        names = self.parts if parts is None else parts
        reply = self.ask(UpdateRequest(push, tuple(names), tuple(bases), changes, atomic)).reply
        assert isinstance(reply, UpdateReply)
        return reply.results

    def push(
        self,
        new: ObjectId,
        ref: str = MAIN,
        old: ObjectId | None = None,
        *,
        force: bool = False,
        push: bytes = PUSH,
    ) -> str:
        """Send a version that the server lacks and move a ref; return the outcome."""
        bases = [item.target for item in self.refs().refs]
        self.parts = []
        self.send(self.plan(new, bases))
        return self.update(Change(ref, old, new, force), bases=bases, push=push)[ref]

    def planned(self, wants: Iterable[ObjectId], haves: Iterable[ObjectId] = ()) -> list[Planned]:
        answer = self.ask(PlanRequest(tuple(wants), tuple(haves)))
        assert isinstance(answer.reply, PlanReply)
        unpacker = msgpack.Unpacker()
        unpacker.feed(b"".join(answer.body))
        found = [planned(value) for value in unpacker]
        assert answer.reply.objects == len(found)
        assert answer.reply.bytes == sum(item.size for item in found)
        return found

    def given(self, wants: Iterable[ObjectId], asked: Iterable[Asked]) -> Sent:
        answer = self.ask(GiveRequest(tuple(wants), tuple(asked)))
        assert isinstance(answer.reply, GiveReply)
        data = b"".join(answer.body)
        reply = answer.reply
        assert len(data) == reply.head + reply.tail
        return Sent(reply.name, data[: reply.head], data[reply.head :])

    @contextmanager
    def fetched(
        self, wants: list[ObjectId], haves: Iterable[ObjectId] = ()
    ) -> Iterator[Quarantine]:
        """Bring versions; refs are to move inside."""
        haves = list(haves)
        held = quarantine(self.repo, "origin")
        for batch in batches(self.planned(wants, haves), self.part_bytes):
            part = self.given(wants, [Asked(item.id, item.base) for item in batch])
            held.take(part.request, part.body())
            self.moved += len(part.head) + len(part.tail)
        try:
            with receive(self.repo, held, held.parts(), wants, haves):
                yield held
        finally:
            held.close()


def client(world: World | Repository, server: Repository, grants: Grants = OWNER) -> Client:
    repo = world.repo if isinstance(world, World) else world
    return Client(repo, Service(server, grants))


def files_at(repo: Repository, revision: str, target: Path) -> dict[str, bytes]:
    """Return the files of a version, and fail unless everything in the repository is whole."""
    from mvc.ops.export import export
    from mvc.ops.fsck import fsck

    report = fsck(repo)
    assert report.ok, report.problems
    export(repo, revision, target)
    return contents(target)


def leftovers(repo: Repository) -> list[str]:
    """Return the files of packs in quarantine and of unfinished work."""
    found = [path for name in ("incoming", "tmp") for path in (repo.folder / name).rglob("*")]
    kept = ("lock", "storage", "parts", "index.sqlite")
    return [
        path.relative_to(repo.folder).as_posix()
        for path in found
        if path.is_file() and path.name not in kept
    ]
