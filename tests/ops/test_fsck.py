"""Damage is found, named, and told which versions it hurts; what is whole stays readable."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mvc.base.errors import MvcError
from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.store.rewrite import Rewriter
from tests.e2e.world import World, contents, network, nudged, safetensors, weights

SIZE = 1 << 16


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three versions: of `m` each a difference to the one before, `other` only in the last."""
    world = World(tmp_path / "w")
    body = weights(1, SIZE)
    for number in range(2):
        world.save({"m": network({"w": nudged(body, number, 1e-6)})}, f"version {number}")
    world.save({"other": b"other " * 1000}, "version 2")
    return world


def newest(world: World, suffix: str) -> list[Path]:
    found = (world.repo.folder / "packs").glob(f"*.{suffix}")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_sound_repository_is_ok_and_counted(world: World) -> None:
    report = fsck(world.repo)
    assert report.ok
    assert report.packs == 3
    assert report.objects > 10


def test_a_damaged_base_hurts_the_versions_that_need_it_and_no_other(world: World) -> None:
    flip(newest(world, "tail")[0], 100)
    world.reopen()
    report = fsck(world.repo)
    assert not report.ok
    hurt = {version for problem in report.problems for version in problem.affects}
    assert len(hurt) >= 2
    assert all("\n" not in problem.what for problem in report.problems)
    export(world.repo, "HEAD:other", world.root.parent / "out")
    assert contents(world.root.parent / "out") == {"other": b"other " * 1000}


@pytest.mark.parametrize("suffix", ["head", "tail"])
def test_a_missing_pack_is_found(world: World, suffix: str) -> None:
    newest(world, suffix)[0].unlink()
    world.reopen()
    assert not fsck(world.repo).ok


def test_a_branch_that_points_nowhere_is_named(world: World) -> None:
    (world.repo.folder / "refs/heads/lost").write_text("ab" * 32 + "\n")
    report = fsck(world.repo)
    assert not report.ok
    assert any("lost" in problem.object for problem in report.problems)


def test_a_lost_index_is_no_fault(world: World) -> None:
    world.repo.close()
    (world.repo.folder / "index.sqlite").unlink()
    world.reopen()
    assert fsck(world.repo).ok


def test_a_leftover_of_a_killed_writer_is_no_fault(world: World) -> None:
    (world.repo.folder / "tmp/tx-0123456789abcdef").mkdir(parents=True)
    (world.repo.folder / "tmp/tx-0123456789abcdef/staged-1").write_bytes(b"x")
    (world.repo.folder / "packs" / ("pack-" + "ab" * 32 + ".tail")).write_bytes(b"x")
    assert fsck(world.repo).ok


def _small(root: Path) -> World:
    world = World(root)
    first = safetensors([("w", "F32", [600], weights(1, 2400))])
    world.save({"m": first, "t": b"text"})
    world.save({"m": first[:-2400] + nudged(first[-2400:], 1)})
    return world


@pytest.mark.parametrize("part", range(4))
def test_no_flipped_byte_of_a_pack_gives_wrong_bytes(part: int, tmp_path: Path) -> None:
    world = _small(tmp_path / "w")
    versions = {
        f"HEAD~{number}": world.exported(f"HEAD~{number}", tmp_path / f"v{number}")
        for number in range(2)
    }
    world.repo.close()
    packs = sorted((world.repo.folder / "packs").iterdir())
    places = [(path, at) for path in packs for at in range(path.stat().st_size)]
    for number, (path, at) in enumerate(places[part * 13 :: 53]):
        whole = path.read_bytes()
        flip(path, at)
        if number % 2:
            (world.repo.folder / "index.sqlite").unlink(missing_ok=True)
        world.reopen()
        good = 0
        for revision, files in versions.items():
            try:
                assert world.exported(revision, tmp_path / "out") == files, (path.name, at)
                good += 1
            except MvcError as error:
                assert "\n" not in error.message  # noqa: PT017
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        if good < len(versions):
            assert not fsck(world.repo).ok, (path.name, at)
        world.repo.close()
        path.write_bytes(whole)
        world.reopen()
        fsck(world.repo)
    world.check()


def test_no_cut_of_a_pack_gives_wrong_bytes(tmp_path: Path) -> None:
    world = _small(tmp_path / "w")
    files = world.exported("HEAD", tmp_path / "v")
    for path in sorted((world.repo.folder / "packs").iterdir()):
        whole = path.read_bytes()
        for length in {0, 1, 8, len(whole) // 2, len(whole) - 40, len(whole) - 1}:
            path.write_bytes(whole[:length])
            world.reopen()
            assert not fsck(world.repo).ok, (path.name, length)
            try:
                assert world.exported("HEAD", tmp_path / "out") == files
            except MvcError as error:
                assert "\n" not in error.message  # noqa: PT017
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        path.write_bytes(whole)
    world.reopen()
    world.check()


def test_a_fault_names_the_file_and_the_tensor(world: World) -> None:
    flip(newest(world, "tail")[0], 100)
    world.reopen()
    report = fsck(world.repo)
    places = {problem.object for problem in report.problems if problem.affects}
    assert places == {"m:w"}


def test_a_version_that_is_missing_is_named_by_its_ref(world: World) -> None:
    newest(world, "head")[-1].unlink()
    world.reopen()
    report = fsck(world.repo)
    assert "refs/heads/main" in {problem.object for problem in report.problems}


def test_a_damaged_copy_is_named_though_every_version_is_whole(world: World) -> None:
    store = world.repo.store
    before = newest(world, "tail")
    name = next(
        entry.id
        for item in store.of_kind("chunk")
        for reader, entry in store.records(item)
        if reader.name in before[0].name and len(entry.sections) > 1
    )
    ((reader, entry),) = store.records(name)
    with Rewriter(store, world.repo.folder / "tmp") as writer:
        writer.copy(reader, entry, entry.depth)
        writer.publish()
    assert fsck(world.repo).ok
    flip(before[0], entry.sections[1].at + 10)
    world.reopen()
    assert fsck(world.repo, quick=True).ok
    (problem,) = fsck(world.repo).problems
    assert problem.object == f"a copy of chunk {name.hex()} in pack {reader.name}"
    assert problem.what.endswith("another pack has it whole")
    assert problem.affects == ()
    expected = {"m": network({"w": nudged(weights(1, SIZE), 0, 1e-6)})}
    assert world.exported("HEAD~2", world.root.parent / "out") == expected
