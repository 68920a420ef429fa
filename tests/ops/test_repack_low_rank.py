"""Repack among versions that are merged low-rank adapters."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from mvc.base.ids import ObjectId
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.gc import GcRequest, gc
from mvc.ops.repack import RepackRequest, repack
from mvc.store.census import Record, census, nearest
from mvc.store.transaction import Transaction
from tests.e2e.world import World, safetensors, sha256s

SIDE, RANK = 256, 4


def models() -> dict[str, bytes]:
    """Return a base and two tasks, each an adapter of rank 4 merged into the base."""
    draw = np.random.default_rng(5)
    base = draw.standard_normal((SIDE, SIDE), np.float32) * np.float32(0.05)
    found = {"base": base}
    for task in ("a", "b"):
        up, down = (
            draw.standard_normal(shape, np.float32) for shape in ((SIDE, RANK), (RANK, SIDE))
        )
        found[task] = base + (up @ down) * np.float32(1e-3)
    return {
        name: safetensors([("w", "F32", [SIDE, SIDE], words.tobytes())])
        for name, words in found.items()
    }


def committed(root: Path, order: tuple[str, ...], codec: str = "default") -> World:
    world = World(root)
    for name in order:
        world.write("m.safetensors", models()[name])
        world.add()
        commit(world.repo, CommitRequest(name, codec=codec))
    return world


def weights_of(world: World) -> dict[ObjectId, Record]:
    """Return the records of float words."""
    records = nearest(census(world.repo.store))
    return {name: record for name, record in records.items() if record.word == 4}


def check(world: World, order: tuple[str, ...], scratch: Path) -> None:
    world.check()
    for back, name in enumerate(reversed(order)):
        found = world.exported(f"HEAD~{back}", scratch / name)
        assert found == {"m.safetensors": models()[name]}


@pytest.mark.parametrize("order", [*permutations(("base", "a", "b"))], ids="-".join)
def test_no_order_of_commits_ends_larger_than_it_was(
    order: tuple[str, ...], tmp_path: Path
) -> None:
    world = committed(tmp_path / "w", order)
    before = repack(world.repo, RepackRequest(dry_run=True)).before.bytes
    for request in (RepackRequest(), RepackRequest(everything=True)):
        done = repack(world.repo, request)
        assert done.after.bytes <= before
        assert done.after.recovery <= 2
        before = done.after.bytes
    assert sum(record.low_rank for record in weights_of(world).values()) == 2
    check(world, order, tmp_path / "out")


def test_a_task_that_was_stored_against_another_one_comes_to_stand_on_the_base(
    tmp_path: Path,
) -> None:
    order = ("base", "a", "b")
    world = committed(tmp_path / "w", order)
    assert sorted(record.depth for record in weights_of(world).values()) == [0, 1, 2]
    done = repack(world.repo)
    assert done.coded == 1
    found = weights_of(world).values()
    assert sorted(record.depth for record in found) == [0, 1, 1]
    assert sum(record.low_rank for record in found) == 2
    assert done.after.bytes < done.before.bytes
    check(world, order, tmp_path / "out")
    assert repack(world.repo).planned == 0


def test_a_factor_that_nothing_stands_on_goes_with_its_pack(tmp_path: Path) -> None:
    world = committed(tmp_path / "w", ("base", "a", "b"))
    repack(world.repo)
    records = nearest(census(world.repo.store))
    needed = {item for record in records.values() for item in record.references}
    factors = {name for name, record in records.items() if record.word == 1}
    assert factors == factors & needed
    assert gc(world.repo, GcRequest(0)).dropped == 0


def test_a_factor_that_became_the_content_of_a_file_meanwhile_stays(tmp_path: Path) -> None:
    world = committed(tmp_path / "w", ("base", "a", "b"))
    records = nearest(census(world.repo.store))
    (deepest,) = (record for record in weights_of(world).values() if record.depth == 2)
    from mvc.store.decode import load_bytes

    factor = records[deepest.references[1]]
    content = bytes(load_bytes(world.repo.store, factor.id, 1, factor.words))
    world.write("odd.bin", content)
    world.add("odd.bin")
    world.commit("a file with the bytes of a factor")
    repack(world.repo)
    assert world.repo.store.kind(factor.id) == "chunk"
    world.check()
    assert world.exported("HEAD", tmp_path / "out")["odd.bin"] == content


def test_all_finds_low_rank_deltas_that_a_fast_commit_did_not_look_for(tmp_path: Path) -> None:
    order = ("base", "a", "b")
    world = committed(tmp_path / "w", order, "fast")
    assert not any(record.low_rank for record in weights_of(world).values())
    plain = repack(world.repo)
    done = repack(world.repo, RepackRequest(everything=True))
    assert sum(record.low_rank for record in weights_of(world).values()) == 2
    assert done.after.bytes < plain.after.bytes
    check(world, order, tmp_path / "out")


def test_a_budget_too_small_for_a_factor_leaves_versions_whole(tmp_path: Path) -> None:
    order = ("base", "a", "b")
    world = committed(tmp_path / "w", order)
    done = repack(world.repo, RepackRequest(budget=1))
    assert done.after.depth == {0: 3}
    assert {record.word for record in nearest(census(world.repo.store)).values()} == {4}
    check(world, order, tmp_path / "out")


def test_a_transaction_that_is_open_keeps_a_freed_factor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.store.locks import alone

    monkeypatch.setattr(alone.__wrapped__, "__defaults__", (0.0,))  # type: ignore[attr-defined]
    world = committed(tmp_path / "w", ("base", "a", "b"))
    expected = sha256s(world.root)
    (deepest,) = (record for record in weights_of(world).values() if record.depth == 2)
    with Transaction(world.repo.store, world.repo.scratch):
        assert repack(world.repo).postponed
        assert world.repo.store.kind(deepest.references[1]) == "chunk"
    assert repack(world.repo).postponed == 0
    world.check()
    assert sha256s(world.root) == expected
