"""Repack and gc, killed at any moment or beside commits, lose nothing."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mvc.ops import branch
from mvc.ops.checkout import switch
from mvc.ops.gc import GcRequest, gc
from mvc.ops.repack import repack
from tests.e2e.maintenance import Versions, versions
from tests.e2e.world import World, network, nudged, sha256s, weights

PATIENCE = 120
COMMANDS = {"repack": ("repack", "--budget", "1.9"), "gc": ("gc", "--prune", "now")}


def build(root: Path, size: int, count: int = 12) -> Versions:
    """Make a repository with a long chain of versions and with garbage; return the versions."""
    world = World(root)
    body = weights(1, size)
    world.save({"m.safetensors": network({"body": body}), "notes.txt": b"0" * 2000}, "0")
    switch(world.repo, "dropped", create=True)
    world.write("m.safetensors", network({"body": nudged(body, 99)}))
    world.commit("dropped")
    switch(world.repo, "main")
    for number in range(1, count):
        body = nudged(body, number)
        world.write("m.safetensors", network({"body": body}))
        world.write("notes.txt", b"%d" % number * 2000)
        world.commit(str(number))
    branch.delete(world.repo, "dropped", force=True)
    (world.repo.folder / "logs" / "HEAD").unlink()
    found = versions(world, root.parent / "exported")
    world.repo.close()
    root.with_suffix(".json").write_text(json.dumps(found))
    return found


def swept(command: str, work: Path, way: str, step: int) -> int:
    build(work / "scene", 6000)
    words = [work / "scene", work / "work", way, str(step), *COMMANDS[command]]
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.maintenance", *words],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return int(json.loads(done.stdout.splitlines()[-1])["survived"])


@pytest.mark.parametrize(("way", "step"), [("before", 11), ("half", 3)])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_at_calls_of_the_file_system_loses_nothing(
    command: str, way: str, step: int, tmp_path: Path
) -> None:
    assert swept(command, tmp_path, way, step) > 1


@pytest.mark.slow
@pytest.mark.parametrize("way", ["before", "half"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_at_every_call_of_the_file_system_loses_nothing(
    command: str, way: str, tmp_path: Path
) -> None:
    assert swept(command, tmp_path, way, 1) > 5


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mvc", "-C", str(root), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_at_a_random_moment_loses_nothing_and_the_next_run_ends_it(
    command: str, tmp_path: Path
) -> None:
    expected = build(tmp_path / "scene", 1 << 20)
    draw = random.Random(command)
    root = tmp_path / "trial"
    for _ in range(4):
        shutil.copytree(tmp_path / "scene", root)
        child = start(root, *COMMANDS[command])
        time.sleep(draw.uniform(0.2, 1.2))
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=PATIENCE)
        world = World(root)
        world.check()
        child = start(root, *COMMANDS[command])
        assert child.communicate(timeout=PATIENCE)[1] is not None
        assert child.returncode == 0
        world.reopen()
        world.check()
        assert versions(world, tmp_path / "out") == expected
        world.repo.close()
        shutil.rmtree(root)


COMMITTER = """
import sys
from pathlib import Path
from mvc.base.errors import MvcError
from tests.e2e.world import ENVIRONMENT, network, nudged, weights
from mvc.ops.commit import CommitRequest, commit
from mvc.repo.repository import Repository
root = Path(sys.argv[1])
repo = Repository.discover(root, ENVIRONMENT)
body = weights(1, 1 << 16)
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    body = nudged(body, 1000 + number)
    (root / "m.safetensors").write_bytes(network({"body": body}))
    commit(repo, CommitRequest(f"beside {number}"))
print("done")
"""


def started(program: str, *arguments: Path) -> subprocess.Popen[str]:
    """Return a process that has said it is ready and was told to go."""
    child = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.communicate()[1]
    child.stdin.write("go\n")
    child.stdin.flush()
    return child


def test_commits_beside_gc_and_repack_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "scene"
    expected = build(root, 1 << 16)
    child = started(COMMITTER, root)
    world = World(root)
    rounds = 0
    while child.poll() is None or rounds < 2:
        gc(world.repo, GcRequest(0))
        repack(world.repo)
        rounds += 1
    out, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, errors
    assert out == "done\n"
    world.check()
    found = versions(world, tmp_path / "out")
    assert {name: files for name, files in found.items() if name in expected} == expected
    assert len(found) == len(expected) + 25
    assert found["beside 24"] == sha256s(root)
    print(f"{rounds} rounds of gc and repack")


READER = """
import sys
from pathlib import Path
from mvc.ops.export import export
from mvc.repo.repository import Repository
root, target = Path(sys.argv[1]), Path(sys.argv[2])
repo = Repository.discover(root)
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    export(repo, f"HEAD~{number % 12}", target / str(number))
print("done")
"""


def test_a_reader_goes_on_while_its_packs_are_replaced(tmp_path: Path) -> None:
    root = tmp_path / "scene"
    expected = build(root, 1 << 18)
    (tmp_path / "out").mkdir()
    child = started(READER, root, tmp_path / "out")
    world = World(root)
    from mvc.ops.repack import RepackRequest

    for depth in (1, 4, 2, 8):
        repack(world.repo, RepackRequest(max_depth=depth))
        gc(world.repo, GcRequest(0))
    out, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, errors
    assert out == "done\n"
    for number in range(40):
        assert sha256s(tmp_path / "out" / str(number)) == expected[str(11 - number % 12)]
