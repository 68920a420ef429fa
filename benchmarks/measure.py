"""Run a command as a child process and measure what it costs.

Peak memory is that of the largest single process among the child and its descendants. A child
inherits the high-water mark of the process that starts it, so the benchmark programs stay small:
they import no NumPy and make their input files in another process.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


class CommandFailed(Exception):
    """A measured command did not end with exit code 0."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of one or more commands cost.

    Attributes:
        wall: Elapsed seconds.
        cpu: User and system seconds of the child and its descendants.
        peak: Resident bytes of the largest single process.
    """

    wall: float
    cpu: float
    peak: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Cost:
    """Run a command to its end and return its cost.

    Raises:
        CommandFailed: It ended with an exit code other than 0; the message holds its output.
    """
    arguments = [str(part) for part in command]
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            arguments, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
            raise CommandFailed(f"{' '.join(arguments)}: exit {child.returncode}\n{text}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak)


@dataclass(frozen=True, slots=True)
class Series:
    """Repeated measurements of one step."""

    costs: tuple[Cost, ...]

    @property
    def best(self) -> float:
        """Shortest wall time in seconds."""
        return min(cost.wall for cost in self.costs)

    @property
    def median(self) -> float:
        """Median wall time in seconds."""
        return statistics.median(cost.wall for cost in self.costs)

    @property
    def cpu(self) -> float:
        """Median processor time in seconds."""
        return statistics.median(cost.cpu for cost in self.costs)

    @property
    def peak(self) -> int:
        """Largest resident size of any run in bytes."""
        return max(cost.peak for cost in self.costs)


def settle() -> None:
    """Write dirty pages out, so that no step pays for what an earlier one left behind."""
    os.sync()


def warm(path: Path) -> None:
    """Read a file once, so that every contender finds it in the page cache."""
    with path.open("rb", buffering=0) as stream:
        while stream.read(4 * MIB):
            pass


def folder_bytes(folder: Path) -> int:
    """Return the total size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def machine() -> str:
    """Describe where the figures were taken, in one line."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return (
        f"{os.cpu_count()} processors ({processor}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table whose first column is text and whose others are figures."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def heading(module: str, arguments: Sequence[str]) -> str:
    """Return the lines above a table: the command that made it and the machine."""
    command = " ".join(["python -m", module, *arguments])
    return f"`{command}`\n\n{machine()}\n"
