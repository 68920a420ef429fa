"""Kills a command at its k-th call of the file system, for every k, and checks what is left.

Usage: sweep.py SCENE WORK WAY STEP. WAY is `before` (the call does not happen) or `half` (a write
happens in part). Each victim and each check runs in a process of its own, forked from this one,
which starts no thread and so stays small. Prints how many kills were survived.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np  # noqa: F401

import mvc.cli.commands.commit
import mvc.cli.commands.switch
import mvc.ops.checkout
import mvc.ops.commit
import mvc.repo.restore  # noqa: F401
from mvc.base import fileio
from mvc.cli.main import run
from tests.e2e.faults import FaultyOs
from tests.e2e.scenes import Scene, check_survivor


def in_child(action: Callable[[], int]) -> int:
    """Run something in a forked process and return its wait status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = action()
        except BaseException:  # noqa: BLE001 - nothing may return from here
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(child, 0)[1]


def strike(way: str, k: int) -> None:
    """Let this process die at its k-th call of the file system."""
    calls = 0

    def hook(name: str, args: tuple[Any, ...]) -> None:
        nonlocal calls
        if way == "half" and name != "write":
            return
        calls += 1
        if calls == k:
            if way == "half":
                os.write(args[0], args[1][: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    fileio.os = FaultyOs(hook)  # type: ignore[assignment]


def victim(scene: Scene, root: Path, way: str, k: int) -> int:
    strike(way, k)
    return run(scene.command(root))


def main() -> None:
    scene, work, way, step = Scene.load(Path(sys.argv[1])), Path(sys.argv[2]), *sys.argv[3:5]
    work.mkdir()
    survived = 0
    orphans: set[str] = set()
    for k in range(1, 10_000, int(step)):
        root = work / "trial"
        shutil.copytree(scene.root, root)
        status = in_child(lambda k=k, root=root: victim(scene, root, way, k))  # type: ignore[misc]
        if not os.WIFSIGNALED(status):
            assert status == 0, f"the command failed with {status}"
            break

        def check(root: Path = root) -> int:
            found = check_survivor(scene, root, work)
            (work / "orphans").write_text(json.dumps(found))
            return 0

        assert in_child(check) == 0, f"not sound after a kill at call {k}"
        orphans |= set(json.loads((work / "orphans").read_text()))
        survived += 1
        shutil.rmtree(root)
    print(json.dumps({"survived": survived, "orphans": len(orphans)}))


if __name__ == "__main__":
    main()
