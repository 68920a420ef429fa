"""The stores that take part in the comparison beside mvc, as the commands a user would give."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import xet
from benchmarks.extras import has
from benchmarks.histories import Version
from benchmarks.measure import Cost, folder_bytes, run
from benchmarks.peers import MissingTool
from benchmarks.storage_store import Mvc, MvcFast, MvcRepacked, Store, find_program


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
        program = find_program("git", "apt-get install git")
        return run([program, *arguments], cwd=self.worktree, env=self.environment())


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

    def restore(self, number: int, target: Path) -> Cost:
        """See Store."""
        # It finds the repository by the folder that it writes to, which must be the only one.
        files = [path for path in self.worktree.iterdir() if not path.name.startswith(".git")]
        for path in files:
            path.unlink()
        cost = self.git("checkout", "--quiet", "--force", f"v{number}", "--", ".")
        for path in files:
            path.rename(target / path.name)
        return cost

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
    "mvc-repacked": MvcRepacked,
    "xet": Xet,
    "git-theta": GitTheta,
    "git-lfs": GitLfs,
    "restic": Restic,
    "borg": Borg,
    "xdelta3": Xdelta,
}
