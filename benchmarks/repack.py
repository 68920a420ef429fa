"""Measure `mvc repack`: a chain of a hundred snapshots, and a thousand devices of one release.

    python -m benchmarks.repack --material MATERIAL [--only chain-fp32 fleet ...]

Chains are committed one version after the other, as somebody does who saves over the same name.
Then `mvc repack` runs with its defaults, and, in a copy, with no budget and the deepest chains that
the format allows: what is least in bytes. Every version is exported by a process of its own,
compared by sha256, and timed against the same version in a repository that has nothing else.

The fleet is committed in two ways, each device on a branch of its own that begins at the release,
and all on one branch one after another, as a server does that has one name for them all; the
worst case, because each is then a difference from an unrelated one. `mvc repack` is killed and
interrupted on its way in a copy of that, and run again.

`benchmarks.repack_material` makes what is missing in MATERIAL, and needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import repack_fleet as fleets
from benchmarks.measure import CommandFailed, Cost, heading, run, table
from benchmarks.repack_store import Repository, Shape, digest

NAMES = ("chain-fp32", "chain-bf16", "walk", "fleet")
UNBOUNDED = ("--budget", "1e6", "--max-depth", "32")
LIMIT_BYTES, LIMIT_TIME = 1.10, 2.0
REFERENCES = 5
"""So many versions are timed in a repository of their own."""


def material(name: str, folder: Path, models: Path, versions: int, devices: int) -> list[Path]:
    """Return the files of a chain in their order, made if they are not there."""
    kind = name.partition("-")[0]
    numbers = ("--versions", str(versions), "--devices", str(devices))
    if not (folder / name).is_dir():
        module: list[str | Path] = [
            sys.executable,
            "-m",
            "benchmarks.repack_material",
            kind,
            folder,
        ]
        run([*module, "--models", models, *numbers])
    return sorted((folder / name).iterdir())


def chain(name: str, files: Sequence[Path], work: Path) -> tuple[list[str], list[str]]:
    """Take a chain through commits, repack and export; return a row on bytes and one on time."""
    repository = Repository(work / name)
    commits = [repository.record(file) for file in files]
    before = repository.shape()
    deep = repository.copy(work / f"{name}-deep")
    deep.run("repack", *UNBOUNDED)
    least = deep.shape(*UNBOUNDED)
    deep.remove()
    cost = repository.run("repack")
    after = repository.shape()
    raw = sum(file.stat().st_size for file in files)
    excess = after.bytes / least.bytes
    size = [
        name, str(len(files)), _mb(raw), *map(_told, (before, least, after)),
        f"{before.expected / after.bytes:.3f}", f"{excess:.3f}",
        f"{cost.wall:.0f} s", f"{cost.peak / 1e6:.0f} MB",
    ]  # fmt: skip
    whole = _whole(files, work / "whole")
    backs = [_exported(repository, number, files, work / "back") for number in range(len(files))]
    repository.remove()
    total = sum(one.wall for one in commits)
    time = [name, f"{total / len(files):.2f} s", *_compared(whole, backs)]
    print(" | ".join(size), " | ".join(time), sep="\n", file=sys.stderr)
    print(
        f"{name}: bytes {'kept' if excess <= LIMIT_BYTES else 'EXCEEDED'}, "
        f"recovery {'kept' if after.recovery <= LIMIT_TIME else 'EXCEEDED'}",
        file=sys.stderr,
    )
    return size, time


def _whole(files: Sequence[Path], work: Path) -> list[Cost]:
    """Return what exporting some versions costs that are the only ones of their repository."""
    costs = []
    for number in range(0, len(files), max(1, len(files) // REFERENCES)):
        repository = Repository(work)
        repository.record(files[number])
        costs += [_exported(repository, 0, [files[number]], work / "back") for _ in range(3)]
        repository.remove()
    return costs


def _exported(repository: Repository, number: int, files: Sequence[Path], target: Path) -> Cost:
    cost = repository.run("export", f"HEAD~{len(files) - 1 - number}", target)
    (found,) = target.iterdir()
    if digest(found) != digest(files[number]):
        raise CommandFailed(f"version {number} came back as another file")
    shutil.rmtree(target)
    return cost


def _compared(whole: Sequence[Cost], backs: Sequence[Cost]) -> list[str]:
    wall = statistics.median(cost.wall for cost in whole)
    cpu = statistics.median(cost.cpu for cost in whole)
    walls = [cost.wall for cost in backs]
    cpus = [cost.cpu for cost in backs]
    middle, worst = statistics.median(walls), statistics.quantiles(walls, n=20)[-1]
    return [
        f"{wall:.2f} s", f"{middle:.2f} s ({middle / wall:.2f}x)",
        f"{worst:.2f} s ({worst / wall:.2f}x)", f"{cpu:.2f} s",
        f"{statistics.median(cpus):.2f} s ({statistics.median(cpus) / cpu:.2f}x)",
        f"{max(cpus):.2f} s ({max(cpus) / cpu:.2f}x)",
    ]  # fmt: skip


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def _told(shape: Shape) -> str:
    return f"{_mb(shape.bytes)}, {shape.deepest}, {shape.recovery:.2f}x"


SIZE_HEAD = [
    "history", "versions", "raw", "committed", "unbounded", "repacked", "foretold / repacked",
    "repacked / unbounded", "repack", "peak",
]  # fmt: skip
TIME_HEAD = [
    "history", "commit", "alone", "median", "95 %", "alone, CPU", "median, CPU", "worst, CPU",
]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repack", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--material", type=Path, default=Path(".families/repack"))
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--versions", type=int, default=100)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="file system to work on")
    args = parser.parse_args(argv)
    wanted = args.only or NAMES
    sizes, times, fleet = [], [], []
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            for name in wanted:
                files = material(name, args.material, args.models, args.versions, args.devices)
                if name == "fleet":
                    fleet = fleets.rows(files, args.devices, Path(scratch))
                else:
                    size, time = chain(name, files[: args.versions], Path(scratch))
                    sizes.append(size)
                    times.append(time)
    except CommandFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    flags = [f"--versions {args.versions}", f"--devices {args.devices}"]
    flags += [f"--only {' '.join(args.only)}"] if args.only else []
    print(heading("benchmarks.repack", flags))
    for head, rows in ((SIZE_HEAD, sizes), (TIME_HEAD, times), (fleets.HEAD, fleet)):
        if rows:
            print(table(head, rows), end="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
