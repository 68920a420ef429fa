"""A server and clients of it as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.world import World

MVC = [sys.executable, "-m", "mvc"]
ALL = ("--grant", "read:refs/", "--grant", "append:refs/", "--grant", "force:refs/")


def environment(home: Path, **more: str) -> dict[str, str]:
    named = {"MVC_AUTHOR_NAME": "Tester", "XDG_CONFIG_HOME": str(home), "HOME": str(home)}
    return {**dict(os.environ), **named, **more}  # noqa: TID251 - what the tests run in


@dataclass
class HttpServer:
    """`mvc serve` for a root, started with `start` as often as a test wants."""

    root: Path
    log: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*MVC, "serve", str(self.root), "--port", str(self.port), *self.options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(self.root.parent),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " at http" in line, self.log.read_text()
        self.url = line.split()[-1]
        self.port = int(self.url.rpartition(":")[2].strip("/"))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        code = process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def peak(self) -> int:
        """Return the bytes of memory that the server had at most."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024


@dataclass(frozen=True)
class Client:
    """A repository with a working copy, and a token."""

    folder: Path
    token: str = ""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MVC, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=environment(self.folder.parent, MVC_TOKEN=self.token),
        )

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*MVC, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(self.folder.parent, MVC_TOKEN=self.token),
        )


def client(folder: Path, url: str, token: str, data: bytes) -> Client:
    """Return a repository with one version and the server as its origin."""
    world = World(folder)
    world.save({"model.bin": data})
    world.repo.close()
    made = Client(folder, token)
    made("remote", "add", "origin", f"{url}fleet")
    return made
