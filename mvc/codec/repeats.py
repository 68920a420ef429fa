"""What repeats in a chunk without a base, and slices of a sample do not show: values, and rows."""

from __future__ import annotations

import numpy as np

from mvc.codec import plain, section
from mvc.codec.segments import Segment

WINDOWS = 1 << 14
REPEATED = 0.01
"""Share of equal runs of eight bytes from which on rows may occur twice."""
PROBE = 1 << 12


def rows(low: Segment) -> bool:
    """Tell whether rows may occur twice, from runs of eight bytes all over the lowest segment."""
    windows = low[: len(low) * low.itemsize // 8 * 8 // low.itemsize].view("<u8")
    taken = np.sort(windows[:: max(1, len(windows) // WINDOWS)])
    return int(np.count_nonzero(taken[1:] == taken[:-1])) > REPEATED * len(taken)


def palette(low: Segment, top: Segment, *, entropy: bool) -> bytes | None:
    """Return the lower segment as a palette where the words take few values."""
    few, upper = plain.sample(low, PROBE), plain.sample(top, PROBE)
    if len(few) < PROBE or not few.any():
        return None
    pairs = upper.astype(np.uint32) << np.uint32(16) | few
    if len(np.unique(pairs)) > PROBE // 4:
        return None
    return section.lookup(low, top, entropy=entropy)
