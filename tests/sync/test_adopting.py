"""Parts that become packs as they are: those alone that the repository could have written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.ops.fsck import fsck
from mvc.repo.repository import Repository
from mvc.storage import keys
from mvc.sync import adopting
from mvc.sync.joining import receive
from mvc.sync.messages import Asked
from mvc.sync.plan import batches
from mvc.sync.quarantine import Quarantine, quarantine
from tests.e2e.world import World, network, nudged, weights
from tests.sync.exchange import MAIN, Sent, bare, client, files_at, leftovers, part_of
from tests.sync.hostile import Forge, blob_of, bytes_of, inline, plain, version

DATA = weights(1, 1 << 16)
FILES = {"m.safetensors": network({"a": DATA}), "n.txt": b"text"}


@pytest.fixture(autouse=True)
def _of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopting, "LEAST_BYTES", 0)


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


def parts_of(world: World, new: ObjectId, part_bytes: int = 1 << 24) -> list[Sent]:
    entries = client(world, world.repo).planned([new])
    return [
        part_of(world.repo, [Asked(item.id, item.base) for item in batch])
        for batch in batches(entries, part_bytes)
    ]


def join(here: Repository, held: Quarantine, new: ObjectId, *parts: Sent) -> set[str]:
    """Let parts join and a branch move; return the names of packs."""
    for part in parts:
        held.take(part.request, part.body())
    with receive(here, held, held.parts(), [new]):
        old = here.refs.get(MAIN)
        here.refs.update(MAIN, old, new, here.change(old, new, "fetch"))
    assert fsck(here).ok
    return packs(here)


def packs(here: Repository) -> set[str]:
    listed = here.store.storage.list(keys.PACKS)
    return {name for item in listed if (name := keys.pack_of(item.key))}


def forged(*extra: bytes) -> tuple[Forge, ObjectId]:
    """Return an honest part of one version, with bytes that nothing names after its chunk."""
    forge = Forge()
    chunk = plain(bytes_of(1, 5000), 1)
    forge.chunk(chunk)
    for data in extra:
        forge.head += data
    found = version([("f", blob_of(chunk.id, 5000), 5000)])
    forge.block(found.items)
    return forge, found.commit


def test_a_part_of_which_all_joins_is_a_pack_and_no_copy(
    world: World, here: Repository, held: Quarantine, tmp_path: Path
) -> None:
    new = world.save(FILES).id
    (part,) = parts_of(world, new)
    held.take(part.request, part.body())
    inode = (held.folder / keys.pack_head(part.name.hex())).stat().st_ino
    assert join(here, held, new) == {part.name.hex()}
    assert (here.folder / keys.pack_head(part.name.hex())).stat().st_ino == inode
    assert files_at(here, "main", tmp_path / "out") == FILES
    assert leftovers(here) == []


def test_parts_that_need_each_other_join_in_their_order(
    world: World, here: Repository, held: Quarantine, tmp_path: Path
) -> None:
    world.save(FILES)
    for step in range(4):
        changed = network({"a": nudged(DATA, 1 + step, 1e-5)})
        new = world.save({**FILES, "m.safetensors": changed}).id
    parts = parts_of(world, new, 1 << 16)
    assert len(parts) > 3
    assert join(here, held, new, *parts) == {part.name.hex() for part in parts}
    assert files_at(here, "main", tmp_path / "out") == {**FILES, "m.safetensors": changed}


def test_what_is_here_already_is_not_stored_again(
    world: World, here: Repository, held: Quarantine
) -> None:
    first = world.save(FILES).id
    (one,) = parts_of(world, first)
    join(here, held, first, one)
    second = world.save({**FILES, "more.txt": b"more"}).id
    (both,) = parts_of(world, second)
    assert both.name.hex() not in join(here, held, second, both)
    held_twice = [
        name for name in here.store.of_kind("chunk") if len(here.store.index.find(name)) > 1
    ]
    assert held_twice == []


def test_two_parts_with_the_same_objects_join_once(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    entries = client(world, world.repo).planned([new])
    asked = [Asked(entry.id, entry.base) for entry in entries]
    whole = part_of(world.repo, asked)
    half = part_of(world.repo, asked[: len(asked) // 2])
    join(here, held, new, whole, half)
    for entry in entries:
        assert len(here.store.index.find(entry.id)) == 1


def test_a_part_with_something_else_in_it_is_copied_without_it(
    here: Repository, held: Quarantine
) -> None:
    forge, commit = forged()
    unasked = inline(b"nobody asked for this")
    forge.block([unasked])
    part = forge.done()
    assert part.name.hex() not in join(here, held, commit, part)
    assert here.store.kind(unasked.id) is None


def test_bytes_that_nothing_names_do_not_join(here: Repository, held: Quarantine) -> None:
    honest, commit = forged()
    assert join(here, held, commit, honest.done()) == {honest.done().name.hex()}
    other = bare(here.folder.parent / "other")
    found = quarantine(other, "origin", reserve=0)
    smuggled, commit = forged(b"smuggled" * 100)
    part = smuggled.done()
    assert part.name.hex() not in join(other, found, commit, part)
    head = b"".join(path.read_bytes() for path in (other.folder / "packs").iterdir())
    assert b"smuggled" not in head
    found.close()


def test_depths_that_fit_nowhere_else_are_set_anew(
    world: World, here: Repository, held: Quarantine, tmp_path: Path
) -> None:
    world.save(FILES)
    for step in range(3):
        changed = network({"a": nudged(DATA, 1 + step, 1e-5)})
        new = world.save({**FILES, "m.safetensors": changed}).id
    entries = client(world, world.repo).planned([new])
    parts = []
    for item in entries:
        # Alone in a part, a record whose depth is not told lies at one.
        made = adopting_nothing(world, Asked(item.id, item.base))
        parts.append(made)
    names = join(here, held, new, *parts)
    assert names - {part.name.hex() for part in parts}
    assert files_at(here, "main", tmp_path / "out") == {**FILES, "m.safetensors": changed}


def adopting_nothing(world: World, asked: Asked) -> Sent:
    from mvc.sync.outgoing import make_part

    with make_part(world.repo, [asked], world.repo.scratch, depths=False) as part:
        data = b"".join(part.body())
        return Sent(part.name, data[: part.head], data[part.head :])


def test_small_parts_are_copied_together(
    world: World, here: Repository, held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    new = world.save(FILES).id
    parts = parts_of(world, new, 1 << 12)
    assert len(parts) > 1
    assert len(join(here, held, new, *parts)) == 1


def test_a_file_system_without_hard_links_gets_copies(
    world: World, here: Repository, held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = world.save(FILES).id
    (part,) = parts_of(world, new)
    held.take(part.request, part.body())

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    assert len(join(here, held, new)) == 1


def test_other_bytes_under_a_packs_name_are_not_taken_for_it(
    world: World, here: Repository, held: Quarantine
) -> None:
    new = world.save(FILES).id
    (part,) = parts_of(world, new)
    held.take(part.request, part.body())
    wrong = here.folder / keys.pack_tail(part.name.hex())
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_bytes(bytes(len(part.tail)))
    joining = receive(here, held, held.parts(), [new])
    with pytest.raises(IntegrityError, match="already and damaged"):
        joining.__enter__()
    wrong.write_bytes(part.tail)
    held.take(part.request, part.body())
    assert join(here, held, new) == {part.name.hex()}


def test_a_part_that_has_joined_half_is_no_obstacle(
    world: World, here: Repository, held: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = world.save(FILES).id
    (part,) = parts_of(world, new)
    held.take(part.request, part.body())
    with monkeypatch.context() as patch:
        patch.setattr(type(here.store), "joined", _die)
        joining = receive(here, held, held.parts(), [new])
        with pytest.raises(KeyboardInterrupt):
            joining.__enter__()
    assert join(here, held, new) == {part.name.hex()}


def _die(*_: object) -> None:
    raise KeyboardInterrupt
