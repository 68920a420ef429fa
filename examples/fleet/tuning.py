"""The ways in which devices of the fleet change a model, each as some training would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from examples.finetune import LENGTH_BYTES, finetune

RATE = 2e-5
RANK = 4
ROWS = 40

Way = Callable[[Path, int], None]


def every_layer(path: Path, seed: int) -> None:
    """Train on all weights for a while."""
    finetune(path, learning_rate=RATE, steps=20, seed=seed)


def last_layer(path: Path, seed: int) -> None:
    """Train the last layer alone."""
    names = sorted(matrices(path))
    layers = [name for name in names if ".layer." in name]
    last = layers[-1].split(".attention")[0].split(".output")[0] if layers else names[-1]
    finetune(path, learning_rate=RATE, steps=50, seed=seed, chosen=lambda name: last in name)


def adapter(path: Path, seed: int) -> None:
    """Merge a low-rank adapter into the query and value matrices, or into all there are."""
    found = matrices(path)
    chosen = [name for name in found if "query" in name or "value" in name] or list(found)
    random = np.random.default_rng(seed)
    with path.open("r+b") as file:
        for name in chosen:
            at, (rows, columns) = found[name]
            file.seek(at)
            weights = np.frombuffer(file.read(rows * columns * 4), "<f4").reshape(rows, columns)
            up = random.normal(0, 0.02, (rows, RANK))
            down = random.normal(0, 0.02, (RANK, columns))
            file.seek(at)
            file.write((weights + up @ down).astype("<f4").tobytes())


def few_words(path: Path, seed: int) -> None:
    """Train the embeddings of a few words, which are rows of the largest matrix."""
    at, (rows, columns) = max(matrices(path).values(), key=lambda item: item[1][0] * item[1][1])
    random = np.random.default_rng(seed)
    with path.open("r+b") as file:
        for row in random.choice(rows, min(ROWS, rows), replace=False):
            file.seek(at + int(row) * columns * 4)
            weights = np.frombuffer(file.read(columns * 4), "<f4")
            file.seek(-columns * 4, 1)
            file.write((weights + random.normal(0, 1e-3, columns)).astype("<f4").tobytes())


WAYS: dict[str, Way] = {
    "every layer": every_layer,
    "an adapter merged": adapter,
    "the last layer": last_layer,
    "a few words": few_words,
}


def matrices(path: Path) -> dict[str, tuple[int, tuple[int, int]]]:
    """Return where the float32 matrices of a safetensors file begin, and their shapes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    return {
        name: (LENGTH_BYTES + length + entry["data_offsets"][0], tuple(entry["shape"]))
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32" and len(entry["shape"]) == 2
    }
