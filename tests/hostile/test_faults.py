"""A disk that fails at any call, a folder that may not be written, two processes at once."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mvc.base import fileio
from mvc.base.errors import MvcError, NotAllowedError, StorageError
from mvc.cli.main import run
from mvc.ops.log import LogRequest, log
from tests.e2e.faults import FaultyOs
from tests.e2e.scenes import Scene, build, check_survivor
from tests.e2e.world import World, sha256s

STEP = 5
PATIENCE = 120


def fails_at(k: int, code: int) -> tuple[FaultyOs, list[str]]:
    """Return an `os` whose k-th call fails, and the list of calls so far."""
    calls: list[str] = []

    def hook(name: str, args: tuple[Any, ...]) -> None:
        calls.append(name)
        if len(calls) == k:
            raise OSError(code, os.strerror(code), "made to fail")

    return FaultyOs(hook, reads=code == errno.EIO), calls


def act(scene: Scene, world: World) -> None:
    from mvc.ops.checkout import switch

    if scene.arguments[0] == "commit":
        world.commit("third")
    else:
        switch(world.repo, scene.arguments[1])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("kind", ["commit", "switch"])
def test_a_failing_call_is_an_error_that_loses_nothing_and_the_next_run_works(
    kind: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = build(kind, tmp_path / "scene", 6000)
    step = STEP if code == errno.ENOSPC else 4 * STEP
    failed = k = 0
    while True:
        k += step
        root = tmp_path / "trial"
        shutil.copytree(scene.root, root)
        world = World(root)
        faulty, calls = fails_at(k, code)
        monkeypatch.setattr(fileio, "os", faulty)
        try:
            act(scene, world)
        except StorageError:
            failed += 1
        finally:
            monkeypatch.undo()
            world.repo.close()
        if len(calls) < k:
            break
        check_survivor(scene, root, tmp_path / "scratch")
        shutil.rmtree(root)
    print(f"{kind}: {failed} failures in {len(calls)} calls")
    assert failed


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", ["commit", "switch"])
def test_every_failing_call_is_an_error_that_loses_nothing(
    kind: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = build(kind, tmp_path / "scene", 6000)
    k = 0
    while True:
        k += 1
        root = tmp_path / "trial"
        shutil.copytree(scene.root, root)
        world = World(root)
        faulty, calls = fails_at(k, code)
        monkeypatch.setattr(fileio, "os", faulty)
        try:
            act(scene, world)
        except (StorageError, NotAllowedError):
            pass
        finally:
            monkeypatch.undo()
            world.repo.close()
        if len(calls) < k:
            break
        check_survivor(scene, root, tmp_path / "scratch")
        shutil.rmtree(root)
    print(f"{kind}: {len(calls)} calls")


@pytest.mark.parametrize("way", ["permissions", "a fault at every write"])
def test_a_read_only_repository_can_be_looked_at_and_exported(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "permissions" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    world = World(tmp_path / "w")
    world.save({"a": b"one" * 1000})
    world.save({"a": b"two" * 1000})
    world.repo.close()
    (world.root / "a").touch()
    folders = [world.repo.folder, *(path for path in world.repo.folder.rglob("*") if path.is_dir())]
    if way == "permissions":
        for folder in folders:
            folder.chmod(0o555)
    else:
        _deny_writes_below(world.root, monkeypatch)
    try:
        world.reopen()
        assert world.status().clean
        assert [item.commit.message for item in log(world.repo, LogRequest())] == ["a version"] * 2
        assert world.exported("HEAD~1", tmp_path / "out") == {"a": b"one" * 1000}
        world.write("a", b"three")
        with pytest.raises(MvcError):
            world.commit()
    finally:
        for folder in folders:
            folder.chmod(0o755)
    monkeypatch.undo()
    world.commit()
    world.check()


def _deny_writes_below(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(name: str, args: tuple[Any, ...]) -> None:
        if name in ("write", "fsync"):
            return
        if any(isinstance(item, str | Path) and str(item).startswith(str(root)) for item in args):
            raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(fileio, "os", FaultyOs(hook))


COMMITTER = """
import sys
from pathlib import Path
from mvc.base.errors import MvcError
from tests.e2e.world import ENVIRONMENT
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.commit_arrays import commit_arrays
from mvc.repo.repository import Repository
import numpy as np
root, name, bare = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "bare"
repo = Repository.discover(root, ENVIRONMENT)
print("ready", flush=True)
sys.stdin.readline()
for number in range(8):
    while True:
        try:
            if bare:
                data = {"w": np.full(3000, number, np.float32)}
                commit_arrays(repo, data, f"{name}.safetensors", CommitRequest(f"{name} {number}"))
            else:
                (root / f"{name}.bin").write_bytes(f"{name} {number} ".encode() * 500)
                commit(repo, CommitRequest(f"{name} {number}"))
            print(number)
            break
        except MvcError as error:
            print("told:", error.code, error.message)
            if error.code == "negative":
                break
"""


@pytest.mark.parametrize("kind", ["worktree", "bare"])
def test_processes_that_commit_at_once_on_one_branch_lose_nothing(
    kind: str, tmp_path: Path
) -> None:
    root = tmp_path / "w"
    if kind == "bare":
        from mvc.repo.repository import Repository

        Repository.init(root, bare=True).close()
    else:
        world = World(root)
        world.save({"one.bin": b"start", "two.bin": b"start"})
        world.repo.close()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(root), name, kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", child.communicate()[1]
    outcomes = [child.communicate("go\n", timeout=PATIENCE) for child in children]
    for child, (out, errors) in zip(children, outcomes, strict=True):
        assert child.returncode == 0, errors
        for line in out.splitlines():
            assert line.isdigit() or line.startswith(("told: negative nothing", "told: moved"))
    from mvc.ops.export import export
    from mvc.ops.fsck import fsck
    from mvc.repo.repository import Repository

    with Repository.discover(root) as repo:
        report = fsck(repo)
        assert report.ok, report.problems
        messages = [item.commit.message for item in log(repo, LogRequest())]
        for name, (out, _) in zip(("one", "two"), outcomes, strict=True):
            done = [int(line) for line in out.splitlines() if line.isdigit()]
            mine = [message for message in messages if message.startswith(name)]
            assert mine == [f"{name} {number}" for number in reversed(done)]
        target = tmp_path / "out"
        export(repo, "HEAD", target)
        if kind == "bare":
            assert len(messages) == 16
            assert set(sha256s(target)) == {"one.safetensors", "two.safetensors"}
        else:
            assert sha256s(target) == sha256s(root)


def test_a_command_waits_for_another_and_then_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"a": b"x"})
    with fileio.locked(world.repo.folder / "locks/worktree"):
        assert run(["-C", str(world.root), "status"]) == 0
        assert run(["-C", str(world.root), "log"]) == 0
