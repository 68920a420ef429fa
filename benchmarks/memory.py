"""Peak memory of mvc for the commit and the checkout of one very large model.

    python -m benchmarks.memory --size-gb 4

Needs about three times that much free disk. Ends with exit code 1 when a step takes more than
400 MB of resident memory in one process.
"""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import weights
from benchmarks.measure import CommandFailed, Cost, heading, table
from benchmarks.peers import TOOLS, MissingTool, Repository

FILE = "model.safetensors"
LIMIT_MB = 400


def measure(master: Path, folder: Path) -> dict[str, Cost]:
    """Commit the file, linked into the working folder, and bring it back."""
    worktree = folder / "work"
    worktree.mkdir()
    repository = Repository(TOOLS["mvc"], worktree)
    repository.create()
    (worktree / FILE).hardlink_to(master)
    costs = {"add": repository.add(FILE), "commit": repository.commit()}
    (worktree / FILE).unlink()
    costs["checkout"] = repository.restore(FILE)
    if not filecmp.cmp(master, worktree / FILE, shallow=False):
        raise CommandFailed("mvc brought back a different file")
    return costs


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size-gb", type=float, default=4.0, help="decimal gigabytes")
    parser.add_argument("--tensors", type=int, default=64, help="how many the file holds")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            master = Path(scratch) / FILE
            weights.make(master, round(args.size_gb * 1000), args.tensors)
            costs = measure(master, Path(scratch))
    except (CommandFailed, MissingTool) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    rows = [
        [step, f"{cost.peak / 1e6:.0f} MB", f"{cost.wall:.1f} s", f"{cost.cpu:.1f} s"]
        for step, cost in costs.items()
    ]
    flags = [f"--size-gb {args.size_gb:g}", f"--tensors {args.tensors}"]
    print(heading("benchmarks.memory", flags))
    print(table(["step", "peak memory", "wall", "processor"], rows))
    within = all(cost.peak <= LIMIT_MB * 1e6 for cost in costs.values())
    print(f"\nLimit {LIMIT_MB} MB: {'kept' if within else 'exceeded'}.")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
