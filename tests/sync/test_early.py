"""What is found out about parts before they join, and how little is believed of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.storage import keys
from mvc.sync.counted import Counted
from mvc.sync.early import Early
from mvc.sync.incoming import Incoming
from mvc.sync.joining import receive
from mvc.sync.messages import Asked, GiveReply
from mvc.sync.quarantine import Quarantine, quarantine
from mvc.sync.settling import Settling
from tests.e2e.world import World, network, nudged, weights
from tests.sync.exchange import MAIN, Sent, bare, client, part_of
from tests.sync.hostile import Forge, against, bytes_of, plain

OLD = weights(1, 5000)
NEW = nudged(OLD, 2, 1e-5)


@pytest.fixture
def here(tmp_path: Path) -> Repository:
    return bare(tmp_path / "here")


@pytest.fixture
def held(here: Repository) -> Iterator[Quarantine]:
    found = quarantine(here, "origin", reserve=0)
    yield found
    found.close()


@pytest.fixture
def early(here: Repository, held: Quarantine) -> Early:
    return Early(here, held)


def part(*chunks: object) -> Sent:
    forge = Forge()
    for chunk in chunks:
        forge.chunk(chunk)  # type: ignore[arg-type]
    return forge.done()


def look(
    early: Early, here: Repository, name: ObjectId, *, whole: bool = True
) -> frozenset[ObjectId]:
    """Return what is found sound in a part."""
    early._look(name, lambda: Counted(here, (), whole=whole))
    return early.sound(name)


def take(held: Quarantine, sent: Sent) -> ObjectId:
    held.take(sent.request, sent.body())
    return sent.name


def test_chunks_that_have_their_bytes_are_sound(
    early: Early, here: Repository, held: Quarantine
) -> None:
    base, delta = plain(OLD), against(NEW, OLD, plain(OLD).id)
    assert look(early, here, take(held, part(base, delta))) == {base.id, delta.id}


def test_a_record_that_lies_is_not_and_the_others_are(
    early: Early, here: Repository, held: Quarantine
) -> None:
    liar = replace(plain(NEW), id=plain(bytes_of(3, 20000)).id)
    honest = plain(OLD)
    assert look(early, here, take(held, part(liar, honest))) == {honest.id}


def test_a_record_that_lies_is_not_sound_because_its_chunk_is_stored(
    early: Early, here: Repository, held: Quarantine
) -> None:
    stored = plain(OLD)
    liar = replace(plain(NEW), id=stored.id)
    _store(here, stored)
    assert here.store.has_chunk(stored.id)
    lying = take(held, part(liar))
    assert look(early, here, lying) == frozenset()


def _store(here: Repository, chunk: object) -> None:
    from mvc.base import fileio
    from mvc.store.pack import PackWriter

    with fileio.Workspace(here.scratch) as workspace:
        writer = PackWriter(workspace)
        writer.add_chunk(chunk)  # type: ignore[arg-type]
        here.store.joined(writer.publish(here.store.storage))


def test_a_delta_against_what_does_not_count_is_left_for_the_update(
    early: Early, here: Repository, held: Quarantine
) -> None:
    _store(here, plain(OLD))
    name = take(held, part(against(NEW, OLD, plain(OLD).id)))
    assert look(early, here, name, whole=False) == frozenset()
    assert look(early, here, name, whole=True) == {plain(NEW).id}


def test_what_was_found_is_of_those_files_alone(
    early: Early, here: Repository, held: Quarantine
) -> None:
    sent = part(plain(OLD))
    name = take(held, sent)
    assert look(early, here, name)
    held.drop([name])
    assert early.sound(name) == frozenset()
    take(held, sent)
    assert early.sound(name) == frozenset(), "the same bytes, but nobody has looked at them"


@pytest.mark.parametrize("change", ["head", "tail"])
def test_files_that_changed_are_looked_at_again(
    early: Early, here: Repository, held: Quarantine, change: str
) -> None:
    name = take(held, part(plain(OLD)))
    assert look(early, here, name)
    key = keys.pack_head(name.hex()) if change == "head" else keys.pack_tail(name.hex())
    path = held.folder / key
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    assert early.sound(name) == frozenset()


def test_only_what_was_not_decoded_before_is_decoded_for_the_update(
    early: Early,
    here: Repository,
    held: Quarantine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "w")
    new = world.save({"m.safetensors": network({"a": weights(1, 1 << 16)})}).id
    entries = client(world, world.repo).planned([new])
    look(early, here, take(held, part_of(world.repo, [Asked(it.id, it.base) for it in entries])))
    counted: list[int] = []
    real = Incoming._decoded

    def noted(self: Incoming, *args: object) -> object:
        counted.append(1)
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Incoming, "_decoded", noted)
    with receive(here, held, held.parts(), [new], sound=early.sound):
        here.refs.update(MAIN, None, new, here.change(None, new, "fetch"))
    assert counted == []


def given(sent: Sent) -> GiveReply:
    return GiveReply(sent.name, len(sent.head), len(sent.tail))


def test_parts_are_settled_when_the_block_ends(held: Quarantine) -> None:
    parts = [part(plain(bytes_of(seed, 4000))) for seed in range(4)]
    told: list[ObjectId] = []
    with Settling(held, told.append) as settling:
        for sent in parts:
            settling.take(given(sent), sent.body())
    assert sorted(held.parts()) == sorted(sent.name for sent in parts)
    assert told == [sent.name for sent in parts]


def settle(held: Quarantine, *parts: tuple[GiveReply, Iterator[bytes]]) -> None:
    with Settling(held, lambda _: None) as settling:
        for reply, body in parts:
            settling.take(reply, body)


def test_a_damaged_part_is_told_with_the_next_one_or_at_the_end(held: Quarantine) -> None:
    good = part(plain(OLD))
    bad = replace(good, head=good.head[:20] + bytes([good.head[20] ^ 1]) + good.head[21:])
    with pytest.raises(IntegrityError):
        settle(held, (given(bad), bad.body()))
    other = part(plain(NEW))
    with pytest.raises(IntegrityError):
        settle(held, (given(bad), bad.body()), (given(other), other.body()))
    assert held.parts() == []
    assert not list(held.folder.rglob("staged-*"))


def test_what_has_come_whole_stays_when_the_next_one_breaks_off(held: Quarantine) -> None:
    sent = part(plain(OLD))

    def cut() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionError

    other = GiveReply(ObjectId(b"n" * 32), len(sent.head), len(sent.tail))
    with pytest.raises(ConnectionError):
        settle(held, (given(sent), sent.body()), (other, cut()))
    assert held.parts() == [sent.name]
