"""Time of `mvc diff` where every tensor changed, against a bare NumPy script.

    python -m benchmarks.diff --pair OLD.safetensors NEW.safetensors

Both compute the same numbers of each tensor; that they agree is checked first. Whole processes,
in turn, files in the page cache. mvc reads two versions from a repository (the later is stored as
a difference from the earlier), a version and the working copy, and the two files themselves. The
script has one thread, with which its BLAS is fastest. Ends with exit code 1 when comparing two
versions takes more than 3 times as long as the script.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from benchmarks.measure import (
    MIB,
    CommandFailed,
    Cost,
    Series,
    heading,
    run,
    settle,
    table,
    warm,
)
from benchmarks.peers import MVC, PYTHON, TOOLS, MissingTool, Repository, environment

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 3.0
SCRIPT = "NumPy, two files"
VERSIONS = "`mvc diff HEAD~1 HEAD`"
NUMBERS = ("l2", "relative_l2", "cosine", "max_abs", "mean_shift")
COUNTS = ("changed_fraction", "max_at", "sign_flips")


class Disagreement(Exception):
    """mvc and the script have other numbers for a tensor."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A command, and where it runs."""

    command: list[str]
    folder: Path


def contenders(pair: Sequence[Path], folder: Path) -> tuple[dict[str, Contender], dict[str, str]]:
    """Make a repository of the pair and one whose working copy is the later file."""
    places = []
    for name, last in (("versions", "commit"), ("worktree", "change")):
        work = folder / name
        work.mkdir()
        repository = Repository(TOOLS["mvc"], work)
        repository.create()
        shutil.copyfile(pair[0], work / "model.safetensors")
        repository.add("model.safetensors")
        repository.commit()
        shutil.copyfile(pair[1], work / "model.safetensors")
        if last == "commit":
            repository.commit()
        places.append(work)
    files = [str(path.resolve()) for path in pair]
    env = environment([MVC], folder / "versions-home") | {
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    return {
        SCRIPT: Contender([PYTHON, "-m", "benchmarks.diff_plain", *files], folder),
        VERSIONS: Contender([MVC, "diff", "HEAD~1", "HEAD", "--json"], places[0]),
        "`mvc diff`, working copy": Contender([MVC, "diff", "--json"], places[1]),
        "`mvc diff --no-index`": Contender([MVC, "diff", "--no-index", "--json", *files], folder),
    }, env


def output(contender: Contender, env: dict[str, str]) -> dict[str, Any]:
    """Return what a contender prints."""
    done = subprocess.run(
        contender.command, cwd=contender.folder, env=env, capture_output=True, check=False
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(contender.command)}: {done.stderr.decode()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any], plain: dict[str, Any]) -> int:
    """Return how many tensors changed; raise Disagreement unless all numbers of both agree."""
    (file,) = found["files"]
    for tensor in file["tensors"]["changed"]:
        expected = plain[tensor["name"]]
        numbers = all(_close(tensor[key], expected[key]) for key in NUMBERS)
        if not numbers or any(tensor[key] != expected[key] for key in COUNTS):
            raise Disagreement(f"{tensor['name']}: {tensor} is not {expected}")
    return len(file["tensors"]["changed"])


def _close(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return isclose(one, two, rel_tol=1e-9, abs_tol=1e-15)


def measure(pair: Sequence[Path], repeats: int, folder: Path) -> tuple[dict[str, Series], int]:
    """Run all in turn, `repeats` times; return their costs and how many tensors changed."""
    found, env = contenders(pair, folder)
    plain = output(found[SCRIPT], env)
    others = [item for name, item in found.items() if name != SCRIPT]
    changed = max(check(output(item, env), plain) for item in others)
    costs: dict[str, list[Cost]] = {name: [] for name in found}
    settle()
    for path in pair:
        warm(path)
    for _ in range(repeats):
        for name, item in found.items():
            costs[name].append(run(item.command, cwd=item.folder, env=env))
    return {name: Series(tuple(values)) for name, values in costs.items()}, changed


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diff", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--pair", type=Path, nargs=2, required=True, metavar="FILE")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="file system to work on")
    args = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory(prefix="mvc-bench-", dir=args.folder) as scratch:
            results, changed = measure(args.pair, args.repeats, Path(scratch))
    except (CommandFailed, MissingTool, Disagreement) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    base = results[SCRIPT].best
    rows = [
        [name, f"{series.best:.2f} s", f"{series.median:.2f} s", f"{series.cpu:.2f} s",
         f"{series.peak / MIB:.0f} MiB", f"{series.best / base:.2f}"]
        for name, series in results.items()
    ]  # fmt: skip
    names = " ".join("/".join(path.parts[-2:]) for path in args.pair)
    print(heading("benchmarks.diff", [f"--pair {names} --repeats {args.repeats}"]))
    print(f"{changed} tensors changed, {args.pair[1].stat().st_size / 1e6:.1f} MB a version.\n")
    print(table(["command", "min", "median", "processor", "peak", "min / script"], rows))
    ratio = results[VERSIONS].best / base
    print(f"\nLimit {LIMIT:g} for two versions: {'kept' if ratio <= LIMIT else 'exceeded'}.")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
