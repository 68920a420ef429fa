"""Killed at any moment of a merge or a pick, nothing is lost and both ways lead on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mvc.ops.checkout import switch
from tests.ops.lines import MODEL, Lines

SETTINGS = '[user]\nname = "Tester"\nemail = "tester@example.org"\n'
KINDS = {
    "clean": ["merge", "--strategy", "average", "other"],
    "conflicts": ["merge", "other"],
    "forward": ["merge", "other"],
    "pick": ["cherry-pick", "main..other"],
}


def scene(kind: str, root: Path) -> None:
    """Make a repository in which the command of a kind is about to be run."""
    lines = Lines(root, {MODEL: {}, "old/gone.txt": b"gone", "log.txt": b"0"})
    (lines.repo.folder / "config.toml").write_text(SETTINGS)
    lines.save("model", {MODEL: lines.base})
    there = lines.changed(a=2, d=2)
    switch(lines.repo, "other", create=True)
    lines.save("one", {MODEL: there, "new/added.txt": b"new"})
    log = b"theirs" if kind == "conflicts" else b"0"
    lines.save("two", {"old/gone.txt": None, "log.txt": log})
    switch(lines.repo, "main")
    if kind != "forward":
        log = b"ours" if kind == "conflicts" else b"0"
        lines.save("mine", {MODEL: lines.changed(a=1, c=1), "log.txt": log})
    lines.repo.close()
    root.with_suffix(".json").write_text(json.dumps(KINDS[kind]))


def sweep(kind: str, work: Path, way: str, step: int) -> int:
    scene(kind, work / "scene")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.e2e.merge_sweep"),
            *(work / "scene", work / "work", way, str(step)),
        ],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return int(json.loads(done.stdout.splitlines()[-1])["survived"])


@pytest.mark.parametrize(("kind", "way"), [("clean", "before"), ("conflicts", "half")])
def test_a_kill_at_calls_of_the_file_system_leaves_both_ways_open(
    kind: str, way: str, tmp_path: Path
) -> None:
    assert sweep(kind, tmp_path, way, 11) > 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["before", "half"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "forward"])
def test_a_kill_at_every_call_of_the_file_system_leaves_both_ways_open(
    kind: str, way: str, tmp_path: Path
) -> None:
    print(f"{kind}, {way}: {sweep(kind, tmp_path, way, 1)}")
