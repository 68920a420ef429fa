"""Offloading and bringing back, killed at any moment or beside readers, lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mvc.ops.offload import bring_back, offload
from tests.e2e.maintenance import versions
from tests.e2e.world import World, network, nudged, weights


def build(root: Path, other: Path, *, back: bool, alike: bool = False) -> None:
    """Make two repositories with the same models: in other packs unless `alike`."""
    body = weights(1, 6000)
    files = [network({"body": body})]
    files += [network({"body": nudged(body, number)}) for number in range(3)]
    world, twin = World(root), World(other)
    for number, data in enumerate(files):
        world.save({"m.safetensors": data}, str(number))
    for number, data in enumerate(files if alike else reversed(files)):
        twin.save({"m.safetensors": data}, str(number))
    found = versions(world, root.parent / "exported")
    if back:
        offload(world.repo, other)
    for one in (world, twin):
        one.repo.close()
    root.with_suffix(".json").write_text(json.dumps(found))


def swept(work: Path, way: str, step: int, *, back: bool, alike: bool) -> int:
    other = work / "other"
    build(work / "scene", other, back=back, alike=alike)
    command = ["offload", "--restore"] if back else ["offload", "--to", str(other)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.e2e.maintenance"),
            *(work / "scene", work / "work", way, str(step), *command),
        ],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return int(json.loads(done.stdout.splitlines()[-1])["survived"])


@pytest.mark.parametrize("alike", [True, False], ids=["copied", "coded anew"])
@pytest.mark.parametrize("back", [False, True], ids=["away", "back"])
def test_a_kill_at_calls_of_the_file_system_loses_nothing(
    tmp_path: Path, back: bool, alike: bool
) -> None:
    assert swept(tmp_path, "before", 5, back=back, alike=alike) > 1


@pytest.mark.slow
@pytest.mark.parametrize("alike", [True, False], ids=["copied", "coded anew"])
@pytest.mark.parametrize("back", [False, True], ids=["away", "back"])
@pytest.mark.parametrize("way", ["before", "half"])
def test_a_kill_at_every_call_of_the_file_system_loses_nothing(
    tmp_path: Path, back: bool, alike: bool, way: str
) -> None:
    assert swept(tmp_path, way, 1, back=back, alike=alike) >= 1


def test_whoever_reads_beside_it_never_fails(tmp_path: Path) -> None:
    build(tmp_path / "w", tmp_path / "other", back=False)
    expected = json.loads((tmp_path / "w.json").read_text())
    stop, failures = threading.Event(), []

    def read() -> None:
        count = 0
        while not stop.is_set() or count < 2:
            count += 1
            world = World(tmp_path / "w")
            try:
                if versions(world, tmp_path / f"read-{count}") != expected:
                    failures.append("other bytes")
            except Exception as error:  # noqa: BLE001 - the other thread reports it
                failures.append(repr(error))
            finally:
                world.repo.close()

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        for action in (lambda repo: offload(repo, tmp_path / "other"), bring_back):
            world = World(tmp_path / "w")
            action(world.repo)
            world.repo.close()
    stop.set()
    reader.join()
    assert failures == []
