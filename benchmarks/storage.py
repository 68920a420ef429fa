"""What families of models take in mvc, in other stores, and by codings that others published.

    python -m benchmarks.families --out FAMILIES
    python -m benchmarks.storage --families FAMILIES --sizes --jobs 2 --json FILE --plot FILE.svg
    python -m benchmarks.storage --families FAMILIES --only full-fp32 full-bf16 --json TIMES

Every contender gets the same bytes. Stores are whole programs: a version is put into the working
folder, recorded, and the growth of all they keep is counted; mvc gives every version back, the
others the last, and the sha256 of each file is compared. Codings are run over the tensors of the
files in a process of their own, and what they encode is decoded and compared; no headers are
counted for them. What is not installed is left out by name; git-theta wants a virtual environment
of its own, whose `bin` is on the path. Ends with exit code 1 when mvc failed.

Sizes do not depend on what else a machine does: `--sizes` takes no times, and `--jobs` measures
several contenders at once. With times all share one processor, unless `--cores` says otherwise, so
that speeds compare. `--read` takes earlier results from a file: what was measured of the same
release of a contender (of mvc, the same sources) on the same files is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contenders import ALL, CODINGS, DEFAULT
from benchmarks.histories import History, find, names
from benchmarks.measure import CommandFailed, heading, run
from benchmarks.results import Effort, Result, dumped, loaded
from benchmarks.storage_plot import chart
from benchmarks.storage_report import SPEED, report
from benchmarks.storage_trip import brief, trip
from benchmarks.storage_versions import version
from examples.models import FetchError

ROOT = Path(__file__).resolve().parents[1]
SMALL = 100_000_000
"""A history above these bytes is too large to take the times of slow codings."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How everything is measured.

    Attributes:
        families: The folders of the families, if there are any.
        models: The folder of the published models.
        folder: Where the stores work.
        repeats: How often the histories of the table of speeds are run; others run once.
        timed: Times are taken.
    """

    families: tuple[Path, ...]
    models: Path
    folder: Path
    repeats: int
    timed: bool

    def measure(self, name: str, history: History) -> Result:
        """Take a history through a contender."""
        repeats = self.repeats if self.timed and history.name in SPEED else 1
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            folder = Path(scratch)
            if name in CODINGS:
                result = self._coding(name, history, repeats, folder / "result.json")
            else:
                runs = [
                    trip(name, history, folder / "trip", timed=self.timed) for _ in range(repeats)
                ]
                result = fastest(runs)
        if not self.timed:
            result = replace(result, encode=None, decode=None, finish=None, peak=0)
        made = datetime.now(UTC).isoformat(" ", "minutes").removesuffix("+00:00")
        return replace(result, version=version(name), digest=history.digest, made=made)

    def _coding(self, name: str, history: History, repeats: int, out: Path) -> Result:
        command: list[str | Path] = [sys.executable, "-m", "benchmarks.storage_codings"]
        command += [history.name, name, "--models", self.models, "--json", out]
        command += ["--families", *self.families] if self.families else []
        try:
            cost = run([*command, "--repeats", str(repeats)], cwd=ROOT)
        except CommandFailed as error:
            return Result(history.name, name, failure=brief(str(error)))
        (result,) = loaded([json.loads(out.read_text())])
        return replace(result, peak=cost.peak)


def fastest(results: Sequence[Result]) -> Result:
    """Return one result of repeated runs, with the best time of each direction."""
    first = results[0]
    if first.failure:
        return first
    return replace(
        first,
        encode=_best(result.encode for result in results),
        decode=_best(result.decode for result in results),
        peak=max(result.peak for result in results),
    )


def _best(efforts: Iterable[Effort | None]) -> Effort | None:
    return min((effort for effort in efforts if effort), key=lambda e: e.wall, default=None)


class Earlier:
    """Results of earlier runs, of which those are taken that a new run would not change."""

    def __init__(self, results: Iterable[Result], *, timed: bool) -> None:
        self._known = {
            (result.history, result.contender, result.version, result.digest): result
            for result in results
            if not timed or result.timed
        }

    def get(self, history: History, name: str) -> Result | None:
        """Return what a contender of this release did with this history."""
        return self._known.get((history.name, name, version(name), history.digest))


def takes_part(name: str, history: History, asked: Sequence[str], *, timed: bool) -> bool:
    """Tell whether a contender is run: the time of slow ones is taken where it is short."""
    slow = name in CODINGS and CODINGS[name].slow
    return not (slow and timed) or history.size <= SMALL or name in asked


def compare(
    bench: Bench, histories: Sequence[History], peers: Sequence[str], earlier: Earlier, jobs: int
) -> Iterator[Result]:
    """Measure every history with every contender, but for what earlier results hold."""

    def one(task: tuple[History, str]) -> Result:
        history, name = task
        found = earlier.get(history, name)
        result = found or bench.measure(name, history)
        if not found:
            _note(f"{history.name}  {name}  {_summary(result)}")
        return result

    tasks = [
        (history, name)
        for history in histories
        for name in peers or DEFAULT
        if takes_part(name, history, peers, timed=bench.timed)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(one, tasks)


def _summary(result: Result) -> str:
    return f"{result.share:.4f}" if result.share is not None else str(result.failure)


def _pin(cores: int) -> None:
    """Keep this process and all that it starts on the last few of its processors."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--families", type=Path, nargs="+", default=[], metavar="FOLDER",
                        help="made by benchmarks.families; histories of the second and later "
                        "folders are named FOLDER/FAMILY")  # fmt: skip
    parser.add_argument("--models", type=Path, default=Path(".models"), help="default: .models")
    parser.add_argument("--only", nargs="+", default=[], metavar="HISTORY")
    parser.add_argument("--peers", nargs="+", default=[], choices=ALL, metavar="NAME",
                        help=", ".join(ALL))  # fmt: skip
    parser.add_argument("--sizes", action="store_true", help="take no times")
    parser.add_argument("--jobs", type=int, default=1, help="contenders at once, for --sizes")
    parser.add_argument("--repeats", type=int, default=3, help="for the table of speeds")
    parser.add_argument("--cores", type=int, help="processors to use, 0 for all; 1 with times")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    parser.add_argument("--read", type=Path, metavar="FILE", help="earlier --json")
    parser.add_argument("--no-run", action="store_true", help="only print what --read holds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a bar chart as SVG")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    args.families = tuple(folder.resolve() for folder in args.families)
    if args.jobs > 1 and not args.sizes:
        parser.error("--jobs needs --sizes: times of contenders at once say nothing")
    if unknown := set(args.only) - set(names(args.families)):
        known = ", ".join(names(args.families))
        parser.error(f"no history {', '.join(sorted(unknown))}; there are {known}")
    _pin(args.cores if args.cores is not None else int(not args.sizes))
    try:
        results = _measured(args)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.plot:
        args.plot.write_text(chart(results))
    print(heading("benchmarks.storage", flags(args)))
    print(report(results))
    return 1 if any(result.contender == "mvc" and result.failure for result in results) else 0


def _measured(args: argparse.Namespace) -> list[Result]:
    """Run what is asked for; earlier results of what is not asked for stay in the file."""
    known = read(args.read) if args.read and args.read.exists() else []
    if args.no_run:
        place = {name: index for index, name in enumerate(names(args.families))}
        return sorted(known, key=lambda result: place.get(result.history, len(place)))
    histories = find(args.only, args.families, args.models.resolve())
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
        bench = Bench(
            args.families, args.models.resolve(), Path(scratch).resolve(), args.repeats,
            not args.sizes,
        )  # fmt: skip
        earlier = Earlier(known, timed=bench.timed)
        for result in compare(bench, histories, args.peers, earlier, args.jobs):
            results.append(result)
            if args.json:
                save(args.json, merged(known, results))
    return results


def merged(old: Sequence[Result], new: Sequence[Result]) -> list[Result]:
    """Return results in which new ones take the place of old ones of the same row and column."""
    both = {(result.history, result.contender): result for result in old}
    both |= {(result.history, result.contender): result for result in new}
    return list(both.values())


def read(path: Path) -> list[Result]:
    """Return the results in a file of `--json`."""
    return loaded(json.loads(path.read_text())["results"])


def save(path: Path, results: Sequence[Result]) -> None:
    """Write results so that no reader finds half a file."""
    fresh = path.with_name(f"{path.name}.new")
    lines = ",\n".join(json.dumps(value) for value in dumped(results))
    fresh.write_text(f'{{"results": [\n{lines}\n]}}\n')
    fresh.replace(path)


def flags(args: argparse.Namespace) -> list[str]:
    """Return the flags of a run without the paths of one machine."""
    named = [("--only", args.only), ("--peers", args.peers)]
    folders = ["FAMILIES", *(folder.name for folder in args.families[1:])]
    return [
        *([f"--families {' '.join(folders)}"] if args.families else []),
        *(f"{flag} {' '.join(values)}" for flag, values in named if values),
        *(["--sizes"] if args.sizes else [f"--repeats {args.repeats}"]),
    ]


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
