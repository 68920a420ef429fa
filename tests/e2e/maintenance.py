"""Kills `repack` or `gc` at its k-th call of the file system, for every k, and looks what is left.

Usage: maintenance.py SCENE WORK WAY STEP COMMAND... with the folder of a repository to copy, one to
work in, and WAY as in sweep.py. Each victim and each check runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np  # noqa: F401

import mvc.cli.commands.gc
import mvc.cli.commands.repack
import mvc.ops.gc
import mvc.ops.repack  # noqa: F401
from mvc.cli.main import run
from mvc.ops.gc import GcRequest, gc
from mvc.ops.log import LogRequest, log
from tests.e2e.sweep import in_child
from tests.e2e.world import World, sha256s

Versions = dict[str, dict[str, str]]


def versions(world: World, scratch: Path) -> Versions:
    """Return the sha256 of every file of every commit that HEAD leads to, by its message."""
    found = {}
    for item in log(world.repo, LogRequest()):
        world.exported(item.id.hex(), scratch)
        found[item.commit.message] = sha256s(scratch)
        shutil.rmtree(scratch)
    return found


def check(root: Path, scratch: Path, expected: Versions, command: list[str]) -> int:
    """Check a survivor, run the command again, and check again."""
    for again in (False, True):
        world = World(root)
        world.check()
        assert versions(world, scratch) == expected
        if again:
            gc(world.repo, GcRequest(0))
            names = set(world.packs())
            assert all(name.replace(".tail", ".head") in names for name in names), "orphans"
            assert world.leftovers() == []
            world.check()
        world.repo.close()
        if not again:
            assert run(["-C", str(root), *command]) == 0
    return 0


def main() -> None:
    from tests.e2e import sweep

    scene, work, way, step, *command = sys.argv[1:]
    root, scratch = Path(work) / "trial", Path(work) / "scratch"
    Path(work).mkdir()
    expected: Versions = json.loads(Path(scene).with_suffix(".json").read_text())
    survived = 0

    def victim(k: int) -> int:
        sweep.strike(way, k)
        return run(["-C", str(root), *command])

    for k in range(1, 10_000, int(step)):
        shutil.copytree(scene, root)
        status = in_child(lambda k=k: victim(k))  # type: ignore[misc]
        if not os.WIFSIGNALED(status):
            assert status == 0, f"the command failed with {status}"
            break
        assert in_child(lambda: check(root, scratch, expected, command)) == 0, f"after call {k}"
        survived += 1
        shutil.rmtree(root)
    print(json.dumps({"survived": survived}))


if __name__ == "__main__":
    main()
