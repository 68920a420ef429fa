"""The tools under measurement, as the commands that make each do the same thing.

Every tool runs with an environment of its own: a private home, no configuration of the system or
of the person who runs the benchmark.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Cost, folder_bytes, run

MVC = str(Path(sys.executable).with_name("mvc"))
PYTHON = sys.executable

_HINTS = {
    "git": "apt-get install git",
    "git-lfs": "apt-get install git-lfs",
    "dvc": "pip install dvc",
    MVC: "pip install -e .",
}
_IDENTITY = (("config", "user.name", "Bench"), ("config", "user.email", "bench@example.org"))

Arguments = tuple[str, ...]


class MissingTool(Exception):
    """A program that a benchmark needs is not installed."""


@dataclass(frozen=True, slots=True)
class Tool:
    """How one tool is told to do what all are measured on.

    Attributes:
        name: Its name in the tables.
        program: The program that takes the arguments below.
        needs: Every program that must be installed.
        metadata: The folder in which it keeps what it stores.
        version: Prints its version.
        create: Make a repository, say who commits and that models are models.
        add: Start tracking the file appended to it.
        commit: Record the working folder.
        restore: Bring back the deleted file appended to it.
    """

    name: str
    program: str
    needs: tuple[str, ...]
    metadata: str
    version: Arguments
    create: tuple[Arguments, ...]
    add: Arguments
    commit: Arguments
    restore: Arguments


TOOLS = {
    "mvc": Tool(
        name="mvc",
        program=MVC,
        needs=(MVC,),
        metadata=".mvc",
        version=("--version",),
        create=(("init",), *_IDENTITY),
        add=("add",),
        commit=("commit", "-m", "first"),
        restore=("restore",),
    ),
    "git-lfs": Tool(
        name="git-lfs",
        program="git",
        needs=("git", "git-lfs"),
        metadata=".git",
        version=("lfs", "version"),
        create=(
            ("init", "--quiet", "--initial-branch=main"),
            *_IDENTITY,
            ("lfs", "install", "--local"),
            ("lfs", "track", "*.safetensors"),
        ),
        add=("add", ".gitattributes"),
        commit=("commit", "--quiet", "-m", "first"),
        restore=("checkout", "--quiet", "--"),
    ),
}


class Repository:
    """One fresh repository of one tool.

    Attributes:
        tool: The tool it belongs to.
        worktree: Its working folder, which exists already.
    """

    def __init__(self, tool: Tool, worktree: Path) -> None:
        self.tool = tool
        self.worktree = worktree
        home = worktree.with_name(f"{worktree.name}-home")
        home.mkdir(exist_ok=True)
        self._env = environment(tool.needs, home)

    def create(self) -> Cost:
        """Make the repository and configure it."""
        first, *others = self.tool.create
        cost = self.run(*first)
        for arguments in others:
            cost += self.run(*arguments)
        return cost

    def add(self, file: str) -> Cost:
        """Start tracking a file of the working folder."""
        return self.run(*self.tool.add, file)

    def commit(self) -> Cost:
        """Record the working folder."""
        return self.run(*self.tool.commit)

    def restore(self, file: str) -> Cost:
        """Bring back a file that was deleted from the working folder."""
        return self.run(*self.tool.restore, file)

    def run(self, *arguments: str) -> Cost:
        """Run any of the tool's commands in the working folder."""
        return run([self.tool.program, *arguments], cwd=self.worktree, env=self._env)

    def stored_bytes(self) -> int:
        """Return what the repository occupies beside the working folder."""
        return folder_bytes(self.worktree / self.tool.metadata)


def environment(programs: Sequence[str], home: Path) -> dict[str, str]:
    """Return the variables with which these programs see nothing of the person running them.

    Raises:
        MissingTool: One of the programs is not installed; the message says how to get it.
    """
    folders = [str(Path(_find(program)).parent) for program in programs]
    return {
        "HOME": str(home),
        "PATH": os.pathsep.join(dict.fromkeys([*folders, os.defpath])),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
    }


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        name = Path(program).name
        raise MissingTool(f"{name} is not installed; `{_HINTS[program]}` installs it")
    return path


def versions(tools: Sequence[Tool]) -> str:
    """Return the versions of the tools taking part, in one line."""
    lines = []
    for tool in tools:
        command = [tool.program, *tool.version]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = done.stdout.strip().split(" (")[0]
        lines.append(f"{tool.name} {said}" if said[:1].isdigit() else said)
    return ", ".join(lines)
