"""Random draws that depend on a seed, a name and a place alone, never on how work is cut.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): the
draw of element i is a function of key + (i + 1) * gamma, so any part can be drawn by itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mvc.base.ids import digest

_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def key(seed: int, name: str, side: int) -> int:
    """Return the key of one side of a tensor."""
    text = f"mvc merge draws\0{seed}\0{side}\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(digest(text)[:8], "little")


def kept(key: int, start: int, count: int, density: float) -> NDArray[np.bool_]:
    """Return which of `count` elements from `start` on are kept, each with chance `density`."""
    first = (key + (start + 1) * _GAMMA) & _MASK
    draws = np.arange(count, dtype=np.uint64)
    draws *= np.uint64(_GAMMA)
    draws += np.uint64(first)
    draws ^= draws >> np.uint64(30)
    draws *= np.uint64(0xBF58476D1CE4E5B9)
    draws ^= draws >> np.uint64(27)
    draws *= np.uint64(0x94D049BB133111EB)
    draws ^= draws >> np.uint64(31)
    below: NDArray[np.bool_] = (draws >> np.uint64(11)) < np.uint64(math.ceil(density * 2**53))
    return below
