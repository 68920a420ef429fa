"""`status` looks at files and never into them, unless a file may have changed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.ops.checkout import checkout, switch
from mvc.ops.export import export
from mvc.ops.mv import move
from mvc.ops.reset import reset
from mvc.ops.restore import restore
from tests.e2e.world import World, network, nudged, weights

MB = 1 << 20


class Opened:
    """Notes which files of the working copy are opened for reading, and what is read of them."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = fileio.Reader.__init__

        def noted(reader: fileio.Reader, path: Path) -> None:
            if path.is_relative_to(world.root) and not path.is_relative_to(world.repo.folder):
                self.paths.append(path.relative_to(world.root).as_posix())
            real(reader, path)

        monkeypatch.setattr(fileio.Reader, "__init__", noted)

    def during_status(self, world: World) -> list[str]:
        self.paths.clear()
        assert world.status().clean
        return [path for path in self.paths if path != ".mvcignore"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    body = weights(1, MB)
    world = World(tmp_path / "w")
    world.save({"m.safetensors": network({"w": body}), "same.bin": b"x" * MB, "t": b""}, "first")
    world.save({"m.safetensors": network({"w": nudged(body, 2)}), "new.bin": b"y" * MB}, "second")
    return world


ACTIONS = {
    "a commit": lambda world: None,
    "a checkout of an old version": lambda world: checkout(world.repo, "HEAD~1"),
    "a switch there and back": lambda world: (
        switch(world.repo, "side", create=True, start="HEAD~1"),
        switch(world.repo, "main"),
    ),
    "a restore": lambda world: (
        world.write("m.safetensors", b"broken"),
        restore(world.repo, [world.root / "m.safetensors"]),
    ),
    "a reset": lambda world: reset(world.repo, "HEAD~1", hard=True),
    "an export": lambda world: export(world.repo, "HEAD", world.root.parent / "out"),
    "an export and a reopening": lambda world: (
        export(world.repo, "HEAD~1", world.root.parent / "out"),
        world.reopen(),
    ),
    "a move": lambda world: (
        move(world.repo, [world.root / "new.bin"], world.root / "moved.bin"),
        world.commit(),
    ),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_status_right_after_reads_no_model_bytes(
    world: World, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    ACTIONS[action](world)
    opened = Opened(world, monkeypatch)
    assert opened.during_status(world) == []
    world.reopen()
    assert opened.during_status(world) == []


def test_status_reads_a_touched_file_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    (world.root / "same.bin").touch()
    time.sleep(0.05)
    opened = Opened(world, monkeypatch)
    assert opened.during_status(world) == ["same.bin"]
    assert opened.during_status(world) == []


def test_status_finds_a_change_that_keeps_size_and_time(world: World) -> None:
    import os

    path = world.root / "same.bin"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"z")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert world.status().modified == ("same.bin",)


def test_a_change_of_another_size_is_found_without_reading(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write("same.bin", b"short")
    opened = Opened(world, monkeypatch)
    assert world.status().modified == ("same.bin",)
    assert opened.paths in ([], [".mvcignore"])


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_the_operating_system_sees_no_model_file_opened(world: World, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = [sys.executable, "-m", "mvc", "-C", str(world.root), "status"]
    plain = ["strace", "-f", "-e", "trace=open,openat,openat2,mmap", "-o", str(trace), *command]
    done = subprocess.run(plain, capture_output=True, text=True, check=False, timeout=120)
    if "ptrace" in done.stderr and done.returncode:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    opened = re.findall(r'open\w*\([^"]*"([^"]+)"', trace.read_text())
    inside = [path for path in opened if Path(path).is_relative_to(world.root)]
    assert inside, "the trace holds nothing of the repository"
    models = {"m.safetensors", "same.bin", "new.bin", "t"}
    assert not [path for path in inside if Path(path).name in models]
    assert not [path for path in inside if path.endswith(".tail")]
