"""No model file, however it lies, is executed, lost, or costs more memory than it may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.world import World, safetensors
from tests.hostile.corpus import GROUPS, headed, sound

ROOT = Path(__file__).parents[2]
PATIENCE = 240


@pytest.mark.parametrize("group", GROUPS)
def test_every_lying_file_is_stored_and_comes_back_and_nothing_runs(
    group: str, tmp_path: Path
) -> None:
    jail, empty = tmp_path / "jail", tmp_path / "empty"
    jail.mkdir()
    empty.mkdir()
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/formats")])
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.jail", jail, group],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": path},  # noqa: TID251
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(group, found)
    assert found["cases"] == found["checkpoint"] + found["blob"] >= 10
    assert list(empty.iterdir()) == []
    assert {item.name for item in tmp_path.iterdir()} == {"jail", "empty"}


def test_names_of_tensors_are_data_whatever_they_are(tmp_path: Path) -> None:
    names = [
        "../x",
        "/etc/passwd",
        "C:\\x",
        "nul\0",
        "new\nline",
        "\x1b[2J",
        "con",
        ".mvc",
        "a/../b",
    ]
    names += ["", ".", "..", "/", "a//b", "é", "e\u0301", "\u202e", "A", "a", "x" * 4096]
    world = World(tmp_path / "w")
    data = safetensors([(name, "I8", [1], b"x") for name in names])
    world.save({"m": data})
    from mvc.ops.show import ShownCheckpoint, show

    shown = show(world.repo, "HEAD:m")
    assert isinstance(shown, ShownCheckpoint)
    assert sorted(row.name for row in shown.tensors) == sorted(names)
    assert world.exported("HEAD", tmp_path / "out") == {"m": data}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "w"]


def test_a_file_whose_description_would_be_too_large_is_kept_whole(tmp_path: Path) -> None:
    names = (f"{number}-" + "n" * 4000 for number in range(18_000))
    data = safetensors([(name, "I8", [1], b"x") for name in names])
    world = World(tmp_path / "w")
    result = world.save({"m": data})
    assert result.warnings
    assert "kept whole" in result.warnings[0]
    assert world.exported("HEAD", tmp_path / "out") == {"m": data}


def test_a_warning_says_in_one_line_why_a_model_is_kept_whole(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    result = world.save({"m": headed({"w": 1}), "n": sound()["npz"][:-30], "plain": b"text"})
    assert len(result.warnings) == 1 or len(result.warnings) == 2
    for warning in result.warnings:
        assert warning.startswith(("m: ", "n: "))
        assert "\n" not in warning
