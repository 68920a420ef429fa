"""Kills a push, fetch, pull or clone at its k-th call of the file system, for every k.

Usage: sync_sweep.py KIND WORK WAY STEP, as sweep.py. Both repositories are on this machine, so
calls of the receiving side are among those that kill. Prints how many kills were survived.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import mvc.cli.commands.clone
import mvc.cli.commands.fetch
import mvc.cli.commands.pull
import mvc.cli.commands.push
import mvc.cli.remoting
import mvc.ops.clone
import mvc.ops.push
import mvc.sync.local  # noqa: F401
from mvc.cli.main import run
from tests.e2e.sweep import in_child, strike
from tests.e2e.sync_scenes import Site, build, check_survivor, finished, small_parts

SIZE = 200_000
PART_BYTES = 60_000


def victim(site: Site, root: Path, way: str, k: int) -> int:
    strike(way, k)
    return run(site.command(root))


def checked(site: Site, root: Path) -> int:
    check_survivor(site, root)
    return 0


def main() -> None:
    kind, work, way, step = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:5]
    small_parts(PART_BYTES)
    work.mkdir()
    # Forked processes start no thread here, and so stay small.
    assert in_child(lambda: build(kind, work / "site", SIZE).save()) == 0
    site = Site.load(work / "site")
    survived = 0
    root = work / "trial"
    for k in range(1, 100_000, int(step)):
        shutil.copytree(site.root, root)
        status = in_child(lambda k=k: victim(site, root, way, k))  # type: ignore[misc]
        if not os.WIFSIGNALED(status):
            assert status == 0, f"the command failed with {status}"
            assert in_child(lambda: finished(site, root) or 0) == 0, "not all was done"
            break
        assert in_child(lambda: checked(site, root)) == 0, f"not sound after a kill at call {k}"
        survived += 1
        shutil.rmtree(root)
    print(json.dumps({"survived": survived}))


if __name__ == "__main__":
    main()
