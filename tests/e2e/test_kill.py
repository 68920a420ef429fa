"""Killed at any moment of a commit or a switch, a repository opens, is whole, and goes on."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.scenes import Scene, build, check_survivor

SIZE = 32 << 20
PATIENCE = 120
RANDOM_MOMENTS = 200
BATCH = 10
KINDS = ("commit", "switch")


def start(scene: Scene, root: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.victim", *scene.command(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        pytest.fail(child.communicate(timeout=PATIENCE)[1])
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def duration(scene: Scene, work: Path) -> float:
    """Return how long the command takes when nobody kills it."""
    root = work / "measured"
    shutil.copytree(scene.root, root)
    child = start(scene, root)
    begun = time.monotonic()
    go(child)
    _, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, errors
    shutil.rmtree(root)
    return time.monotonic() - begun


def kill_at_random(scene: Scene, work: Path, draw: random.Random, times: int) -> tuple[int, int]:
    """Kill the command so many times before its end; return in how many tries, and the orphans."""
    longest = min(duration(scene, work) for _ in range(2))
    killed = tries = orphans = 0
    while killed < times:
        tries += 1
        assert tries < 10 * times, "the command ends before it can be killed"
        root = work / "trial"
        shutil.copytree(scene.root, root)
        child = start(scene, root)
        go(child)
        time.sleep(draw.uniform(0, longest))
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=PATIENCE)
        killed += child.returncode == -signal.SIGKILL
        orphans += len(check_survivor(scene, root, work))
        shutil.rmtree(root)
    return tries, orphans


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_a_random_moment_loses_and_mixes_nothing(
    kind: str, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    scene = build(kind, tmp_path / "scene", SIZE)
    tries, orphans = kill_at_random(scene, tmp_path, random.Random(kind), 8)
    record_property("tries", tries)
    record_property("orphans", orphans)


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(RANDOM_MOMENTS // BATCH))
def test_two_hundred_kills_at_random_moments_lose_and_mix_nothing(
    batch: int, tmp_path: Path
) -> None:
    kind = KINDS[batch % 2]
    scene = build(kind, tmp_path / "scene", SIZE)
    tries, orphans = kill_at_random(scene, tmp_path, random.Random(batch), BATCH)
    print(f"{kind}: {BATCH} kills in {tries} tries, {orphans} orphans")


def sweep(kind: str, work: Path, way: str, step: int) -> dict[str, int]:
    build(kind, work / "scene", 6000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.sweep", work / "scene", work / "work", way, str(step)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("way", ["before", "half"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_calls_of_the_file_system_loses_and_mixes_nothing(
    kind: str, way: str, tmp_path: Path
) -> None:
    assert sweep(kind, tmp_path, way, 7)["survived"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["before", "half"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_every_call_of_the_file_system_loses_and_mixes_nothing(
    kind: str, way: str, tmp_path: Path
) -> None:
    found = sweep(kind, tmp_path, way, 1)
    print(f"{kind}, {way}: {found}")
    assert found["survived"] > 5
