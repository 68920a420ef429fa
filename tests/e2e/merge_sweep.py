"""Kills a merge or a pick at its k-th call of the file system, and looks at what is left.

Usage: merge_sweep.py SCENE WORK WAY STEP. SCENE is a repository in which the arguments in
SCENE.json are about to be run. WAY is `before` (the call does not happen) or `half` (a write
happens in part). What a kill leaves must be the state before, or something that --abort takes back
to it byte for byte and --continue brings to where an undisturbed run ends. Each victim and each
check runs in a process of its own, forked from this one, which starts no thread.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np  # noqa: F401

import mvc.cli.commands.cherry_pick
import mvc.cli.commands.merge
import mvc.merge.compose
import mvc.ops.cherry_pick
import mvc.ops.merge
import mvc.ops.resume
import mvc.repo.restore  # noqa: F401
from mvc.cli.main import run
from mvc.ops.fsck import fsck
from mvc.ops.status import status
from mvc.repo import merging
from mvc.repo.repository import Repository
from tests.e2e.sweep import in_child, strike


def files(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes().hex()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".mvc" not in path.relative_to(root).parts
    }


def tree(root: Path) -> str:
    with Repository.discover(root) as repo:
        head = repo.head_commit()
        assert head is not None
        return repo.commit(head).tree.hex()


def check(root: Path, command: list[str], verb: str, facts: dict[str, object], k: int) -> int:
    """Look at what a kill left, and take both ways from there on copies of it."""
    with Repository.discover(root) as repo:
        assert fsck(repo).problems == ()
        pending = merging.load(repo) is not None
        landed = tree(root) != facts["tree"]
    if not pending:
        assert files(root) == (facts["after"] if landed else facts["before"])
        return 0
    other = root.with_name("other")
    shutil.copytree(root, other)
    assert run(["-C", str(other), verb, "--abort"]) == 0
    assert files(other) == facts["before"]
    assert tree(other) == facts["tree"]
    settled(other)
    shutil.rmtree(other)
    take = ["--take", "theirs"] if facts["conflicts"] else []
    assert run(["-C", str(root), verb, "--continue", *take]) == 0
    assert files(root) == facts["after"], k
    settled(root)
    return 0


def settled(root: Path) -> None:
    with Repository.discover(root) as repo:
        found = status(repo)
        assert found.clean
        assert not found.untracked
        assert found.under_way is None
        assert fsck(repo).problems == ()


def undisturbed(scene: Path, work: Path, command: list[str], verb: str) -> dict[str, object]:
    """Return what the files are before, and after a run that nobody cuts off."""
    root = work / "undisturbed"
    shutil.copytree(scene, root)
    before, start = files(root), tree(root)

    def whole() -> int:
        code = run(["-C", str(root), *command])
        if code == 1:
            code = run(["-C", str(root), verb, "--continue", "--take", "theirs"])
            return code or 200
        return code

    ended = os.waitstatus_to_exitcode(in_child(whole))
    assert ended in (0, 200), ended
    return {"before": before, "tree": start, "after": files(root), "conflicts": ended == 200}


def main() -> None:
    scene, work, way, step = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5]
    command = json.loads(scene.with_suffix(".json").read_text())
    verb = command[0]
    work.mkdir()
    facts = undisturbed(scene, work, command, verb)
    survived = 0
    for k in range(1, 10_000, int(step)):
        root = work / "trial"
        shutil.copytree(scene, root)

        def victim(k: int = k, root: Path = root) -> int:
            strike(way, k)
            return run(["-C", str(root), *command])

        ended = in_child(victim)
        if not os.WIFSIGNALED(ended):
            assert os.waitstatus_to_exitcode(ended) == int(bool(facts["conflicts"]))
            break
        done = in_child(lambda k=k, root=root: check(root, command, verb, facts, k))  # type: ignore[misc]
        assert done == 0, f"not sound after a kill at call {k}"
        survived += 1
        shutil.rmtree(root)
    print(json.dumps({"survived": survived}))


if __name__ == "__main__":
    main()
