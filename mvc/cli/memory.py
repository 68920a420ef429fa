"""How this process gets memory for long work.

glibc gives large blocks back to the kernel as soon as they are free, and gets them again, zeroed, a
moment later. A commit takes and frees a few megabytes for every chunk: a quarter of its time went
into page faults.
"""

from __future__ import annotations

import sys
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_LARGEST = 32 << 20


def keep_freed() -> None:
    """Let freed blocks stay with the process, where glibc can be told so."""
    if sys.platform != "linux":
        return
    # Loading it takes longer than a quick command does.
    import ctypes

    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in (
            (_MMAP_THRESHOLD, _LARGEST),
            (_TRIM_THRESHOLD, 16 * _LARGEST),
            (_ARENA_MAX, 1),
        ):
            mallopt(option, value)
