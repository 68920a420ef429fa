"""The most memory that this process has taken.

`ru_maxrss` alone will not do: what a process had taken when it started another one counts as that
one's own. Linux tells what the program itself took, and can begin anew.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_BYTES = sys.platform == "darwin"


def peak() -> int:
    """Return the most bytes of this process that were in memory at one time."""
    with suppress(OSError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << (0 if _BYTES else 10)


def restart() -> int:
    """Begin to measure anew where the system can; return the peak from which it counts."""
    with suppress(OSError):
        _FORGET.write_text("5", encoding="ascii")
    return peak()
