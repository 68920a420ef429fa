"""Killed at any moment of a push, fetch, pull or clone, both sides are whole, and it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.sync_scenes import KINDS


def sweep(kind: str, work: Path, way: str, step: int) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.sync_sweep", kind, work / "work", way, str(step)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    survived: int = json.loads(done.stdout.splitlines()[-1])["survived"]
    return survived


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_calls_of_the_file_system_loses_nothing_on_either_side(
    kind: str, tmp_path: Path
) -> None:
    assert sweep(kind, tmp_path, "before", 23) > 4


@pytest.mark.slow
@pytest.mark.parametrize("way", ["before", "half"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_every_call_of_the_file_system_loses_nothing_on_either_side(
    kind: str, way: str, tmp_path: Path
) -> None:
    print(f"{kind}, {way}: {sweep(kind, tmp_path, way, 1)} kills survived")
