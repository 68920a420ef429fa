"""Make a large model and its fine-tune out of a small real pair of safetensors files.

    python -m benchmarks.tuned BASE TUNED --size-mb 1000 --out FOLDER

Real updates are too much unlike noise to be made up: how far a weight moves depends on its size,
its row and its layer. So copies of the pair lie one after the other until there are enough bytes,
and in each the rows of both files are put into another order and some are negated, by the same
choice. No two copies then hold equal tensors, and every weight keeps its own update.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE, TUNED = "base.safetensors", "tuned.safetensors"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def make(base: Path, tuned: Path, size_mb: int, out: Path) -> tuple[Path, Path]:
    """Write both files from a process of its own, which keeps the caller small."""
    command = [sys.executable, "-m", "benchmarks.tuned", str(base), str(tuned)]
    flags = ["--size-mb", str(size_mb), "--out", str(out)]
    subprocess.run([*command, *flags], check=True)
    return out / BASE, out / TUNED


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies in a safetensors file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int


def tensors(path: Path) -> list[Tensor]:
    """Return the tensors of a file in the order of their bytes."""
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header: dict[str, Any] = json.loads(stream.read(size))
    found = [
        Tensor(
            name, entry["dtype"], tuple(entry["shape"]), 8 + size + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    ]  # fmt: skip
    return sorted(found, key=lambda tensor: tensor.start)


def write(source: Path, out: Path, copies: int) -> None:
    """Write so many shuffled copies of a file; equal seeds shuffle relatives alike."""
    found = tensors(source)
    data = source.read_bytes()
    with out.open("wb") as stream:
        stream.write(_header(found, copies))
        for copy in range(copies):
            for index, tensor in enumerate(found):
                part = data[tensor.start : tensor.start + tensor.length]
                for piece in _shuffled(part, tensor, (copy, index)):
                    stream.write(piece)


def _shuffled(data: bytes, tensor: Tensor, seed: tuple[int, int]) -> Iterator[bytes]:
    import numpy as np

    size = SIZES.get(tensor.dtype)
    if size is None or seed[0] == 0 or not tensor.shape:
        yield data
        return
    rows = np.frombuffer(data, f"<u{size}").reshape(tensor.shape[0], -1)
    random = np.random.default_rng(seed)
    order = random.permutation(len(rows))
    signs = random.integers(0, 2, len(rows)).astype(rows.dtype) << np.array(
        8 * size - 1, rows.dtype
    )
    yield (rows[order] ^ signs[:, None]).tobytes()


def _header(found: Sequence[Tensor], copies: int) -> bytes:
    entries, end = {}, 0
    for copy in range(copies):
        for tensor in found:
            entries[f"part.{copy}.{tensor.name}"] = {
                "dtype": tensor.dtype,
                "shape": tensor.shape,
                "data_offsets": [end, end + tensor.length],
            }
            end += tensor.length
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuned")
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("--size-mb", type=int, default=1000, help="decimal megabytes, at least")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    copies = max(1, math.ceil(args.size_mb * 1_000_000 / args.base.stat().st_size))
    write(args.base, args.out / BASE, copies)
    write(args.tuned, args.out / TUNED, copies)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
