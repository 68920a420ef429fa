from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MvcError, NegativeAnswer, UsageError
from mvc.ops import branch
from mvc.ops.checkout import switch
from mvc.ops.gc import GcRequest, gc
from mvc.ops.repack import RepackRequest, repack
from mvc.repo.lineages import lineages
from mvc.store import planner
from mvc.store import repack as carrying_out
from mvc.store.census import census, nearest
from mvc.store.locks import alone, maintenance, pinned
from mvc.store.rewrite import Rewriter
from mvc.store.transaction import Transaction
from tests.e2e.world import World, network, nudged, sha256s, weights

SIZE = 1 << 18


def trained(root: Path, count: int, size: int = SIZE) -> tuple[World, dict[str, dict[str, str]]]:
    """Make a chain of versions of one model; return the files of each by its revision."""
    world, found = World(root), {}
    body = weights(1, size)
    for number in range(count):
        world.write("m.safetensors", network({"body": body, "head": body[: size // 4]}))
        world.write("same.txt", b"never changes" * 20)
        world.add()
        world.commit(str(number))
        found[f"HEAD~{count - 1 - number}"] = sha256s(root)
        body = nudged(body, number, 1e-6)
    return world, found


def check(world: World, expected: dict[str, dict[str, str]], scratch: Path) -> None:
    world.check()
    for revision, files in expected.items():
        world.exported(revision, scratch)
        assert sha256s(scratch) == files
        shutil.rmtree(scratch)


def test_every_version_is_within_the_budget_and_comes_back(tmp_path: Path) -> None:
    world, expected = trained(tmp_path / "w", 20)
    done = repack(world.repo)
    assert done.before.recovery > 2
    assert done.after.recovery <= 2
    assert done.coded
    assert done.postponed == 0
    assert max(done.after.depth) <= 8
    assert done.after.bytes == world.stored()
    check(world, expected, tmp_path / "out")


def test_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 12)
    repack(world.repo)
    packs = world.packs()
    done = repack(world.repo)
    assert (done.planned, done.coded) == (0, 0)
    assert done.before == done.after
    assert world.packs() == packs


def test_new_versions_are_planned_onto_what_is_settled(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 12)
    repack(world.repo)
    before = world.packs()
    body = weights(1, SIZE)
    for number in range(30, 34):
        body = nudged(body, number, 1e-6)
        world.write("m.safetensors", network({"body": body, "head": body[: SIZE // 4]}))
        world.commit(str(number))
    done = repack(world.repo)
    assert done.planned == 8
    assert done.after.recovery <= 2
    assert before.items() <= world.packs().items()
    world.check()


def test_other_limits_plan_everything_again(tmp_path: Path) -> None:
    world, expected = trained(tmp_path / "w", 12)
    repack(world.repo)
    flat = repack(world.repo, RepackRequest(max_depth=1))
    assert max(flat.after.depth) == 1
    whole = repack(world.repo, RepackRequest(budget=1))
    assert whole.after.depth == {0: 24}
    assert whole.after.recovery == pytest.approx(1, abs=0.05)
    assert whole.after.bytes > flat.after.bytes
    check(world, expected, tmp_path / "out")
    loose = repack(world.repo, RepackRequest(budget=8, max_depth=16))
    assert loose.after.bytes < whole.after.bytes
    check(world, expected, tmp_path / "out")


def test_limits_are_configured(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 6)
    world.repo.config.set("repack.budget", 1, "repository", world.repo.scratch)
    world.reopen()
    assert repack(world.repo).after.depth == {0: 12}


@pytest.mark.parametrize("request_", [RepackRequest(0.5), RepackRequest(max_depth=99)])
def test_impossible_limits_are_refused(request_: RepackRequest, tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 1)
    with pytest.raises(UsageError):
        repack(world.repo, request_)


def test_a_dry_run_writes_nothing_and_foretells_the_rest(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 20)
    packs = world.packs()
    foretold = repack(world.repo, RepackRequest(dry_run=True))
    assert world.packs() == packs
    assert not (world.repo.folder / "repacked").exists()
    done = repack(world.repo)
    assert foretold.before == done.before
    assert foretold.coded == pytest.approx(done.coded, abs=2)
    assert foretold.after.bytes == pytest.approx(done.after.bytes, rel=0.1)
    assert foretold.after.depth.keys() == done.after.depth.keys()


def test_devices_that_were_committed_one_after_another_end_on_their_release(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "w")
    release = weights(1, SIZE)
    world.save({"m.safetensors": network({"body": release})}, "release")
    for device in range(40):
        world.write("m.safetensors", network({"body": nudged(release, device, 1e-6)}))
        world.commit(str(device))
    done = repack(world.repo)
    assert done.after.depth == {0: 1, 1: 40}
    assert done.after.bytes < done.before.bytes
    world.check()


def test_devices_on_branches_of_their_release_are_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    release = weights(1, SIZE)
    world.save({"m.safetensors": network({"body": release})}, "release")
    for device in range(5):
        switch(world.repo, f"device-{device}", create=True, start="main")
        world.write("m.safetensors", network({"body": nudged(release, device, 1e-6)}))
        world.commit(str(device))
    packs = world.packs()
    done = repack(world.repo)
    assert done.coded == 0
    assert world.packs() == packs


def test_devices_without_a_common_history_end_on_the_first_of_them(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    release = weights(1, SIZE)
    world.save({"m.safetensors": network({"body": release})}, "release")
    main = world.repo.refs.get("refs/heads/main")
    assert main is not None
    for device in range(4):
        world.write("m.safetensors", network({"body": nudged(release, device, 1e-6)}))
        done = world.commit(str(device))
        commit = replace(world.repo.commit(done.id), parents=())
        with Transaction(world.repo.store, world.repo.scratch) as tx:
            name = tx.put(commit)
            tx.commit()
            ref = f"refs/heads/device-{device}"
            world.repo.refs.update(ref, None, name, world.repo.change(None, name, "made"))
    roots = list(world.repo.refs.all().values())[:4]
    lines = lineages(world.repo, [*roots, main])
    assert len(lines.groups()) == 1


def test_what_stands_on_garbage_is_freed_of_it(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    body = weights(1, SIZE)
    world.save({"m.safetensors": network({"body": body})}, "base")
    switch(world.repo, "middle", create=True)
    world.write("m.safetensors", network({"body": nudged(body, 2, 1e-6)}))
    world.commit("middle")
    world.write("m.safetensors", network({"body": nudged(body, 3, 1e-6)}))
    middle = world.commit("end")
    commit = world.repo.commit(middle.id)
    main = world.repo.refs.get("refs/heads/main")
    assert main is not None
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        end = tx.put(replace(commit, parents=(main,)))
        tx.commit()
        world.repo.refs.update("refs/heads/end", None, end, world.repo.change(None, end, "made"))
    switch(world.repo, "main")
    branch.delete(world.repo, "middle", force=True)
    (world.repo.folder / "logs" / "HEAD").unlink()
    assert gc(world.repo, GcRequest(0)).needed == 1
    repack(world.repo)
    assert gc(world.repo, GcRequest(0)).needed == 0
    chunks = {record.id for record in nearest(census(world.repo.store)).values()}
    assert len(chunks) == 2
    world.check()


def test_a_run_that_stops_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, expected = trained(tmp_path / "w", 20)
    real = carrying_out.code
    calls = 0

    def code(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 25:
            raise KeyboardInterrupt
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(carrying_out, "code", code)
    monkeypatch.setattr(Rewriter.__init__, "__defaults__", (lambda _: None, 100_000, None))
    before = len(world.packs())
    with pytest.raises(KeyboardInterrupt):
        repack(world.repo)
    assert len(world.packs()) > before
    world.reopen()
    check(world, expected, tmp_path / "out")
    calls = -1000
    done = repack(world.repo)
    assert 0 < done.coded < 25
    assert done.after.recovery <= 2
    check(world, expected, tmp_path / "out")
    assert repack(world.repo).planned == 0


def test_old_packs_wait_for_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone.__wrapped__, "__defaults__", (0.0,))  # type: ignore[attr-defined]
    world, expected = trained(tmp_path / "w", 12)
    old = world.packs()
    with pinned(world.repo.scratch):
        done = repack(world.repo)
    assert done.postponed
    assert old.items() <= world.packs().items()
    check(world, expected, tmp_path / "out")
    done = repack(world.repo)
    assert (done.planned, done.coded, done.postponed) == (0, 0, 0)
    assert not old.keys() <= world.packs().keys()
    check(world, expected, tmp_path / "out")


def test_two_cannot_run_at_once(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 2)
    with maintenance(world.repo.scratch):
        for verb in (repack, gc):
            with pytest.raises(NegativeAnswer):
                verb(world.repo)


def test_a_damaged_pack_stops_it_before_anything_is_replaced(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 4)
    heads = [name for name in world.packs() if name.endswith(".head")]
    path = world.repo.folder / "packs" / heads[0]
    data = bytearray(path.read_bytes())
    data[-60] ^= 1
    path.write_bytes(bytes(data))
    (world.repo.folder / "index.sqlite").unlink()
    world.reopen()
    packs = world.packs()
    for verb in (repack, gc):
        with pytest.raises(IntegrityError):
            verb(world.repo)
    assert world.packs() == packs


def test_a_chunk_that_cannot_be_read_stops_it_and_nothing_is_lost(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 6)
    tails = [name for name in world.packs() if name.endswith(".tail")]
    path = world.repo.folder / "packs" / tails[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    world.reopen()
    packs = world.packs()
    with pytest.raises(MvcError):
        repack(world.repo, RepackRequest(budget=1))
    assert packs.items() <= world.packs().items()


def test_an_empty_repository_is_packed_as_well_as_can_be(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    done = repack(world.repo)
    assert (done.planned, done.after.bytes, done.after.depth) == (0, 0, {})
    assert gc(world.repo).packs_after == 0


def test_state_that_is_damaged_counts_as_none(tmp_path: Path) -> None:
    world, _ = trained(tmp_path / "w", 12)
    repack(world.repo)
    for data in (b"", b"nonsense", b"\x93\x01\x92\xcb" + b"\0" * 9 + b"\x90"):
        fileio.write_file(world.repo.folder / "repacked", data, world.repo.scratch / "x")
        done = repack(world.repo)
        assert done.planned == 24
        assert done.coded == 0
    world.check()


def test_words_of_every_width_are_planned(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    draw = np.random.default_rng(1)
    base = {
        "f64": draw.standard_normal(3000),
        "f16": draw.standard_normal(3000).astype(np.float16),
        "i64": draw.integers(0, 1 << 40, 3000),
        "u8": draw.integers(0, 256, 3000).astype(np.uint8),
    }
    for step in range(12):
        for name, data in base.items():
            moved = data + (data.dtype.type(step) if name != "f64" else step * 1e-9)
            np.save(world.root / f"{name}.npy", moved.astype(data.dtype))
        world.add()
        world.commit(str(step))
    expected = sha256s(world.root)
    done = repack(world.repo)
    assert done.after.recovery <= 2.05
    world.check()
    world.exported("HEAD", tmp_path / "out")
    assert sha256s(tmp_path / "out") == expected


def test_what_stays_and_moves_down_can_be_a_base_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 4 keeps its record; its only old copy is deeper than the new record of 6."""
    world, expected = trained(tmp_path / "w", 8)
    assert repack(world.repo, RepackRequest(dry_run=True)).before.depth == dict.fromkeys(
        range(8), 2
    )
    bases = [None, 0, 1, 0, 3, 4, 4, 6]
    monkeypatch.setattr(planner, "plan", lambda nodes, *_: bases[: len(nodes)])
    done = repack(world.repo, RepackRequest(budget=100))
    assert done.after.depth == {0: 2, 1: 4, 2: 4, 3: 4, 4: 2}
    assert done.coded == 4
    check(world, expected, tmp_path / "out")
