"""The numbers of `mvc diff` by NumPy alone, from two memory-mapped safetensors files.

    python -m benchmarks.diff_plain OLD NEW > numbers.json

What someone would write who needs these numbers once: float32 tensors of equal names and shapes,
blocks of several megabytes, float64 sums by BLAS, no check of what is read.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 20


def tensors(path: Path) -> Iterator[tuple[str, list[int], Any]]:
    """Yield name, shape and elements of each tensor of a file."""
    with path.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    for name, item in header.items():
        start, end = item["data_offsets"]
        values = np.frombuffer(data, "<f4", (end - start) // 4, 8 + size + start)
        yield name, item["shape"], values


def compare(shape: list[int], old: Any, new: Any) -> dict[str, Any]:
    """Return how far two tensors are apart."""
    changed = flips = 0
    norm2 = new2 = l2 = product = shift = 0.0
    greatest, where = -1.0, 0
    histogram = np.zeros(4096, np.int64)
    for at in range(0, len(old), BLOCK):
        one, two = old[at : at + BLOCK], new[at : at + BLOCK]
        changed += int(np.count_nonzero(one.view(np.uint32) != two.view(np.uint32)))
        before, after = one.astype(np.float64), two.astype(np.float64)
        change = after - before
        norm2 += np.dot(before, before)
        new2 += np.dot(after, after)
        l2 += np.dot(change, change)
        product += np.dot(before, after)
        shift += change.sum()
        flips += int(np.count_nonzero(before * after < 0))
        size = np.abs(change)
        place = int(size.argmax())
        if size[place] > greatest:
            greatest, where = float(size[place]), at + place
        # Sign and exponent of a float64 are its upper 12 bits.
        bins = (change.view(np.uint64) >> np.uint64(52)).view(np.int64)
        histogram += np.bincount(bins, minlength=4096)
    norms = float(np.sqrt(norm2) * np.sqrt(new2))
    return {
        "changed_fraction": changed / len(old),
        "l2": float(np.sqrt(l2)),
        "relative_l2": float(np.sqrt(l2 / norm2)) if norm2 else None,
        "cosine": float(product / norms) if norms else None,
        "max_abs": greatest,
        "max_at": [int(index) for index in np.unravel_index(where, shape)],
        "mean_shift": float(shift / len(old)),
        "sign_flips": flips,
        "histogram": {int(bin_): int(histogram[bin_]) for bin_ in np.flatnonzero(histogram)},
    }


def main() -> None:
    old = {name: values for name, _, values in tensors(Path(sys.argv[1]))}
    found = {
        name: compare(shape, old[name], values)
        for name, shape, values in tensors(Path(sys.argv[2]))
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
