"""Run the benchmarks and put what they print into docs/benchmarks.md.

    python -m benchmarks.document --families FAMILIES --models MODELS
    python -m benchmarks.document --families FAMILIES --models MODELS --only storage finetune
    python -m benchmarks.document --families FAMILIES --no-run

The page holds a pair of markers for each section; what lies between them is replaced, and all else
is left as it was written. Sizes of other contenders are taken from `benchmarks/figures` as long as
their releases and the files are the same, so that a changed mvc needs its own rows anew and
no hour; times are always taken anew, of all, and need a machine with nothing else to do. `--no-run`
writes the table of sizes from what is kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "benchmarks.svg"
SIZES = ROOT / "benchmarks" / "figures" / "storage.json"


class Unmarked(Exception):
    """The page has no place for a section."""


@dataclass(frozen=True, slots=True)
class Section:
    """What is run for a section; FAMILIES in an argument is the first folder of families.

    Attributes:
        arguments: The module and its arguments.
        families: It is told where the families and the published models lie.
    """

    arguments: tuple[str, ...]
    families: bool = False


def _finetune(base: str, new: str) -> Section:
    pair = ("--pair", f"FAMILIES/{base}", f"FAMILIES/{new}")
    return Section(("benchmarks.finetune", *pair, "--size-mb", "1000", "--repeats", "3"))


SECTIONS = {
    "storage": Section(
        ("benchmarks.storage", "--sizes", "--jobs", "2", "--read", str(SIZES), "--json", str(SIZES),
         "--plot", str(PLOT)),
        families=True,
    ),
    "speed": Section(
        ("benchmarks.storage", "--only", "full-fp32", "full-bf16", "--repeats", "3"), families=True
    ),
    "finetune": _finetune("full-fp32/step0000.safetensors", "full-fp32/step0020.safetensors"),
    "finetune-bf16": _finetune("full-bf16/step0000.safetensors", "full-bf16/step0008.safetensors"),
    "independent": _finetune(
        "independent-fp32/seed11.safetensors", "independent-fp32/seed12.safetensors"
    ),
    "commit": Section(
        ("benchmarks.commit", "--size-mb", "1000", "--tensors", "64", "--repeats", "5")
    ),
    "sync": Section(
        ("benchmarks.sync", "--pair", "FAMILIES/full-fp32/step0000.safetensors",
         "FAMILIES/full-fp32/step0020.safetensors", "--refs", "10000", "--clone-mb", "400")
    ),
    "diff": Section(
        ("benchmarks.diff", "--pair", "FAMILIES/full-fp32/step0000.safetensors",
         "FAMILIES/full-fp32/step0020.safetensors", "--repeats", "9")
    ),
    "merge": Section(
        ("benchmarks.merge", "--pair", "FAMILIES/full-fp32/step0000.safetensors",
         "FAMILIES/full-fp32/step0020.safetensors", "--devices", "100")
    ),
    "memory": Section(("benchmarks.memory", "--size-gb", "4", "--tensors", "64")),
    "startup": Section(("benchmarks.startup", "--repeats", "10")),
}  # fmt: skip


def marks(name: str) -> tuple[str, str]:
    """Return the lines around a section of the page."""
    return f"<!-- measured: {name} -->", f"<!-- end of {name} -->"


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with another section.

    Raises:
        Unmarked: It has no markers for it.
    """
    start, end = marks(name)
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise Unmarked(f"{PAGE.name} has no lines {start} and {end}")
    return f"{before}{start}\n\n{text.strip()}\n\n{end}{after}"


def command(
    section: Section, families: Sequence[Path], models: Path, folder: Path | None
) -> list[str]:
    """Return the command that measures a section."""
    module, *arguments = section.arguments
    told = [str(argument).replace("FAMILIES", str(families[0])) for argument in arguments]
    if section.families:
        told += ["--families", *map(str, families), "--models", str(models)]
    if folder and module != "benchmarks.startup":
        told += ["--folder", str(folder)]
    return [sys.executable, "-m", module, *told]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.document", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--families", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--models", type=Path, default=Path(".models"), help="default: .models")
    parser.add_argument("--folder", type=Path, help="file system to work on")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION",
                        help=", ".join(SECTIONS))  # fmt: skip
    parser.add_argument("--no-run", action="store_true", help="sizes that are kept, nothing else")
    args = parser.parse_args(argv)
    families = [folder.resolve() for folder in args.families]
    for name in ["storage"] if args.no_run else args.only or SECTIONS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        told = command(SECTIONS[name], families, args.models.resolve(), args.folder)
        told += ["--no-run"] if args.no_run else []
        done = subprocess.run(told, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            print(f"error: {name} ended with exit code {done.returncode}", file=sys.stderr)
            return 1
        PAGE.write_text(replaced(PAGE.read_text(), name, done.stdout))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
