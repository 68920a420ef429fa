"""What every store in the comparison must do, and how mvc does it.

A store has a home of its own and sees nothing of the person running the benchmark. It is given the
versions of a history in a working folder, one after the other, and must give one back in an empty
folder.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.histories import Version
from benchmarks.measure import CommandFailed, Cost, folder_bytes, run
from benchmarks.peers import MVC, MissingTool

PATHS = (str(Path(sys.executable).parent), os.defpath)


class Store:
    """One empty store.

    Attributes:
        needs: The program it runs, and how that is installed.
        exact: Files come back byte for byte.
        linear: A version that does not begin from the one before is recorded after it all the
            same, because the store has no use for where it began.
    """

    needs: tuple[str, str] = ("", "")
    exact = True
    linear = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worktree = folder / "work"
        self.kept = folder / "kept"
        self.home = folder / "home"
        for path in (self.worktree, self.kept, self.home):
            path.mkdir(parents=True)
        self.program = find_program(*self.needs)
        self.create()

    def create(self) -> None:
        """Make the store."""

    def begin(self, start: int) -> None:
        """Go back to a version in the working folder, to begin from it; not `linear` alone."""

    def record(self, number: int, version: Version) -> Cost:
        """Store what lies in the working folder as a version."""
        raise NotImplementedError

    def restore(self, number: int, target: Path) -> Cost:
        """Write the files of a version to an empty folder."""
        raise NotImplementedError

    def finish(self) -> Cost | None:
        """Do what a user does when all versions are in; None if that is nothing."""
        return None

    def stored(self) -> int:
        """Return the bytes that the store occupies."""
        return folder_bytes(self.kept)

    def environment(self) -> dict[str, str]:
        """Return the variables that the commands see."""
        folders = [str(Path(self.program).parent), *PATHS]
        return {
            "HOME": str(self.home),
            "PATH": os.pathsep.join(dict.fromkeys(folders)),
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C.UTF-8",
        }

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> Cost:
        """Run the program, by default in the working folder."""
        command = [self.program, *arguments]
        return run(command, cwd=cwd or self.worktree, env=self.environment())


def find_program(program: str, hint: str) -> str:
    path = shutil.which(program, path=os.pathsep.join([*os.get_exec_path(), *PATHS]))
    if path is None:
        raise MissingTool(f"{Path(program).name} is not installed; `{hint}` installs it")
    return path


class Mvc(Store):
    """mvc, with nothing configured but who commits."""

    needs = (MVC, "pip install -e .")
    linear = False
    options: tuple[str, ...] = ()

    def create(self) -> None:
        """See Store."""
        if self.options:
            self.check("commit", *self.options)
        self.run("init")
        self.run("config", "user.name", "Bench")
        self.run("config", "user.email", "bench@example.org")

    def check(self, *arguments: str) -> None:
        """Raise MissingTool when this mvc does not know a command or an option."""
        try:
            self.run(*arguments, "--help")
        except CommandFailed:
            raise MissingTool(f"this mvc has no `{' '.join(arguments)}`") from None

    def begin(self, start: int) -> None:
        """See Store."""
        self.run("switch", "--create", f"from-{start}", f"v{start}")

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        cost = self.run("add", ".")
        cost += self.run("commit", "--allow-empty", "-m", f"Version {number}", *self.options)
        self.run("tag", f"v{number}")
        return cost

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        target.rmdir()
        return self.run("export", f"v{number}", target)

    def stored(self) -> int:
        """See Store."""
        return folder_bytes(self.worktree / ".mvc")


class MvcFast(Mvc):
    """mvc with its fast codec."""

    options = ("--codec", "fast")


class MvcRepacked(Mvc):
    """mvc, and `repack` when all versions are in."""

    def create(self) -> None:
        """See Store."""
        self.check("repack")
        super().create()

    def finish(self) -> Cost | None:
        """See Store."""
        return self.run("repack")
