"""Start-up time of the mvc command against the smallest program that imports click.

    python -m benchmarks.startup

Whole processes, alternating, the same interpreter for all. Ends with exit code 1 when the median
of an mvc command is more than 2.5 times the median of `python3 -c "import click"`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import CommandFailed, Cost, Series, heading, run, settle, table
from benchmarks.peers import MVC, PYTHON, TOOLS, MissingTool, Repository, environment

LIMIT = 2.5
BASELINE = 'python3 -c "import click"'
COMMANDS: dict[str, list[str]] = {
    BASELINE: [PYTHON, "-c", "import click"],
    "mvc --version": [MVC, "--version"],
    "mvc log -n1": [MVC, "log", "-n1"],
}


def measure(repeats: int, folder: Path) -> dict[str, Series]:
    """Run every command `repeats` times in turn, in a repository with one commit."""
    worktree = folder / "work"
    worktree.mkdir()
    repository = Repository(TOOLS["mvc"], worktree)
    repository.create()
    (worktree / "model.bin").write_bytes(bytes(range(256)))
    repository.add("model.bin")
    repository.commit()
    env = environment([MVC], folder / "work-home")
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    settle()
    for repeat in range(repeats + 1):
        for name, command in COMMANDS.items():
            cost = run(command, cwd=worktree, env=env)
            # The first round compiles modules and fills the page cache.
            if repeat > 0:
                costs[name].append(cost)
    return {name: Series(tuple(values)) for name, values in costs.items()}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-") as scratch:
            results = measure(args.repeats, Path(scratch))
    except (CommandFailed, MissingTool) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    base = results[BASELINE].median
    rows = [
        [f"`{name}`", _ms(series.best), _ms(series.median), f"{series.median / base:.2f}"]
        for name, series in results.items()
    ]
    print(heading("benchmarks.startup", [f"--repeats {args.repeats}"]))
    print(table(["command", "min", "median", "ratio"], rows))
    within = all(series.median <= LIMIT * base for series in results.values())
    print(f"\nLimit {LIMIT}: {'kept' if within else 'exceeded'}.")
    return 0 if within else 1


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
