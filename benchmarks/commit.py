"""First commit and checkout of one large model, mvc against git with git-lfs.

    python -m benchmarks.commit --size-mb 1000 --repeats 3

Both tools run in the same process on the same file system, one after the other, and the order
turns around with every repeat. Each gets a fresh repository and a fresh copy of the file, which is
read once before, so that it lies in the page cache for both. Dirty pages are written out before
each timed step. git-lfs leaves its copy to the page cache while mvc waits for the disk; the lines
"then sync" therefore also give the time until the bytes of either are on it.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import weights
from benchmarks.measure import CommandFailed, Cost, Series, heading, settle, table, warm
from benchmarks.peers import TOOLS, MissingTool, Repository, Tool, versions

FILE = "model.safetensors"
STEPS = ("create", "add", "commit", "add + commit", "then sync", "checkout", "checkout, then sync")

Steps = dict[str, Cost]
Results = dict[str, list[tuple[Steps, int]]]


def measure(repository: Repository, master: Path) -> tuple[Steps, int]:
    """Take one repository through its first commit and a checkout.

    Returns:
        The cost of every step of `STEPS`, and the bytes stored.

    Raises:
        CommandFailed: A command failed, or the file that came back is another.
    """
    steps: Steps = {"create": repository.create()}
    file = repository.worktree / FILE
    shutil.copyfile(master, file)
    warm(file)
    settle()
    steps["add"] = repository.add(FILE)
    steps["commit"] = repository.commit()
    steps["add + commit"] = steps["add"] + steps["commit"]
    steps["then sync"] = _until_on_disk(steps["add + commit"])
    file.unlink()
    settle()
    steps["checkout"] = repository.restore(FILE)
    steps["checkout, then sync"] = _until_on_disk(steps["checkout"])
    if not filecmp.cmp(master, file, shallow=False):
        raise CommandFailed(f"{repository.tool.name} brought back a different file")
    return steps, repository.stored_bytes()


def _until_on_disk(cost: Cost) -> Cost:
    start = time.perf_counter()
    settle()
    return replace(cost, wall=cost.wall + time.perf_counter() - start)


def compare(
    tools: Sequence[Tool], master: Path, repeats: int, folder: Path, note: Callable[[str], object]
) -> Results:
    """Measure the tools in turn, in the other order with every repeat."""
    results: Results = {tool.name: [] for tool in tools}
    for repeat in range(repeats):
        for tool in tools if repeat % 2 == 0 else reversed(tools):
            worktree = folder / f"{tool.name}-{repeat}"
            worktree.mkdir()
            result = measure(Repository(tool, worktree), master)
            note(f"{tool.name}, run {repeat + 1}: {_summary(result[0])}")
            results[tool.name].append(result)
            shutil.rmtree(worktree)
    return results


def _summary(steps: Steps) -> str:
    return ", ".join(f"{step} {steps[step].wall:.2f} s" for step in ("add + commit", "checkout"))


def report(results: Results) -> str:
    """Format the results; ratios are of medians, mvc over git-lfs."""
    names = list(results)
    header = ["step", *[f"{name} {column}" for name in names for column in ("min", "median")]]
    both = len(names) == 2
    rows = []
    for step in STEPS:
        series = [Series(tuple(steps[step] for steps, _ in results[name])) for name in names]
        row = [step, *[f"{value:.2f} s" for s in series for value in (s.best, s.median)]]
        if both:
            row.append(f"{series[0].median / series[1].median:.2f}")
        rows.append(row)
    lines = [table([*header, "ratio"] if both else header, rows), ""]
    lines += [_footer(name, results[name]) for name in names]
    return "\n".join(lines)


def _footer(name: str, runs: Iterable[tuple[Steps, int]]) -> str:
    runs = list(runs)
    stored = runs[-1][1] / 1e6
    peaks = {
        step: max(steps[step].peak for steps, _ in runs) / 1e6
        for step in ("add + commit", "checkout")
    }
    return (
        f"- {name}: {stored:.1f} MB stored; peak memory of the largest process "
        f"{peaks['add + commit']:.0f} MB in add + commit, {peaks['checkout']:.0f} MB in checkout"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commit", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size-mb", type=int, default=1000, help="decimal megabytes")
    parser.add_argument("--tensors", type=int, default=64, help="how many the file holds")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=TOOLS, help="measure one tool alone")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    args = parser.parse_args(argv)
    tools = [TOOLS[args.only]] if args.only else list(TOOLS.values())
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            master = Path(scratch) / FILE
            weights.make(master, args.size_mb, args.tensors)
            results = compare(tools, master, args.repeats, Path(scratch), _note)
    except (CommandFailed, MissingTool) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    flags = [
        f"--size-mb {args.size_mb}",
        f"--tensors {args.tensors}",
        f"--repeats {args.repeats}",
        *([f"--only {args.only}"] if args.only else []),
    ]
    print(heading("benchmarks.commit", flags))
    print(f"{versions(tools)}; fp32, page cache warm for both.\n")
    print(report(results))
    return 0


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
