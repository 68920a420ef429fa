"""Chunks that are asked for one by one, and what becomes of a remote that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    MissingObjectError,
    MvcError,
    NetworkError,
)
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.store.decode import load
from mvc.sync import remote_tails
from mvc.sync.closure import Found, walk
from mvc.sync.grants import Grants, device, everything
from mvc.sync.link import Answer, Link, refusal, refused
from mvc.sync.messages import GiveReply, GiveRequest, Request
from mvc.sync.remote_tails import RemoteTails
from mvc.sync.service import Service
from tests.e2e.world import World, network, nudged, weights
from tests.sync.flows import Counting

DATA = weights(1, 9_000_000)


class Asked:
    """A link to a service with some grants, and what it was asked."""

    def __init__(self, repo: Repository, grants: Grants) -> None:
        self._service = Service(repo, grants)

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        try:
            return self._service.answer(request, iter(body))
        except MvcError as error:
            raise refused(refusal(error)) from error

    def close(self) -> None:
        self._service.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"m": network({"a": DATA})}, "one")
    world.save({"m": network({"a": nudged(DATA, 2)})}, "two")
    return world


def chunks(world: World) -> list[ObjectId]:
    head = world.repo.head_commit()
    assert head is not None
    found = walk(world.repo.store, [Found(head, "commit")])
    return [item.id for item in found if item.kind == "chunk" and item.word == 4]


def asking(world: World, grants: Grants, *likely: ObjectId) -> tuple[RemoteTails, Counting]:
    link = Counting(Asked(world.repo, grants))

    def opened(stack: ExitStack) -> Link:
        stack.callback(link.close)
        return link

    return RemoteTails(world.repo, opened, likely), link


def same(world: World, source: RemoteTails, wanted: ObjectId) -> bool:
    pairs = zip(source.segments(wanted), load(world.repo.store, wanted), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_chunks_come_together_and_are_asked_for_once(world: World) -> None:
    head = world.repo.head_commit()
    assert head is not None
    source, link = asking(world, everything("owner"), head)
    wanted = chunks(world)
    source.fetch(wanted)
    assert all(same(world, source, item) for item in wanted)
    assert link.asked == {"give": 2}, "18 MB in parts of 16 MiB"
    source.close()


def test_an_asker_with_a_prefix_of_its_own_gets_what_it_may_read(world: World) -> None:
    head = world.repo.head_commit()
    assert head is not None
    for likely in ((), (head,), (ObjectId(bytes(32)),)):
        source, link = asking(world, device("car"), *likely)
        wanted = chunks(world)
        assert same(world, source, wanted[0])
        assert same(world, source, wanted[-1])
        assert link.asked["refs"] == (likely != (head,))
        source.close()
    source, _ = asking(world, device("car", reads=()))
    with pytest.raises(MissingObjectError):
        source.segments(wanted[0])


def test_what_does_not_fit_is_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tails, "ROOM", 5_000_000)
    source, link = asking(world, everything("owner"))
    wanted = chunks(world)
    source.fetch(wanted)
    assert link.asked["give"] == 1
    assert all(same(world, source, item) for item in wanted)
    assert link.asked["give"] == len(wanted)


def test_a_remote_out_of_reach_is_not_asked_for_each_chunk(world: World) -> None:
    class Cut(Asked):
        tries = 0

        def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
            Cut.tries += 1
            raise NetworkError("there is nobody")

    link = Cut(world.repo, everything("owner"))
    source = RemoteTails(world.repo, lambda _: link)
    for item in chunks(world):
        with pytest.raises(NetworkError, match="nobody"):
            source.segments(item)
    assert Cut.tries == 1


@pytest.mark.parametrize("lie", ["other", "bytes", "length"])
def test_what_a_lying_remote_gives_is_refused(world: World, lie: str) -> None:
    class Lying(Asked):
        def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
            if not isinstance(request, GiveRequest):
                return super().ask(request, body)
            if lie == "other":
                (wanted,) = request.objects
                other = next(item for item in chunks(world) if item != wanted.id)
                request = GiveRequest(request.wants, (wanted._replace(id=other),))
            answer = super().ask(request, body)
            data = bytearray(b"".join(answer.body))
            given = answer.reply
            assert isinstance(given, GiveReply)
            if lie == "bytes":
                data[2000] ^= 1
            elif lie == "length":
                given = GiveReply(given.name, given.head, 1 << 40)
            return Answer(given, iter([bytes(data)]))

    link = Lying(world.repo, everything("owner"))
    source = RemoteTails(world.repo, lambda _: link)
    with pytest.raises((IntegrityError, FormatError)):
        source.segments(chunks(world)[0])
    assert world.leftovers() == ["parts/lock"], "of who gives"
