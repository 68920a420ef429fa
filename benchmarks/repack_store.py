"""A repository as the benchmark of `mvc repack` uses it: by commands, in a home of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.measure import Cost, run
from benchmarks.peers import MVC


@dataclass(frozen=True, slots=True)
class Shape:
    """How a repository is packed: bytes, recovery of the chunk that costs most, depths.

    `expected` is what `mvc repack` foretells of its bytes.
    """

    bytes: int
    recovery: float
    depth: dict[int, int]
    expected: int

    @property
    def deepest(self) -> int:
        """Deltas in a row of the deepest chunk."""
        return max(self.depth, default=0)


class Repository:
    """A repository with its working copy in a new folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():
            folder.mkdir(parents=True)
            self.run("init")
            self.run("config", "user.name", "Bench")
            self.run("config", "user.email", "bench@example.org")

    def run(self, *arguments: str | Path) -> Cost:
        """Run a command of mvc to its end."""
        return run([MVC, *arguments], cwd=self.folder, env=self.environment())

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of mvc."""
        return subprocess.Popen(
            [MVC, *arguments], cwd=self.folder, env=self.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def asked(self, *arguments: str) -> Any:
        """Return what a command says in JSON."""
        command = [MVC, *arguments, "--json"]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, check=True
        )
        return json.loads(done.stdout)

    def environment(self) -> dict[str, str]:
        """Return the variables that commands see."""
        return {
            "HOME": str(self.folder.parent),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LC_ALL": "C.UTF-8",
        }

    def record(self, file: Path) -> Cost:
        """Commit a file under the name that all versions have."""
        place = self.folder / f"model{file.suffix}"
        shutil.copyfile(file, place.with_suffix(".saving"))
        place.with_suffix(".saving").replace(place)
        return self.run("add", place.name) + self.run("commit", "-m", file.stem)

    def shape(self, *limits: str) -> Shape:
        """Return how it is packed now, and what a repack within limits would make of it."""
        told = self.asked("repack", "--dry-run", *limits)
        before = told["before"]
        depth = {int(key): count for key, count in before["depth"].items()}
        return Shape(before["bytes"], before["recovery"], depth, told["after"]["bytes"])

    def copy(self, folder: Path) -> Self:
        """Return a copy in another folder."""
        shutil.copytree(self.folder, folder)
        return type(self)(folder)

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder)


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
