"""Killed at random moments of a push or a clone, client and server lose nothing, and go on."""

from __future__ import annotations

import hashlib
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mvc.cli.main import run
from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.ops.token import TokenRequest, create
from mvc.repo import remotes
from mvc.repo.repository import Repository
from tests.e2e.http_server import HttpServer
from tests.e2e.ssh_server import MVC, SshServer, lacking
from tests.e2e.world import ENVIRONMENT, World, network, nudged, weights

PART_BYTES = 30_000
LAYERS, LAYER_BYTES = 8, 80_000
PATIENCE = 300
MOMENTS, MANY_MOMENTS, BATCH = 10, 100, 10
NETWORK = 7
MAIN = "refs/heads/main"
ALL = ("read:refs/", "append:refs/", "force:refs/")

directions = pytest.mark.parametrize("direction", ["push", "clone"])
carriers = pytest.mark.parametrize(
    "carrier",
    [
        "path",
        "http",
        pytest.param(
            "ssh", marks=pytest.mark.skipif(lacking() is not None, reason=lacking() or "")
        ),
    ],
)


class Place:
    """Where clients find the repository `central`; a server by path is the client itself."""

    url = "../central"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.central = root / "central"
        Repository.init(self.central, bare=True, environment=ENVIRONMENT).close()

    def kill(self, client: subprocess.Popen[str]) -> bool:
        """Kill the server and let it start again; False where none was at work for a client."""
        return False

    def stop(self) -> None:
        """End the server in peace."""


class HttpPlace(Place):
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self._server = HttpServer(root, root / "log")
        self._server.start()
        monkeypatch.setenv("MVC_TOKEN", create(root, TokenRequest("all", grants=ALL)).secret)
        self.url = f"{self._server.url}central"

    def kill(self, client: subprocess.Popen[str]) -> bool:
        running = client.poll() is None
        self._server.end(signal.SIGKILL)
        self._server.start()
        return running

    def stop(self) -> None:
        assert self._server.end() == 0


class SshPlace(Place):
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self._server = SshServer(root / "hub")
        self._ids = root / "hub" / "ids"
        self._ids.touch()
        # A shell's id stays that of what it becomes.
        command = f"echo $$ >> {self._ids}; exec {MVC} serve --stdio --root {root}"
        monkeypatch.setenv("MVC_SSH", self._server.key("owner", command))
        self.url = "hub:central"

    def kill(self, client: subprocess.Popen[str]) -> bool:
        while client.poll() is None:
            *_, last = ["0", *self._ids.read_text().split()]
            if b"serve" in _command(int(last)):
                os.kill(int(last), signal.SIGKILL)
                return True
            # Ssh has not come so far.
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        self._server.stop()


def _command(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def placed(carrier: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    root.mkdir()
    if carrier == "path":
        place = Place(root)
    else:
        place = {"http": HttpPlace, "ssh": SshPlace}[carrier](root, monkeypatch)
    try:
        yield place
    finally:
        place.stop()


class Site:
    """A working copy `a` and what was acknowledged of it, and clones of the centre."""

    def __init__(self, place: Place, direction: str) -> None:
        self.place = place
        self.direction = direction
        self.acknowledged: dict[str, str] = {}
        self._layers = [weights(seed, LAYER_BYTES) for seed in range(LAYERS)]
        self._world = World(place.root / "a")
        (self._world.repo.folder / "config.toml").write_text('[user]\nname = "Tester"\n')
        remotes.add(self._world.repo, remotes.Remote("origin", place.url))
        self.save(0)
        if direction == "clone":
            assert run(self.pushing) == 0
            self._acknowledge()

    @property
    def pushing(self) -> list[str]:
        return ["-C", str(self.place.root / "a"), "push", "-q", "origin", "main"]

    def command(self, number: int) -> list[str]:
        if self.direction == "push":
            return self.pushing
        root = self.place.root
        url = str(self.place.central) if self.place.url.startswith("..") else self.place.url
        return ["-C", str(root), "clone", "-q", url, f"c{number}"]

    def save(self, number: int) -> None:
        """Make another version."""
        layers = [nudged(data, 100 * number + at) for at, data in enumerate(self._layers)]
        files = {"m.safetensors": network({f"layer{at}": data for at, data in enumerate(layers)})}
        self._new = self._world.save(files, f"version {number}").id.hex()
        self._sha256 = hashlib.sha256(files["m.safetensors"]).hexdigest()

    def _acknowledge(self) -> None:
        self.acknowledged[self._new] = self._sha256

    def looked_into(self, number: int, code: int) -> None:
        """Look at what a command left that was killed, or whose server was; then run it again."""
        if code == 0 and self.direction == "push":
            self._acknowledge()
        self._sound()
        target = self.place.root / f"c{number}"
        if target.exists():
            assert _sha256(target / "m.safetensors") == self._sha256, "not whole, but there"
            shutil.rmtree(target)
        assert run(self.command(number)) == 0, "running it again did not work"
        self._acknowledge()
        self._sound()
        if self.direction == "clone":
            assert _sha256(target / "m.safetensors") == self._sha256
            _whole(target / ".mvc", target)
            shutil.rmtree(target)
        folders = (self.place.central, self.place.root / "a/.mvc")
        assert not [path for one in folders for path in one.glob("incoming/**/*.head")]
        assert not list(self.place.root.glob(".c*")), "a clone was left unfinished"

    def _sound(self) -> None:
        """Check that both sides are whole, and the centre has what it said it has."""
        _whole(self.place.root / "a/.mvc", self.place.root / "a")
        _whole(self.place.central, None)
        with Repository(self.place.central, None) as centre:
            main = centre.refs.get(MAIN)
            last = next(reversed(self.acknowledged), None)
            assert (main.hex() if main else None) in (last, self._new)

    def recovered(self) -> None:
        """Check that every version that was acknowledged comes out as it went in."""
        out = self.place.root / "out"
        with Repository(self.place.central, None, ENVIRONMENT) as centre:
            for commit, wanted in self.acknowledged.items():
                export(centre, commit, out)
                assert _sha256(out / "m.safetensors") == wanted
                shutil.rmtree(out)


def _whole(folder: Path, worktree: Path | None) -> None:
    with Repository(folder, worktree, ENVIRONMENT) as repo:
        report = fsck(repo)
        assert report.ok, (folder, report.problems)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(site: Site, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.sync_victim", str(PART_BYTES), *site.command(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        pytest.fail(child.communicate(timeout=PATIENCE)[1])
    child.stdin.write("go\n")
    child.stdin.flush()


class Campaign:
    """Kills commands at random moments until so many were killed."""

    def __init__(self, site: Site, draw: random.Random) -> None:
        self._site = site
        self._draw = draw
        self._number = 0
        self.tries = 0
        self.killed = {"client": 0, "server": 0}

    def run(self, times: int) -> None:
        longest = self._longest()
        child = started(self._site, self._number + 1)
        try:
            while sum(self.killed.values()) < times:
                self.tries += 1
                assert self.tries < 10 * times, "commands end before they can be killed"
                self._next()
                go(child)
                code, lasted = self._struck(child, self._draw.uniform(0, longest))
                longest = min(longest, lasted)
                # The next one starts while the last one is looked into.
                child = started(self._site, self._number + 1)
                self._site.looked_into(self._number, code)
        finally:
            child.kill()
            child.communicate()
        self._site.recovered()

    def _next(self) -> None:
        self._number += 1
        if self._site.direction == "push":
            self._site.save(self._number)

    def _longest(self) -> float:
        """Return how long a command takes when nobody kills it."""
        # The first push has more to do than those that follow.
        for _ in range(2):
            self._next()
            child = started(self._site, self._number)
            go(child)
            begun = time.monotonic()
            _, errors = child.communicate(timeout=PATIENCE)
            assert child.returncode == 0, errors
            longest = time.monotonic() - begun
            self._site.looked_into(self._number, 0)
        return longest

    def _struck(self, child: subprocess.Popen[str], after: float) -> tuple[int, float]:
        """Kill the server and the client in turn.

        Return how the client ended, and after how long where nobody killed it.
        """
        begun = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            child.wait(after)
            _, errors = child.communicate(timeout=PATIENCE)
            assert child.returncode == 0, errors
            return 0, time.monotonic() - begun
        path = self._site.place.url.startswith("..")
        if path or self.killed["client"] <= self.killed["server"]:
            child.kill()
            _, errors = child.communicate(timeout=PATIENCE)
            self.killed["client"] += child.returncode == -signal.SIGKILL
            assert child.returncode in (0, -signal.SIGKILL), errors
        else:
            self.killed["server"] += self._site.place.kill(child)
            _, errors = child.communicate(timeout=PATIENCE)
            assert child.returncode in (0, NETWORK), errors
        return child.returncode, math.inf


def campaign(
    carrier: str, direction: str, root: Path, monkeypatch: pytest.MonkeyPatch, seed: str, times: int
) -> str:
    with placed(carrier, root, monkeypatch) as place:
        found = Campaign(Site(place, direction), random.Random(seed))
        found.run(times)
    told = f"{carrier}, {direction}: killed {found.killed} in {found.tries} tries"
    print(told)
    return told


@directions
@carriers
def test_kills_at_random_moments_lose_nothing_that_was_acknowledged(
    carrier: str,
    direction: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: pytest.RecordProperty,
) -> None:
    seed = carrier + direction
    told = campaign(carrier, direction, tmp_path / "at", monkeypatch, seed, MOMENTS)
    record_property("kills", str(told))


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(MANY_MOMENTS // BATCH))
@directions
@carriers
def test_a_hundred_kills_lose_nothing_that_was_acknowledged(
    carrier: str, direction: str, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = f"{carrier}{direction}{batch}"
    campaign(carrier, direction, tmp_path / "at", monkeypatch, seed, BATCH)
