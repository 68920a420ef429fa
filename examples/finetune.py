"""Make changed versions of a safetensors file, as further training would.

Only the bytes of the tensors chosen change: the header and all other tensors stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
LENGTH_BYTES = 8


def finetune(
    path: Path,
    *,
    learning_rate: float,
    steps: int,
    seed: int,
    chosen: Callable[[str], bool] = lambda _: True,
) -> float:
    """Move the chosen fp32 tensors of a file a little, and write the file anew.

    An update of Adam is about the learning rate in size with a sign for each weight; the sum of a
    few such steps stands in for training here.

    Returns:
        How far the weights went: the L2 norm of the change over that of the weights before.
    """
    content = bytearray(path.read_bytes())
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    random = np.random.default_rng(seed)
    before = moved = 0.0
    for name, (begin, end) in _float_tensors(content[LENGTH_BYTES:start]).items():
        weights = np.frombuffer(content, "<f4", (end - begin) // 4, start + begin)
        before += _squares(weights)
        if chosen(name):
            change = _update(random, weights.size, learning_rate, steps)
            moved += _squares(change)
            weights += change
    path.write_bytes(content)
    return float(np.sqrt(moved / before))


def _float_tensors(header: bytes | bytearray) -> dict[str, tuple[int, int]]:
    entries = json.loads(header)
    found = {
        name: tuple(entry["data_offsets"])
        for name, entry in entries.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _update(random: np.random.Generator, size: int, learning_rate: float, steps: int) -> Weights:
    directions = random.standard_normal(size, dtype=np.float32)
    np.tanh(directions * np.float32(np.sqrt(steps)), out=directions)
    directions *= np.float32(learning_rate * np.sqrt(steps))
    return directions


def _squares(values: Weights) -> float:
    return float(np.dot(values, values))
