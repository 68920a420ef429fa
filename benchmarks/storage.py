"""What families of models take in mvc, in other stores, and by codings that others published.

    python -m benchmarks.families --out FAMILIES
    python -m benchmarks.storage --families FAMILIES --json FILE --plot FILE.svg

Every contender gets the same bytes in the same run. Stores are whole programs: a version is put
into the working folder, recorded, and the growth of all they keep is counted; mvc gives every
version back, the others the last, and the sha256 of each file is compared. Codings are run over the
tensors of the files in a process of their own, and what they encode is decoded and compared; no
headers are counted for them. All share one processor unless `--cores` says otherwise, so that
speeds compare. What is not installed is left out by name; git-theta wants a virtual environment of
its own, whose `bin` is on the path. Ends with exit code 1 when mvc failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders import ALL, CODINGS, DEFAULT
from benchmarks.histories import History, find, names
from benchmarks.measure import CommandFailed, heading, run
from benchmarks.results import Effort, Result, dumped, loaded
from benchmarks.storage_plot import chart
from benchmarks.storage_report import SPEED, report
from benchmarks.storage_trip import brief, trip
from examples.models import FetchError

ROOT = Path(__file__).resolve().parents[1]
SMALL = 100_000_000
"""A history above these bytes is too large for slow codings."""


@dataclass(frozen=True, slots=True)
class Bench:
    """How everything is measured.

    Attributes:
        families: The folder of the families, if there are any.
        models: The folder of the published models.
        folder: Where the stores work.
        repeats: How often the histories of the table of speeds are run; others run once.
    """

    families: Path | None
    models: Path
    folder: Path
    repeats: int

    def measure(self, name: str, history: History) -> Result:
        """Take a history through a contender."""
        repeats = self.repeats if history.name in SPEED else 1
        if name in CODINGS:
            return self._coding(name, history, repeats)
        return fastest([trip(name, history, self.folder / "trip") for _ in range(repeats)])

    def _coding(self, name: str, history: History, repeats: int) -> Result:
        out = self.folder / "result.json"
        options = {"--families": self.families, "--models": self.models, "--json": out}
        flags = [part for pair in options.items() if pair[1] for part in pair if part]
        command = [sys.executable, "-m", "benchmarks.storage_codings", history.name, name]
        try:
            cost = run([*command, *flags, "--repeats", str(repeats)], cwd=ROOT)
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


def takes_part(name: str, history: History, asked: Sequence[str]) -> bool:
    """Tell whether a contender is run on a history: slow ones only on small, unless asked for."""
    slow = name in CODINGS and CODINGS[name].slow
    return not slow or history.size <= SMALL or name in asked


def compare(
    bench: Bench, histories: Sequence[History], peers: Sequence[str], earlier: Sequence[Result]
) -> Iterator[Result]:
    """Measure every history with every contender, but for what earlier results hold."""
    known = {(result.history, result.contender): result for result in earlier}
    for history in histories:
        for name in peers or DEFAULT:
            if not takes_part(name, history, peers):
                continue
            found = known.get((history.name, name))
            result = found or bench.measure(name, history)
            _note(f"{history.name}  {name}  {_summary(result)}")
            yield result


def _summary(result: Result) -> str:
    return f"{result.share:.4f}" if result.share is not None else str(result.failure)


def _pin(cores: int) -> None:
    """Keep this process and all that it starts on the last few of its processors."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--families", type=Path, help="made by benchmarks.families")
    parser.add_argument("--models", type=Path, default=Path(".models"), help="default: .models")
    parser.add_argument("--only", nargs="+", default=[], metavar="HISTORY")
    parser.add_argument("--peers", nargs="+", default=[], choices=ALL, metavar="NAME",
                        help=", ".join(ALL))  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3, help="for the table of speeds")
    parser.add_argument("--cores", type=int, default=1, help="processors to use, 0 for all")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    parser.add_argument("--read", type=Path, metavar="FILE", help="earlier --json: not run again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a bar chart as SVG")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    families = args.families.resolve() if args.families else None
    if unknown := set(args.only) - set(names(families)):
        parser.error(f"no history {', '.join(sorted(unknown))}; there are {names(families)}")
    earlier = loaded(json.loads(args.read.read_text())["results"]) if args.read else []
    _pin(args.cores)
    results = []
    try:
        histories = find(args.only, families, args.models.resolve())
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            bench = Bench(families, args.models.resolve(), Path(scratch).resolve(), args.repeats)
            for result in compare(bench, histories, args.peers, earlier):
                results.append(result)
                if args.json:
                    _save(args.json, results)
    except FetchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.plot:
        args.plot.write_text(chart(results))
    print(heading("benchmarks.storage", _flags(args)))
    print(report(results))
    return 1 if any(result.contender == "mvc" and result.failure for result in results) else 0


def _save(path: Path, results: Sequence[Result]) -> None:
    text = json.dumps({"results": dumped(results)}, indent=1)
    path.write_text(text + "\n")


def _flags(args: argparse.Namespace) -> list[str]:
    named = [("--only", args.only), ("--peers", args.peers)]
    return [
        *(["--families FAMILIES"] if args.families else []),
        *(f"{flag} {' '.join(values)}" for flag, values in named if values),
        f"--repeats {args.repeats}",
        f"--cores {args.cores}",
    ]


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
