"""Many processes push to one server at once: nobody is lost, and what they share is stored once."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.ops.token import TokenRequest, create
from mvc.repo import remotes
from mvc.repo.repository import Repository
from mvc.store.object_store import ObjectStore
from tests.e2e.http_server import Client, HttpServer
from tests.e2e.world import ENVIRONMENT, World, network, sha256s, weights

MB = 1_000_000
FEW, MANY = 8, 50
MEMORY = 500 * MB
PATIENCE = 900
MAIN = "refs/heads/main"
OPEN = ("read:refs/", "append:refs/")

few_and_many = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])


@dataclass
class Centre:
    """A server with one repository, whose health somebody asks for all the time."""

    server: HttpServer
    folder: Path
    waits: list[float] = field(default_factory=list)
    answers: set[bytes] = field(default_factory=set)

    def client(self, folder: Path, name: str, *grants: str) -> Client:
        """Return who pushes from a folder, with a token of its own."""
        made = create(self.server.root, TokenRequest(name, grants=grants or OPEN))
        with Repository(folder / ".mvc", folder, ENVIRONMENT) as repo:
            remotes.add(repo, remotes.Remote("origin", f"{self.server.url}fleet"))
        return Client(folder, made.secret)

    def watch(self, over: threading.Event) -> None:
        while not over.is_set():
            begun = time.monotonic()
            with urllib.request.urlopen(f"{self.server.url}healthz", timeout=PATIENCE) as answer:
                self.answers.add(answer.read())
            self.waits.append(time.monotonic() - begun)
            over.wait(0.02)

    def check(self) -> str:
        """Check that the server was well all the time; return its figures."""
        peak = self.server.peak()
        told = (
            f"{peak // MB} MB of memory at most; {len(self.waits)} times asked for its health, "
            f"answered within {max(self.waits):.3f} s"
        )
        print(told)
        assert self.answers == {b"ok\n"}
        assert peak < MEMORY
        with Repository(self.folder, None) as repo:
            report = fsck(repo)
            assert report.ok, report.problems
        return told


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    root = tmp_path / "srv"
    Repository.init(root / "fleet", bare=True, environment=ENVIRONMENT).close()
    server = HttpServer(root, tmp_path / "log")
    server.start()
    try:
        yield Centre(server, root / "fleet")
    finally:
        assert server.end() == 0


@contextmanager
def watched(centre: Centre) -> Iterator[None]:
    over = threading.Event()
    asking = threading.Thread(target=centre.watch, args=(over,))
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def at_once(centre: Centre, pushes: list[tuple[Client, str]]) -> list[int]:
    """Push from all at once and return how each ended, in order."""
    with watched(centre):
        begun = time.monotonic()
        running: list[subprocess.Popen[str]] = [
            client.begin("push", "-q", "origin", words) for client, words in pushes
        ]
        told = [one.communicate(timeout=PATIENCE) for one in running]
        print(f"{len(pushes)} pushes in {time.monotonic() - begun:.1f} s")
    codes = [one.returncode for one in running]
    assert set(codes) <= {0, 4}, told
    return codes


def chunks(store: ObjectStore) -> set[bytes]:
    return set(store.of_kind("chunk"))


@few_and_many
def test_all_who_push_to_their_own_refs_succeed_and_objects_are_stored_once(
    count: int, centre: Centre, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    shared = [weights(seed, MB) for seed in range(count // FEW + 1)]
    clients, shared_chunks, files = [], [], {}
    for number in range(count):
        name = f"d{number}"
        world = World(tmp_path / name)
        layers = {f"shared{at}": data for at, data in enumerate(shared)}
        layers["own"] = weights(1000 + number, MB // 2)
        world.save({"m.safetensors": network(layers)})
        shared_chunks.append(chunks(world.repo.store))
        files[name] = sha256s(world.root)
        world.repo.close()
        grants = (f"append:refs/heads/devices/{name}/", f"read:refs/heads/devices/{name}/")
        clients.append((centre.client(world.root, name, *grants), f"main:devices/{name}/main"))
    codes = at_once(centre, clients)
    assert codes == [0] * count
    record_property("server", str(centre.check()))
    common = set.intersection(*shared_chunks)
    assert len(common) >= len(shared)
    with Repository(centre.folder, None, ENVIRONMENT) as repo:
        found = chunks(repo.store)
        assert found == set.union(*shared_chunks)
        several = [item for item in found if len([*repo.store.records(item)]) != 1]
        assert not several, f"{len(several)} of {len(found)} chunks are stored more than once"
        for name, wanted in files.items():
            export(repo, f"devices/{name}/main", tmp_path / "out")
            assert sha256s(tmp_path / "out") == wanted
            shutil.rmtree(tmp_path / "out")


@few_and_many
def test_of_those_who_push_to_one_ref_nobody_is_overwritten_and_each_is_told(
    count: int, centre: Centre, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    base = World(tmp_path / "base")
    base.save({"m.safetensors": network({"layer": weights(1, MB)})}, "base")
    base.repo.close()
    shutil.copytree(base.root, tmp_path / "first")
    assert centre.client(tmp_path / "first", "first")("push", "-q", "origin", "main") == ""
    clients, tips = [], []
    for number in range(count):
        # Every second one builds on all of those before it, the others on the base alone.
        source = tmp_path / ("chain" if number % 2 and number > 1 else "base")
        folder = tmp_path / f"d{number}"
        shutil.copytree(source, folder)
        world = World(folder)
        tips.append(world.save({"who.txt": folder.name.encode()}, folder.name).id)
        world.repo.close()
        if number % 2:
            shutil.rmtree(tmp_path / "chain", ignore_errors=True)
            shutil.copytree(folder, tmp_path / "chain")
        clients.append((centre.client(folder, folder.name), "main"))
    codes = at_once(centre, clients)
    record_property("server", str(centre.check()))
    accepted = [tip for tip, code in zip(tips, codes, strict=True) if code == 0]
    print(f"{len(accepted)} of {count} accepted")
    assert accepted
    with Repository(centre.folder, None, ENVIRONMENT) as repo:
        log = [line for line in repo.refs.history(MAIN) if line.new in tips]
        assert sorted(line.new for line in log) == sorted(accepted), "who moved it is not who says"
        main = repo.refs.get(MAIN)
        assert main is not None
        history, pending = set(), [main]
        while pending:
            item = pending.pop()
            history.add(item)
            pending.extend(repo.commit(item).parents)
        assert history.issuperset(accepted), "an update was lost"
