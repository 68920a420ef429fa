"""Stores that take part in the comparison of stores, as the commands a user would give.

Each has a home of its own and sees nothing of the person running the benchmark. It is given the
versions of a history in a working folder, one after the other, and must give one back in an empty
folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import xet
from benchmarks.extras import has
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
        self.program = _find(*self.needs)
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


def _find(program: str, hint: str) -> str:
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
            self._check_options()
        self.run("init")
        self.run("config", "user.name", "Bench")
        self.run("config", "user.email", "bench@example.org")

    def _check_options(self) -> None:
        """Raise MissingTool when this mvc does not know an option of `commit`."""
        try:
            self.run("commit", *self.options, "--help")
        except CommandFailed:
            options = " ".join(self.options)
            raise MissingTool(f"this mvc has no `commit {options}`") from None

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


class GitLfs(Store):
    """git with every file in git-lfs."""

    needs = ("git-lfs", "apt-get install git-lfs")
    attributes = "* filter=lfs diff=lfs merge=lfs -text\n.gitattributes !filter !diff !merge\n"

    def create(self) -> None:
        """See Store."""
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Bench")
        self.git("config", "user.email", "bench@example.org")
        self.git("lfs", "install", "--local")
        (self.worktree / ".gitattributes").write_text(self.attributes)

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        cost = self.git("add", "--all")
        cost += self.git("commit", "--quiet", "--allow-empty", "-m", f"Version {number}")
        self.git("tag", f"v{number}")
        return cost

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        return self.git(f"--work-tree={target}", "checkout", "--quiet", f"v{number}", "--", ".")

    def stored(self) -> int:
        """See Store."""
        return folder_bytes(self.worktree / ".git")

    def git(self, *arguments: str) -> Cost:
        """Run git in the working folder."""
        return run([_git(), *arguments], cwd=self.worktree, env=self.environment())


def _git() -> str:
    return _find("git", "apt-get install git")


class GitTheta(GitLfs):
    """git-theta, which keeps each tensor in git-lfs; a file returns with equal tensors only."""

    needs = ("git-theta", "pip install 'git-theta[pytorch,safetensors]' safetensors")
    exact = False
    attributes = "* filter=theta merge=theta diff=theta\n.gitattributes !filter !merge !diff\n"
    kinds = ((".safetensors", "safetensors"), ("", "pytorch"))
    _kind = "pytorch"

    def create(self) -> None:
        """See Store."""
        self.run("install")
        super().create()

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        places = [file.place for file in version.files]
        self._kind = next(
            kind for end, kind in self.kinds if all(place.endswith(end) for place in places)
        )
        return super().record(number, version)

    def environment(self) -> dict[str, str]:
        """See Store."""
        return super().environment() | {"GIT_THETA_CHECKPOINT_TYPE": self._kind}


class Restic(Store):
    """restic: content-defined chunks, zstd, encryption."""

    needs = ("restic", "apt-get install restic")

    def create(self) -> None:
        """See Store."""
        self.run("init", "--quiet")

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        return self.run("backup", "--quiet", "--no-cache", "--tag", f"v{number}", ".")

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        tag = ("--tag", f"v{number}")
        cost = self.run("restore", "latest", "--quiet", "--no-cache", *tag, "--target", target)
        _lift(target, self.worktree)
        return cost

    def environment(self) -> dict[str, str]:
        """See Store."""
        # An empty repository of a benchmark has nothing to hide.
        secret = {"RESTIC_PASSWORD": "benchmark"}
        return super().environment() | {"RESTIC_REPOSITORY": str(self.kept)} | secret


def _lift(target: Path, worktree: Path) -> None:
    """Undo that restored files lie below the whole path of the working folder."""
    below = target / worktree.resolve().relative_to("/")
    if below.is_dir():
        for path in below.iterdir():
            path.rename(target / path.name)


class Borg(Store):
    """borg: content-defined chunks, zstd, not encrypted."""

    needs = ("borg", "apt-get install borgbackup")

    def create(self) -> None:
        """See Store."""
        self.run("init", "--encryption", "none", self.kept)

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        return self.run("create", "--compression", "zstd,3", f"{self.kept}::v{number}", ".")

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        return self.run("extract", f"{self.kept}::v{number}", cwd=target)

    def environment(self) -> dict[str, str]:
        """See Store."""
        yes = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        return super().environment() | {"BORG_BASE_DIR": str(self.home)} | yes


class Xet(Store):
    """hf-xet's own store in a local folder: its chunks and shards, without caches."""

    needs = (sys.executable, "")

    def create(self) -> None:
        """See Store."""
        if not has("hf_xet"):
            raise MissingTool("hf-xet is not installed; `pip install -e '.[bench]'` installs it")

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        places = [file.place for file in version.files]
        return self.run("-P", xet.__file__, "upload", self.kept, self._list(number), *places)

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        return self.run("-P", xet.__file__, "download", self.kept, self._list(number), target)

    def stored(self) -> int:
        """See Store."""
        xorbs = self.kept / "xet" / "xorbs"
        return sum(folder_bytes(xorbs / name) for name in ("xorbs", "shards"))

    def _list(self, number: int) -> Path:
        return self.folder / f"v{number}.json"


class Xdelta(Store):
    """xdelta3: each file as a binary difference from its parent, if it has one."""

    needs = ("xdelta3", "apt-get install xdelta3")
    window = str(512 << 20)

    def record(self, number: int, version: Version) -> Cost:
        """See Store."""
        (self.kept / str(number)).mkdir()
        cost = Cost(0.0, 0.0, 0)
        known = []
        for index, file in enumerate(version.files):
            source = ("-s", file.parent) if file.parent else ()
            delta = self._delta(number, index)
            cost += self.run("-e", "-B", self.window, *source, file.place, delta)
            known.append([file.place, str(file.parent) if file.parent else None])
        self._list(number).write_text(json.dumps(known))
        return cost

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        cost = Cost(0.0, 0.0, 0)
        for index, (place, parent) in enumerate(json.loads(self._list(number).read_text())):
            source = ("-s", parent) if parent else ()
            delta = self._delta(number, index)
            cost += self.run("-d", "-B", self.window, *source, delta, target / place)
        return cost

    def _delta(self, number: int, index: int) -> Path:
        return self.kept / str(number) / str(index)

    def _list(self, number: int) -> Path:
        return self.folder / f"v{number}.json"


STORES: dict[str, Callable[[Path], Store]] = {
    "mvc": Mvc,
    "mvc-fast": MvcFast,
    "xet": Xet,
    "git-theta": GitTheta,
    "git-lfs": GitLfs,
    "restic": Restic,
    "borg": Borg,
    "xdelta3": Xdelta,
}
