"""A central repository that is reached through a bad connection, over HTTP or SSH."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvc.ops.fsck import fsck
from mvc.ops.token import TokenRequest, create
from mvc.repo.repository import Repository
from tests.e2e.http_server import HttpServer, environment
from tests.e2e.relay import Relay, Way, relay
from tests.e2e.ssh_server import SshServer
from tests.e2e.world import World, sha256s

CARRIERS = ("http", "ssh")
ALL = ("read:refs/", "append:refs/", "force:refs/")
PATIENCE = 900


@dataclass(frozen=True)
class Place:
    """Where clients in `folder` find the repository `fleet`, and the connection between."""

    folder: Path
    central: Path
    url: str
    relay: Relay
    variables: dict[str, str]

    def run(self, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mvc", *arguments],
            cwd=where,
            capture_output=True,
            text=True,
            env=environment(self.folder, **self.variables),
            timeout=PATIENCE,
            check=False,
        )

    def json(self, where: Path, *arguments: str) -> Any:
        done = self.run(where, *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def device(self, name: str, data: bytes) -> World:
        """Return a repository with one version that has the place as its origin."""
        world = World(self.folder / name)
        world.save({"model.bin": data})
        done = self.run(world.root, "remote", "add", "origin", self.url)
        assert done.returncode == 0, done.stderr
        return world

    def whole(self, *copies: Path) -> None:
        """Fail unless both sides are sound, and the copies are what the centre has."""
        sound(self.central, None)
        for copy in copies:
            sound(copy / ".mvc", copy)
        assert len({tuple(sha256s(copy).items()) for copy in copies}) == 1
        with Repository(self.central, None) as centre:
            main = centre.refs.get("refs/heads/main")
            for copy in copies:
                with Repository(copy / ".mvc", copy) as repo:
                    assert repo.head_commit() == main


def sound(folder: Path, worktree: Path | None) -> None:
    with Repository(folder, worktree) as repo:
        report = fsck(repo)
        assert report.ok, (folder, report.problems)


@contextmanager
def placed(
    carrier: str,
    folder: Path,
    every: int | None = None,
    way: Way = "close",
    times: int | None = None,
    *,
    lose: Callable[[Path], bool] | None = None,
    part_bytes: int | None = None,
    idle: float = 60,
) -> Iterator[Place]:
    """Serve an empty `fleet` behind a relay; `part_bytes` and `lose` as they are there."""
    folder.mkdir()
    (folder / "mvc").mkdir()
    (folder / "mvc" / "config.toml").write_text(f"[core]\nidle_seconds = {idle}\n")
    hub = {"http": _http, "ssh": _ssh}[carrier]
    with hub(folder, part_bytes, idle) as (port, central, url, variables):
        Repository.init(central, bare=True).close()
        losing = None if lose is None else lambda: lose(central)
        with relay(port, every, way, times, losing) as between:
            variables = {key: text.format(port=between.port) for key, text in variables.items()}
            yield Place(folder, central, url.format(port=between.port), between, variables)


Hub = tuple[int, Path, str, dict[str, str]]


@contextmanager
def _http(folder: Path, part_bytes: int | None, idle: float) -> Iterator[Hub]:
    root = folder / "hub"
    root.mkdir()
    config = folder / "serve.toml"
    space = "" if part_bytes is None else f"[space]\npart_bytes = {part_bytes}\n"
    config.write_text(f"[limits]\nidle_seconds = {idle:g}\n{space}")
    server = HttpServer(root, folder / "log", ("--config", str(config)))
    server.start()
    try:
        token = create(root, TokenRequest("all", grants=ALL)).secret
        url = "http://127.0.0.1:{port}/fleet"
        yield server.port, root / "fleet", url, {"MVC_TOKEN": token}
    finally:
        assert server.end() == 0


@contextmanager
def _ssh(folder: Path, part_bytes: int | None, idle: float) -> Iterator[Hub]:
    server = SshServer(folder / "hub")
    try:
        ssh = server.key("owner", server.forced())
        yield server.port, server.root / "fleet", "hub:fleet", {"MVC_SSH": f"{ssh} -p {{port}}"}
    finally:
        server.stop()
