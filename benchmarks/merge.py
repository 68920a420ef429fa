"""Federated averaging: many branches of one model merged into one, time and peak memory.

    python -m benchmarks.merge --pair BASE TUNED --devices 100

Every device commits to its own branch what training made of BASE: the change from BASE to TUNED, of
each weight a little more or less than it was, so that no two devices agree. `mvc merge --strategy
average --weight-by samples --into ROUND 'devices/*'` is then run three times into fresh branches:
twice with all processors and once with one. Ends with exit code 1 when a run takes more than 1 GB
of resident memory, when the results differ, or when the first is not the float64 mean.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import CommandFailed, Cost, folder_bytes, heading, run, settle, table

FILE = "model.safetensors"
LIMIT = 10**9
ROUNDS = {"all processors": None, "all processors, again": None, "one processor": 1}
MVC = (sys.executable, "-m", "mvc")
PINNED = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
PINNED += "os.execv(sys.argv[1], sys.argv[1:])"


def device(base: Path, tuned: Path, number: int, target: Path) -> None:
    """Write what a device has made of the base. Runs in a process of its own."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    random = np.random.default_rng(number)
    before, after = load_file(base), load_file(tuned)
    for name, old in before.items():
        if old.dtype.kind == "f":
            share = 1 + 0.3 * random.standard_normal(old.shape, np.float32)
            before[name] = old + (after[name] - old) * share
    save_file(before, target)


def check(folder: Path, revisions: Sequence[str], weights: Sequence[int], found: str) -> bool:
    """Tell whether a version is the float64 mean of others. Runs in a process of its own."""
    import numpy as np

    from mvc import Repository

    with Repository.open(folder) as repository:
        sums: dict[str, np.ndarray] = {}
        for revision, weight in zip(revisions, weights, strict=True):
            for name, array in repository.load(revision).items():
                part = float(weight) * array.astype(np.float64)
                sums[name] = sums[name] + part if name in sums else part
        merged = repository.load(found)
        return all(
            np.array_equal(merged[name], (whole / float(sum(weights))).astype(merged[name].dtype))
            for name, whole in sums.items()
            if merged[name].dtype.kind == "f"
        )


def samples(number: int) -> int:
    """Return how many examples a device has seen."""
    return 100 + 37 * number % 400


def mvc(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*MVC, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise CommandFailed(f"mvc {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def make(folder: Path, base: Path, tuned: Path, devices: int) -> None:
    """Make the repository with a branch for each device."""
    folder.mkdir()
    mvc(folder, "init", "--quiet")
    mvc(folder, "config", "user.name", "Server")
    mvc(folder, "config", "user.email", "server@example.org")
    shutil.copyfile(base, folder / FILE)
    mvc(folder, "add", FILE)
    mvc(folder, "commit", "-m", "released")
    mvc(folder, "branch", "start")
    for number in range(devices):
        print(f"device {number + 1} of {devices}", file=sys.stderr, flush=True)
        mvc(folder, "switch", "-c", f"devices/{number:04d}", "start")
        own("device", base, tuned, number, folder / FILE)
        mvc(folder, "commit", "-m", "trained", "--param", f"samples={samples(number)}")


def own(name: str, *arguments: object) -> str:
    """Run a function of this module in another process and return what it prints."""
    command = [sys.executable, "-m", "benchmarks.merge", "--run", name, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def average(folder: Path, target: str, *, alone: bool) -> Cost:
    """Merge the devices into a fresh branch."""
    mvc(folder, "branch", target, "start")
    settle()
    command = [*MVC, "merge", "--strategy", "average", "--weight-by", "samples"]
    command += ["--into", target, "-m", "round", "devices/*"]
    if alone:
        command = [sys.executable, "-c", PINNED, *command]
    return run(command, cwd=folder)


def measure(folder: Path, devices: int) -> tuple[dict[str, Cost], list[str]]:
    """Return what each round cost, and what was wrong."""
    costs, trees = {}, set()
    for number, (name, processors) in enumerate(ROUNDS.items()):
        target = f"rounds/{number}"
        costs[name] = average(folder, target, alone=processors is not None)
        trees.add(mvc(folder, "ls-tree", target))
    wrong = [] if len(trees) == 1 else ["the rounds have different results"]
    shown = json.loads(mvc(folder, "show", "--json", "rounds/0"))
    if len(shown["parents"]) != devices + 1:
        wrong.append(f"the merge lists {len(shown['parents'])} parents")
    if own("check", folder, devices) != "True":
        wrong.append("the result is not the float64 mean")
    wrong += [f"{name} took more than 1 GB" for name, cost in costs.items() if cost.peak > LIMIT]
    return costs, wrong


def perform(name: str, arguments: Sequence[str]) -> None:
    """Do what `own` asks for."""
    if name == "device":
        base, tuned, number, target = arguments
        device(Path(base), Path(tuned), int(number), Path(target))
    else:
        folder, count = arguments
        numbers = range(int(count))
        names = [f"devices/{number:04d}" for number in numbers]
        print(check(Path(folder), names, [samples(number) for number in numbers], "rounds/0"))


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["--run"]:
        perform(given[1], given[2:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merge", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pair", type=Path, nargs=2, required=True, metavar=("BASE", "TUNED"))
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="file system to work on")
    args = parser.parse_args(given)
    base, tuned = (path.resolve() for path in args.pair)
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            folder = Path(scratch) / "central"
            make(folder, base, tuned, args.devices)
            stored = folder_bytes(folder / ".mvc")
            costs, wrong = measure(folder, args.devices)
    except (CommandFailed, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = base.stat().st_size
    rows = [
        [
            name,
            f"{cost.peak / 1e6:.0f} MB",
            f"{cost.wall:.1f} s",
            f"{cost.cpu:.1f} s",
            f"{size * args.devices / cost.wall / 1e6:.0f} MB/s",
        ]
        for name, cost in costs.items()
    ]
    flags = ["--pair", *map(str, args.pair), f"--devices {args.devices}"]
    print(heading("benchmarks.merge", flags))
    print(f"{args.devices} devices of {size / 1e6:.0f} MB each, {stored / 1e9:.2f} GB stored.\n")
    print(table(["average of all", "peak memory", "wall", "processor", "devices read"], rows))
    print(f"\nLimit 1 GB, one result, the float64 mean: {'; '.join(wrong) or 'kept'}.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
