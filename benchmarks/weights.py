"""Write a safetensors file of the size asked for, filled like a trained network.

    python -m benchmarks.weights FILE --size-mb 1000 --tensors 64

Weights are normal with a standard deviation of 0.02, the scale of a transformer's matrices, and
depend only on the seed. They are made block by block, so any size fits in memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COLUMNS = 1024
ROW_BYTES = COLUMNS * 4
BLOCK_ROWS = 4096
SIGMA = 0.02


def make(path: Path, size_mb: int, tensors: int, seed: int = 0) -> None:
    """Write the file from a process of its own, which keeps the caller small."""
    options = {"--size-mb": size_mb, "--tensors": tensors, "--seed": seed}
    flags = [str(part) for pair in options.items() for part in pair]
    subprocess.run([sys.executable, "-m", "benchmarks.weights", str(path), *flags], check=True)


def write(path: Path, size_mb: int, tensors: int, seed: int) -> None:
    """Write an fp32 file of about `size_mb` decimal megabytes split into equal tensors."""
    import numpy as np

    rows = max(1, size_mb * 1_000_000 // (ROW_BYTES * tensors))
    random = np.random.default_rng(seed)
    with path.open("wb") as stream:
        stream.write(_header(rows, tensors))
        for _ in range(tensors):
            for start in range(0, rows, BLOCK_ROWS):
                shape = (min(BLOCK_ROWS, rows - start), COLUMNS)
                block = random.standard_normal(shape, dtype=np.float32)
                stream.write((block * np.float32(SIGMA)).astype("<f4", copy=False).data)


def _header(rows: int, tensors: int) -> bytes:
    size = rows * ROW_BYTES
    entries = {
        f"layers.{index}.weight": {
            "dtype": "F32",
            "shape": [rows, COLUMNS],
            "data_offsets": [index * size, (index + 1) * size],
        }
        for index in range(tensors)
    }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights")
    parser.add_argument("file", type=Path)
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--tensors", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    write(args.file, args.size_mb, args.tensors, args.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
