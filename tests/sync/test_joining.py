"""What was fetched joins: all of a version or nothing, and nothing besides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MissingObjectError, NegativeAnswer, StorageError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.store import locks
from mvc.sync.joining import receive
from mvc.sync.messages import Asked
from mvc.sync.quarantine import Quarantine, quarantine
from tests.e2e.world import World, network, nudged, weights
from tests.sync.exchange import MAIN, bare, client, files_at, leftovers, part_of
from tests.sync.hostile import Forge, blob_of, bytes_of, plain, version

DATA = weights(1, 1 << 16)
FILES = {"m.safetensors": network({"a": DATA}), "n.txt": b"text"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


@pytest.fixture
def here(tmp_path: Path) -> Repository:
    return bare(tmp_path / "here")


@pytest.fixture
def held(here: Repository) -> Iterator[Quarantine]:
    found = quarantine(here, "origin", reserve=0)
    yield found
    found.close()


def bring(world: World, held: Quarantine, new: ObjectId, *, without: int | None = None) -> None:
    """Put a version into quarantine, perhaps without the object at a place of its plan."""
    entries = client(world, world.repo).planned([new])
    kept = [entry for number, entry in enumerate(entries) if number != without]
    part = part_of(world.repo, [Asked(entry.id, entry.base) for entry in kept])
    held.take(part.request, part.body())


def move(repo: Repository, new: ObjectId) -> None:
    repo.refs.update(MAIN, None, new, repo.change(None, new, "fetch"))


def test_a_version_joins_and_its_parts_go(
    world: World, here: Repository, held: Quarantine, tmp_path: Path
) -> None:
    new = world.save(FILES).id
    bring(world, held, new)
    with receive(here, held, held.parts(), [new]):
        move(here, new)
    assert files_at(here, "main", tmp_path / "out") == FILES
    assert leftovers(here) == []


def test_nothing_joins_of_a_version_that_is_not_whole(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    count = len(client(world, world.repo).planned([new]))
    for left_out in range(count):
        bring(world, held, new, without=left_out)
        joining = receive(here, held, held.parts(), [new])
        with pytest.raises((MissingObjectError, IntegrityError)):
            joining.__enter__()
        assert list((here.folder / "packs").iterdir()) == []
        held.drop(held.parts())


def test_what_nobody_asked_for_does_not_join(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    bring(world, held, new)
    extra = plain(bytes_of(1, 5000), 1)
    forge = Forge()
    forge.chunk(extra)
    unasked = version([("f", blob_of(extra.id, 5000), 5000)])
    forge.block(unasked.items)
    part = forge.done()
    held.take(part.request, part.body())
    with receive(here, held, held.parts(), [new]):
        move(here, new)
    assert here.store.kind(unasked.commit) is None
    assert here.store.kind(extra.id) is None
    assert leftovers(here) == []


def test_an_error_while_refs_move_keeps_the_parts_and_the_next_try_needs_no_other(
    world: World, here: Repository, held: Quarantine, tmp_path: Path
) -> None:
    new = world.save(FILES).id
    bring(world, held, new)
    parts = held.parts()
    with pytest.raises(KeyboardInterrupt), receive(here, held, parts, [new]):
        raise KeyboardInterrupt
    assert held.parts() == parts
    before = len(list((here.folder / "packs").iterdir()))
    with receive(here, held, parts, [new]):
        move(here, new)
    assert len(list((here.folder / "packs").iterdir())) == before, "all was there already"
    assert files_at(here, "main", tmp_path / "out") == FILES
    assert leftovers(here) == []


def test_nothing_can_be_collected_between_joining_and_the_move_of_refs(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    bring(world, held, new)
    with receive(here, held, held.parts(), [new]):
        with pytest.raises(NegativeAnswer), locks.alone(here.scratch, patience=0):
            pass
        move(here, new)
    with locks.alone(here.scratch, patience=0):
        pass


def test_damage_drops_the_parts_so_that_the_next_try_starts_anew(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    entries = client(world, world.repo).planned([new])
    later = World(world.root.parent / "later")
    second = later.save({"m.safetensors": network({"a": nudged(DATA, 1, 1e-5)}), "n.txt": b"text"})
    largest = max(client(later, later.repo).planned([second.id]), key=lambda entry: entry.size)
    base = max(entries, key=lambda entry: entry.size)
    client(world, later.repo).push(new, "refs/heads/side")
    asked = [
        Asked(entry.id, base.id if entry.id == largest.id else None)
        for entry in client(later, later.repo).planned([second.id])
    ]
    part = part_of(later.repo, asked)
    held.take(part.request, part.body())
    joining = receive(here, held, held.parts(), [second.id])
    with pytest.raises(IntegrityError, match="was not sent"):
        joining.__enter__()
    assert held.parts() == []


def test_a_disk_that_is_full_while_objects_join_leaves_refs_and_parts_as_they_were(
    world: World, here: Repository, held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = world.save(FILES).id
    bring(world, held, new)
    parts = held.parts()
    real = fileio.StagedFile.seal

    def full(self: fileio.StagedFile, *, durable: bool = True) -> Path:
        if here.scratch in self.path.parents:
            raise StorageError("no space left")
        return real(self, durable=durable)

    monkeypatch.setattr(fileio.StagedFile, "seal", full)
    joining = receive(here, held, parts, [new])
    with pytest.raises(StorageError):
        joining.__enter__()
    monkeypatch.undo()
    assert held.parts() == parts
    assert list((here.folder / "packs").iterdir()) == []
    with receive(here, held, parts, [new]):
        move(here, new)
    assert leftovers(here) == []


def test_objects_that_are_stored_and_not_reached_need_not_be_sent_but_must_be_whole(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    bring(world, held, new)
    with receive(here, held, held.parts(), [new]):
        pass
    assert here.refs.all() == {}
    with receive(here, held, [], [new]):
        pass
    tree = here.commit(new).tree
    other = bare(world.root.parent / "other")
    found = quarantine(other, "origin", reserve=0)
    bring_one = part_of(world.repo, [Asked(new, None), Asked(tree, None)])
    found.take(bring_one.request, bring_one.body())
    joining = receive(other, found, found.parts(), [new])
    with pytest.raises(MissingObjectError):
        joining.__enter__()
    found.close()
