from __future__ import annotations

import signal
from pathlib import Path

import pytest

from benchmarks import repack, repack_fleet
from benchmarks.measure import CommandFailed, Cost
from benchmarks.repack_store import Repository, Shape, digest
from tests.e2e.world import network, nudged, weights


def chain(folder: Path, count: int) -> list[Path]:
    """Write versions of a model; return their files."""
    folder.mkdir()
    body = weights(1, 1 << 14)
    for number in range(count):
        (folder / f"{number:04d}.safetensors").write_bytes(network({"body": body}))
        body = nudged(body, number, 1e-6)
    return sorted(folder.iterdir())


def test_a_chain_is_committed_packed_and_compared(tmp_path: Path) -> None:
    size, time = repack.chain("toy", chain(tmp_path / "m", 4), tmp_path / "work")
    assert len(size) == len(repack.SIZE_HEAD)
    assert len(time) == len(repack.TIME_HEAD)
    assert size[:2] == ["toy", "4"]
    assert not any((tmp_path / "work").iterdir())


def test_a_version_that_comes_back_otherwise_is_an_error(tmp_path: Path) -> None:
    one, two = chain(tmp_path / "m", 2)
    repository = Repository(tmp_path / "work")
    repository.record(one)
    with pytest.raises(CommandFailed, match="came back as another file"):
        repack._exported(repository, 0, [two], tmp_path / "back")


def test_a_fleet_is_packed_stopped_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repack_fleet, "KILLED", ((0.5, signal.SIGKILL),))
    folder = tmp_path / "fleet"
    folder.mkdir()
    release = weights(1, 1 << 14)
    (folder / "release.pth").write_bytes(network({"body": release}))
    for device in range(3):
        (folder / f"{device:04d}-0.pth").write_bytes(
            network({"body": nudged(release, device, 1e-6)})
        )
    rows = repack_fleet.rows(sorted(folder.iterdir()), 2, tmp_path / "work")
    assert [row[:3] for row in rows] == [
        ["a branch each", "2", "3"],
        ["one after another", "2", "3"],
        ["one after another, stopped 1 times", "2", "3"],
    ]
    assert all(len(row) == len(repack_fleet.HEAD) for row in rows)


def test_a_device_that_comes_back_otherwise_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "release.pth").write_bytes(network({"body": weights(1, 1 << 14)}))
    repository = Repository(tmp_path / "work")
    repack_fleet.commit(repository.folder, folder, "branches", 0)
    repack_fleet.check(repository.folder, folder)
    (folder / "release.pth").write_bytes(b"something else")
    with pytest.raises(CommandFailed):
        repack_fleet.check(repository.folder, folder)


def test_a_repository_is_described_as_it_is(tmp_path: Path) -> None:
    files = chain(tmp_path / "m", 3)
    repository = Repository(tmp_path / "work")
    for file in files:
        repository.record(file)
    shape = repository.shape()
    assert shape.depth == {0: 1, 1: 1, 2: 1}
    assert shape.deepest == 2
    assert digest(repository.folder / "model.safetensors") == digest(files[-1])
    twin = repository.copy(tmp_path / "twin")
    assert twin.shape() == shape


def test_times_are_compared_with_those_of_a_version_alone() -> None:
    whole = [Cost(1.0, 0.5, 1)] * 3
    backs = [Cost(1.5, 1.0, 1)] * 20
    assert repack._compared(whole, backs) == [
        "1.00 s", "1.50 s (1.50x)", "1.50 s (1.50x)", "0.50 s", "1.00 s (2.00x)", "1.00 s (2.00x)",
    ]  # fmt: skip


def test_a_shape_without_chunks_has_no_depth() -> None:
    assert Shape(0, 0.0, {}, 0).deepest == 0
