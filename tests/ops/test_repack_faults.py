"""Repack and gc where a disk is full, a folder closed, tails are away or bytes damaged."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, NotAllowedError, StorageError, TailAwayError
from mvc.ops.checkout import switch
from mvc.ops.gc import GcRequest, gc
from mvc.ops.offload import offload
from mvc.ops.repack import RepackRequest, repack
from mvc.store.census import census
from tests.e2e.faults import FaultyOs
from tests.e2e.maintenance import Versions, versions
from tests.e2e.world import World, network, nudged, weights

SIZE = 1 << 15
STEP = 7
VERBS: dict[str, Callable[[World], Any]] = {
    "repack": lambda world: repack(world.repo, RepackRequest(budget=1.7)),
    "gc": lambda world: gc(world.repo, GcRequest(0)),
}


def chain(root: Path, count: int = 8) -> tuple[World, Versions]:
    """Make a chain of versions, and return the sha256 of each file of each."""
    world, body = World(root), weights(1, SIZE)
    for number in range(count):
        world.save({"m.safetensors": network({"body": body})}, str(number))
        body = nudged(body, number, 1e-6)
    return world, versions(world, root.parent / "exported")


def failing(k: int, code: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the k-th and all later writes of this process fail; return the calls so far."""
    calls: list[str] = []

    def hook(name: str, args: tuple[Any, ...]) -> None:
        calls.append(name)
        # What is freed stays possible on a full disk.
        if len(calls) >= k and name not in ("unlink", "rmdir"):
            raise OSError(code, os.strerror(code), "made to fail")

    monkeypatch.setattr(fileio, "os", FaultyOs(hook))
    return calls


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_is_full_from_some_call_on_loses_nothing(
    verb: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, expected = chain(tmp_path / "scene")
    world.repo.close()
    failed = k = 0
    while True:
        k += STEP
        root = tmp_path / "trial"
        shutil.copytree(tmp_path / "scene", root)
        world = World(root)
        calls = failing(k, code, monkeypatch)
        try:
            VERBS[verb](world)
        except (StorageError, NotAllowedError):
            failed += 1
        finally:
            monkeypatch.undo()
            world.repo.close()
        world = World(root)
        world.check()
        assert versions(world, tmp_path / "out") == expected
        if len(calls) < k:
            break
        VERBS[verb](world)
        world.check()
        assert versions(world, tmp_path / "out") == expected
        assert world.leftovers() == []
        world.repo.close()
        shutil.rmtree(root)
    assert failed


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_may_not_be_written_is_an_error_that_names_it(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = chain(tmp_path / "w")
    packs = world.packs()
    failing(1, errno.EACCES, monkeypatch)
    with pytest.raises(NotAllowedError) as caught:
        VERBS[verb](world)
    monkeypatch.undo()
    assert ".mvc" in caught.value.message
    assert world.packs() == packs


@pytest.fixture
def away(tmp_path: Path) -> tuple[World, Versions]:
    """A repository whose tails are in another one."""
    world, expected = chain(tmp_path / "w")
    shutil.copytree(tmp_path / "w", tmp_path / "twin")
    offload(world.repo, tmp_path / "twin")
    assert not any(name.endswith(".tail") for name in world.packs())
    return world, expected


def test_packs_whose_tails_are_away_are_left_alone(away: tuple[World, Versions]) -> None:
    world, _ = away
    packs = world.packs()
    for request in (RepackRequest(), RepackRequest(everything=True), RepackRequest(budget=1)):
        done = repack(world.repo, request)
        assert (done.coded, done.postponed) == (0, 0)
    gc(world.repo, GcRequest(0))
    assert world.packs() == packs


def test_new_versions_on_tails_that_are_away_are_packed(
    away: tuple[World, Versions], tmp_path: Path
) -> None:
    world, expected = away
    body = weights(1, SIZE)
    for number in range(3):
        body = nudged(body, 50 + number, 1e-6)
        world.save({"m.safetensors": network({"body": body})}, f"later {number}")
    before = versions(world, tmp_path / "out")
    for request in (RepackRequest(), RepackRequest(everything=True)):
        repack(world.repo, request)
        gc(world.repo, GcRequest(0))
        world.check()
        assert versions(world, tmp_path / "out") == before
    assert expected.items() <= before.items()


def test_without_the_other_side_repack_says_what_it_needs(
    away: tuple[World, Versions], tmp_path: Path
) -> None:
    world, _ = away
    world.save({"m.safetensors": network({"body": nudged(weights(1, SIZE), 9, 1e-6)})}, "later")
    (tmp_path / "twin").rename(tmp_path / "gone")
    packs = world.packs()
    world.reopen()
    with pytest.raises(TailAwayError) as caught:
        repack(world.repo, RepackRequest(budget=1))
    assert "twin" in caught.value.message
    assert "reachable" in (caught.value.hint or "")
    assert packs.items() <= world.packs().items()


def test_a_working_copy_at_reduced_precision_stays_as_it_is(tmp_path: Path) -> None:
    world, expected = chain(tmp_path / "w")
    switch(world.repo, "reduced", create=True, precision=16)
    held = world.read("m.safetensors")
    repack(world.repo, RepackRequest(budget=1.7))
    gc(world.repo, GcRequest(0, 0))
    assert world.read("m.safetensors") == held
    assert world.status().clean
    switch(world.repo, "main")
    assert versions(world, tmp_path / "out") == expected


@pytest.mark.parametrize("number", range(3))
def test_a_damaged_chunk_is_named_and_nothing_goes(number: int, tmp_path: Path) -> None:
    world, _ = chain(tmp_path / "w")
    path = sorted((world.repo.folder / "packs").glob("*.tail"))[number]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    world.reopen()
    packs = world.packs()
    with pytest.raises(IntegrityError) as caught:
        repack(world.repo, RepackRequest(budget=1))
    assert "damaged" in caught.value.message
    assert "no pack was removed" in caught.value.message
    assert "fsck" in (caught.value.hint or "")
    assert packs.items() <= world.packs().items()


def test_gc_stops_at_a_damaged_chunk_and_everything_stays(tmp_path: Path) -> None:
    world, _ = chain(tmp_path / "w")
    path = min((world.repo.folder / "packs").glob("*.tail"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(bytes(data))
    world.reopen()
    held = {item for pack in census(world.repo.store).values() for item in pack.ids()}
    with pytest.raises(IntegrityError, match="no pack was removed"):
        gc(world.repo, GcRequest(0))
    assert {item for pack in census(world.repo.store).values() for item in pack.ids()} == held
