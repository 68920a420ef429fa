from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MissingObjectError, MvcError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.model import Blob, Content
from mvc.ops import branch, tag
from mvc.ops.checkout import switch
from mvc.ops.gc import DAY, GcRequest, gc
from mvc.ops.repack import repack
from mvc.repo.repository import Repository
from mvc.store import unreachable
from mvc.store.locks import alone, pinned
from mvc.store.transaction import Transaction
from tests.e2e.world import ENVIRONMENT, World, network, nudged, sha256s, weights

NOW = GcRequest(grace_days=0)


def with_garbage(root: Path, size: int = 1 << 16) -> tuple[World, ObjectId]:
    """Make a repository with one version in use and one that only a deleted branch reached."""
    world = World(root)
    body = weights(1, size)
    world.save({"m.safetensors": network({"body": body})}, "kept")
    switch(world.repo, "dropped", create=True)
    world.write("m.safetensors", network({"body": nudged(body, 2)}))
    lost = world.commit("dropped").id
    switch(world.repo, "main")
    branch.delete(world.repo, "dropped", force=True)
    (world.repo.folder / "logs" / "HEAD").unlink()
    return world, lost


def at(world: World, days: float) -> None:
    """Reopen the repository so many days after the epoch."""
    world.repo.close()
    environment = replace(ENVIRONMENT, clock=lambda: round(days * DAY))
    world.repo = Repository(world.repo.folder, world.root, environment)


def has(world: World, item: ObjectId) -> bool:
    return world.repo.store.kind(item) is not None


def test_many_small_packs_become_one(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    for number in range(30):
        world.save({"a.bin": b"%d" % number * 3000}, str(number))
    assert len(world.repo.store.index.packs()) == 30
    done = gc(world.repo)
    assert (done.packs_before, done.packs_after, done.dropped) == (30, 1, 0)
    assert done.bytes_after == world.stored() < done.bytes_before
    world.check()
    again = gc(world.repo)
    assert (again.packs_before, again.packs_after) == (1, 1)
    assert world.exported("HEAD~7", tmp_path / "out") == {"a.bin": b"22" * 3000}


def test_what_nothing_reaches_goes_when_its_time_is_over(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    at(world, 1000)
    assert gc(world.repo).waiting > 0
    at(world, 1013)
    assert gc(world.repo).dropped == 0
    assert has(world, lost)
    at(world, 1014)
    done = gc(world.repo)
    assert (done.dropped > 0, done.waiting) == (True, 0)
    assert not has(world, lost)
    world.check()
    assert world.status().clean


def test_the_time_of_grace_is_given_or_configured(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    at(world, 1000)
    gc(world.repo)
    at(world, 1002)
    assert gc(world.repo, GcRequest(grace_days=3)).dropped == 0
    world.repo.config.set("gc.grace_days", 1, "repository", world.repo.scratch)
    at(world, 1002)
    assert gc(world.repo).dropped > 0
    assert not has(world, lost)


@pytest.mark.parametrize("days", [-1, float("nan"), float("inf")])
def test_an_impossible_time_of_grace_is_refused(days: float, tmp_path: Path) -> None:
    world, _ = with_garbage(tmp_path / "w")
    with pytest.raises(UsageError):
        gc(world.repo, GcRequest(days))


def test_what_is_reached_again_gets_its_whole_time_anew(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    at(world, 1000)
    gc(world.repo)
    at(world, 1010)
    branch.create(world.repo, "again", lost.hex())
    gc(world.repo)
    branch.delete(world.repo, "again", force=True)
    at(world, 1016)
    assert gc(world.repo).dropped == 0
    at(world, 1031)
    assert gc(world.repo).dropped > 0


def test_a_clock_that_jumps_drops_nothing_that_is_reached(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    kept = sha256s(world.root)
    for days in (20_000, 0, 5, 1_000_000):
        at(world, days)
        gc(world.repo)
        world.check()
    assert not has(world, lost)
    world.exported("main", tmp_path / "out")
    assert sha256s(tmp_path / "out") == kept


def test_a_time_in_the_future_counts_as_now(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    at(world, 9000)
    gc(world.repo)
    at(world, 1000)
    gc(world.repo)
    at(world, 1013)
    assert gc(world.repo).dropped == 0
    at(world, 1015)
    assert gc(world.repo).dropped > 0
    assert not has(world, lost)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"MVCGONE\x01" + b"\0" * 48])
def test_a_damaged_list_of_garbage_only_costs_time(data: bytes, tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    at(world, 1000)
    gc(world.repo)
    (world.repo.folder / "unreachable").write_bytes(data)
    at(world, 1020)
    assert gc(world.repo).dropped == 0
    assert has(world, lost)


def test_the_list_of_garbage_comes_back_as_it_was(tmp_path: Path) -> None:
    since = {ObjectId(bytes([n]) * 32): n * 1000 for n in range(5)}
    unreachable.save(tmp_path / "list", tmp_path / "staging", since)
    assert unreachable.load(tmp_path / "list") == since
    assert unreachable.load(tmp_path / "none") == {}


@pytest.mark.parametrize("holder", ["branch", "tag", "annotated tag", "HEAD", "reflog"])
def test_what_a_name_or_a_log_reaches_stays(holder: str, tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    if holder == "branch":
        branch.create(world.repo, "held", lost.hex())
    elif holder == "tag":
        tag.create(world.repo, "held", lost.hex())
    elif holder == "annotated tag":
        tag.create(world.repo, "held", lost.hex(), message="kept")
    else:
        from mvc.ops.checkout import checkout

        checkout(world.repo, lost.hex())
        if holder == "reflog":
            switch(world.repo, "main")
    done = gc(world.repo, NOW)
    assert done.dropped == done.waiting == 0
    world.check()
    assert world.repo.commit(lost).message == "dropped"


def test_what_the_working_copy_knows_stays(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"a.bin": b"one" * 1000}, "one")
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        known = tx.put(Blob(bytes(32), Content(3, 1, b"abc", ())))
        tx.commit()
    from mvc.repo.state import Known
    from mvc.repo.worktree import locked_worktree

    with locked_worktree(world.repo) as tree:
        held = tree.state.files["a.bin"]
        assert isinstance(held, Known)
        tree.state.files["a.bin"] = replace(held, id=known)
        tree.state.save()
    gc(world.repo, NOW)
    assert has(world, known)


def test_a_base_of_something_in_use_stays_until_a_repack(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    body = weights(1, 1 << 16)
    world.save({"m.safetensors": network({"body": body})}, "base")
    world.write("m.safetensors", network({"body": nudged(body, 2, 1e-6)}))
    commit = world.repo.commit(world.commit("end").id)
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        alone_ = tx.put(replace(commit, parents=()))
        tx.commit()
        (world.repo.folder / "refs/heads/main").write_text(f"{alone_.hex()}\n")
    for log in (world.repo.folder / "logs").rglob("*"):
        if log.is_file():
            log.unlink()
    assert gc(world.repo, NOW).needed == 1
    world.check()
    repack(world.repo)
    assert gc(world.repo, NOW).needed == 0
    assert sum(world.repo.store.index.counts().values()) == 7
    world.check()


def test_a_transaction_keeps_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone.__wrapped__, "__defaults__", (0.0,))  # type: ignore[attr-defined]
    world, lost = with_garbage(tmp_path / "w")
    other = Repository(world.repo.folder, world.root, ENVIRONMENT)
    with Transaction(other.store, other.scratch) as tx:
        again = tx.put(other.commit(lost))
        assert again == lost
        tx.commit()
        done = gc(world.repo, NOW)
        assert done.postponed == 2
        change = other.change(None, lost, "made")
        other.refs.update("refs/heads/taken", None, lost, change)
    world.check()
    done = gc(world.repo, NOW)
    assert done.dropped == 0
    world.check()
    assert has(world, lost)
    other.close()


def test_what_is_taken_up_while_gc_copies_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look at refs and the deletion, a branch comes to reach garbage."""
    world, lost = with_garbage(tmp_path / "w")
    from mvc.store.merge import Merger

    real = Merger.copy

    def copy(self: Merger, *args: object) -> None:
        if world.repo.refs.get("refs/heads/taken") is None:
            branch.create(world.repo, "taken", lost.hex())
        real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Merger, "copy", copy)
    gc(world.repo, NOW)
    monkeypatch.undo()
    world.check()
    assert world.exported("taken", tmp_path / "out")
    assert gc(world.repo, NOW).dropped == 0
    world.check()


def test_a_commit_onto_the_only_low_copy_of_a_base_keeps_its_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a repack makes a base deeper, a commit stands on it as it was."""
    world = World(tmp_path / "w")
    body = weights(1, 1 << 16)
    world.save({"m.safetensors": network({"body": body})}, "0")
    for number in range(1, 12):
        body = nudged(body, number, 1e-6)
        world.write("m.safetensors", network({"body": body}))
        world.commit(str(number))
    from mvc.ops import repack as op

    run = op._Run._sweep
    other = Repository(world.repo.folder, world.root, ENVIRONMENT)

    def commit_first(self: op._Run, *args: object) -> int:
        from mvc.ops.commit import CommitRequest, commit

        world.write("m.safetensors", network({"body": nudged(body, 77, 1e-6)}))
        commit(other, CommitRequest("beside"))
        return run(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(op._Run, "_sweep", commit_first)
    repack(world.repo)
    monkeypatch.undo()
    world.check()
    repack(world.repo)
    gc(world.repo, NOW)
    world.check()
    other.close()


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    packs = world.packs()
    foretold = gc(world.repo, GcRequest(0, dry_run=True))
    assert world.packs() == packs
    assert not (world.repo.folder / "unreachable").exists()
    assert has(world, lost)
    done = gc(world.repo, NOW)
    assert (foretold.dropped, foretold.packs_after) == (done.dropped, done.packs_after)
    assert foretold.bytes_after == pytest.approx(done.bytes_after, rel=0.1)


def test_an_orphan_tail_and_dead_workspaces_go(tmp_path: Path) -> None:
    world, _ = with_garbage(tmp_path / "w")
    orphan = world.repo.folder / "packs" / f"pack-{'ab' * 32}.tail"
    orphan.write_bytes(b"left by a dead command")
    dead = world.repo.scratch / "tx-0123456789abcdef"
    dead.mkdir()
    (dead / "owner").touch()
    (dead / "staged-1").write_bytes(b"x")
    assert gc(world.repo).orphans == 1
    assert not orphan.exists()
    assert world.leftovers() == []


def test_an_orphan_tail_of_a_commit_under_way_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone.__wrapped__, "__defaults__", (0.0,))  # type: ignore[attr-defined]
    world, _ = with_garbage(tmp_path / "w")
    orphan = world.repo.folder / "packs" / f"pack-{'ab' * 32}.tail"
    orphan.write_bytes(b"its head comes soon")
    with pinned(world.repo.scratch):
        gc(world.repo)
    assert orphan.exists()


def test_a_missing_object_stops_it_before_anything_is_dropped(tmp_path: Path) -> None:
    world, lost = with_garbage(tmp_path / "w")
    commit = world.repo.commit(lost)
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        broken = tx.put(replace(commit, tree=ObjectId(bytes(32))))
        tx.commit()
    (world.repo.folder / "refs/heads/broken").write_text(f"{broken.hex()}\n")
    packs = world.packs()
    with pytest.raises(MissingObjectError):
        gc(world.repo, NOW)
    assert world.packs() == packs


def test_a_damaged_ref_stops_it(tmp_path: Path) -> None:
    world, _ = with_garbage(tmp_path / "w")
    (world.repo.folder / "refs/heads/odd").write_text("what?\n")
    packs = world.packs()
    with pytest.raises(IntegrityError):
        gc(world.repo, NOW)
    assert world.packs() == packs


def test_what_a_repack_settled_stays_settled(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    body = weights(1, 1 << 16)
    for number in range(12):
        world.save({"m.safetensors": network({"body": body})}, str(number))
        body = nudged(body, number, 1e-6)
    repack(world.repo)
    gc(world.repo, NOW)
    assert len(world.repo.store.index.packs()) == 1
    assert repack(world.repo).planned == 0
    world.write("m.safetensors", network({"body": body}))
    world.commit("more")
    gc(world.repo, NOW)
    assert repack(world.repo).planned == 1
    world.check()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    from tests.e2e.faults import FaultyOs

    world, _ = with_garbage(tmp_path / "w")
    kept = sha256s(world.root)
    writes = 0

    def hook(name: str, args: tuple[object, ...]) -> None:
        nonlocal writes
        writes += name == "write"
        if name == "write" and writes > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fileio, "os", FaultyOs(hook))
    with pytest.raises(MvcError):
        gc(world.repo, NOW)
    monkeypatch.undo()
    world.check()
    assert world.leftovers() == []
    gc(world.repo, NOW)
    world.check()
    assert sha256s(world.root) == kept


def test_a_bare_repository_is_collected_as_well(tmp_path: Path) -> None:
    world, _ = with_garbage(tmp_path / "w")
    bare = tmp_path / "bare"
    fileio.make_dirs(bare)
    for name in ("packs", "refs", "HEAD", "format"):
        (world.repo.folder / name).rename(bare / name)
    with Repository(bare, None, ENVIRONMENT) as repo:
        assert gc(repo, NOW).dropped > 0
        assert repack(repo).planned == 1
