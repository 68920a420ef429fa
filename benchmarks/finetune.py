"""Commit and checkout of a fine-tune whose base is stored already: time, speed a core, bytes.

    python -m benchmarks.finetune --pair BASE TUNED --size-mb 1000 --repeats 3

Every tool stores the base, the fine-tune is saved over it, and recording it is timed as a user
would do it: `mvc commit`, `git add` and `git commit` with git-lfs, `dvc add`. Then the file is
deleted and brought back. The fine-tune is also recorded first in an empty repository, which says
what a base costs or saves. Whole processes take turns on one file system; files were read once
before, dirty pages are written out before each timed step. "MB/s a core" is bytes over wall time
over processors of the machine; "of processor time" is bytes over the seconds that all threads took.

A large pair is made out of a small real one: see `benchmarks.tuned`. DVC, which wants a virtual
environment of its own, must be on the path.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

from benchmarks import tuned
from benchmarks.measure import CommandFailed, Cost, Series, heading, settle, table, warm
from benchmarks.peers import TOOLS, MissingTool, Repository, Tool, versions

FILE = "model.safetensors"
MVC = TOOLS["mvc"]
FAST = ("--codec", "fast")
DVC = Tool(
    name="dvc",
    program="dvc",
    needs=("dvc",),
    metadata=".dvc",
    version=("--version",),
    create=(("init", "--quiet", "--no-scm"), ("config", "core.analytics", "false")),
    add=("add", "--quiet"),
    commit=(),
    restore=("checkout", "--quiet", "--force"),
)
CONTENDERS = {
    "mvc": MVC,
    "mvc fast": replace(MVC, name="mvc fast", commit=(*MVC.commit, *FAST)),
    "git-lfs": TOOLS["git-lfs"],
    "dvc": DVC,
}
STEPS = ("first", "after its base", "back")
SPEEDS = {"mvc": (100, 200), "mvc fast": (400, 700)}
"""Megabytes a second and core that a commit after the base and its checkout reach, at least."""

RIVALS = {"mvc": "git-lfs", "mvc fast": "dvc"}
"""Whose recording of the same file takes at least as long."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one tool did once: the cost of each of `STEPS`, and what the fine-tune added."""

    costs: dict[str, Cost]
    added: int


def run(tool: Tool, base: Path, new: Path, folder: Path) -> Run:
    """Take one tool through all steps in fresh repositories.

    Raises:
        CommandFailed: A command failed, or the file that came back is another.
    """
    first = _repository(tool, folder / "first")
    _save(new, first.worktree / FILE)
    costs = {"first": _record(first, fresh=True)}
    shutil.rmtree(first.worktree)
    after = _repository(tool, folder / "after")
    _save(base, after.worktree / FILE)
    _record(after, fresh=True)
    before = after.stored_bytes()
    _save(new, after.worktree / FILE)
    costs["after its base"] = _record(after, fresh=False)
    added = after.stored_bytes() - before
    (after.worktree / FILE).unlink()
    settle()
    costs["back"] = after.restore(FILE if tool is not DVC else f"{FILE}.dvc")
    if not filecmp.cmp(new, after.worktree / FILE, shallow=False):
        raise CommandFailed(f"{tool.name} brought back a different file")
    shutil.rmtree(after.worktree)
    return Run(costs, added)


def _repository(tool: Tool, worktree: Path) -> Repository:
    worktree.mkdir()
    repository = Repository(tool, worktree)
    repository.create()
    return repository


def _save(source: Path, target: Path) -> None:
    """Save a file over another one, as a training program would."""
    fresh = target.with_name(f"{FILE}.saving")
    shutil.copyfile(source, fresh)
    fresh.replace(target)
    warm(target)
    settle()


def _record(repository: Repository, *, fresh: bool) -> Cost:
    """Record the file; what mvc tracks already needs no `add`."""
    tool = repository.tool
    tracked = tool.metadata == MVC.metadata and not fresh
    steps = [] if tracked else [repository.add(FILE)]
    steps += [repository.commit()] if tool.commit else []
    return reduce(add, steps)


def compare(
    tools: dict[str, Tool], base: Path, new: Path, repeats: int, folder: Path
) -> dict[str, list[Run]]:
    """Measure the tools in turn, in the other order with every repeat."""
    results: dict[str, list[Run]] = {name: [] for name in tools}
    for repeat in range(repeats):
        for name in tools if repeat % 2 == 0 else reversed(tools):
            work = folder / f"{name.replace(' ', '-')}-{repeat}"
            work.mkdir()
            one = run(tools[name], base, new, work)
            shutil.rmtree(work)
            times = ", ".join(f"{step} {cost.wall:.2f} s" for step, cost in one.costs.items())
            print(f"{name}, run {repeat + 1}: {times}", file=sys.stderr)
            results[name].append(one)
    return results


def series(runs: Iterable[Run], step: str) -> Series:
    """Return the measurements of one step."""
    return Series(tuple(run.costs[step] for run in runs))


def report(results: dict[str, list[Run]], size: int) -> str:
    """Format the results; all times are medians."""
    header = ["tool", "first", "after its base", "MB/s a core", "of processor time", "back",
              "MB/s a core", "of processor time", "peak memory", "added"]  # fmt: skip
    rows = []
    for name, runs in results.items():
        first, after, back = (series(runs, step) for step in STEPS)
        peak = max(after.peak, back.peak, first.peak)
        rows.append([
            name, f"{first.median:.2f} s",
            f"{after.median:.2f} s", f"{_a_core(size, after):.0f}", f"{size / 1e6 / after.cpu:.0f}",
            f"{back.median:.2f} s", f"{_a_core(size, back):.0f}", f"{size / 1e6 / back.cpu:.0f}",
            f"{peak / 1e6:.0f} MB", f"{runs[-1].added / 1e6:.1f} MB",
        ])  # fmt: skip
    limits = [line for name in results for line in _limits(results, name, size)]
    return table(header, rows) + "\n\n" + "\n".join(limits)


def _a_core(size: int, measured: Series) -> float:
    return size / 1e6 / measured.median / (os.cpu_count() or 1)


def _limits(results: dict[str, list[Run]], name: str, size: int) -> Iterator[str]:
    if name not in SPEEDS:
        return
    for step, least in zip(STEPS[1:], SPEEDS[name], strict=True):
        figure = _a_core(size, series(results[name], step))
        kept = "kept" if figure >= least else "**missed**"
        yield f"- {name}, {step}: {figure:.0f} MB/s a core, at least {least}: {kept}"
    rival = RIVALS[name]
    if rival in results:
        ours, theirs = (series(results[key], STEPS[1]).median for key in (name, rival))
        kept = "kept" if ours <= theirs else "**missed**"
        yield f"- {name}, after its base: {ours:.2f} s, {rival} {theirs:.2f} s: {kept}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pair", type=Path, nargs=2, required=True, metavar=("BASE", "TUNED"))
    parser.add_argument("--size-mb", type=int, default=1000, help="decimal megabytes; 0: as it is")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, help="measure some alone")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw figures")
    args = parser.parse_args(argv)
    tools = {name: CONTENDERS[name] for name in args.only or CONTENDERS}
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            folder = Path(scratch).resolve()
            base, new = tuned.make(args.pair[0], args.pair[1], args.size_mb, folder)
            size = new.stat().st_size
            results = compare(tools, base, new, args.repeats, folder)
    except (CommandFailed, MissingTool) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        raw = {name: [asdict(run) for run in runs] for name, runs in results.items()}
        args.json.write_text(json.dumps({"bytes": size, "runs": raw}, indent=1))
    print(heading("benchmarks.finetune", _flags(args)))
    named = versions([tool for tool in tools.values() if tool.name != "mvc fast"])
    print(f"{named}; {size / 1e6:.0f} MB.\n")
    print(report(results, size))
    return 0


def _flags(args: argparse.Namespace) -> list[str]:
    pair = " ".join(f"FAMILIES/{path.parent.name}/{path.name}" for path in args.pair)
    flags = [f"--pair {pair}", f"--size-mb {args.size_mb}", f"--repeats {args.repeats}"]
    only = " ".join(f'"{name}"' if " " in name else name for name in args.only or [])
    return [*flags, *([f"--only {only}"] if only else [])]


if __name__ == "__main__":
    raise SystemExit(main())
