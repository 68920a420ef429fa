"""Real processes that search for a bad version, and what is left when they are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.world import World

PATIENCE = 60
CULPRIT = 11
VERSIONS = 18

CHECK = """\
import os, pathlib, sys
value = int(pathlib.Path("value.txt").read_text())
with open(sys.argv[1], "a") as log:
    log.write(f"{value} {os.environ['MVC_BISECT_REV']} {pathlib.Path.cwd()}\\n")
sys.exit(value >= int(sys.argv[2]))
"""
# Tells that it runs, and does not end by itself; nor does the process that it starts.
HANG = """\
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
out = pathlib.Path(sys.argv[1])
out.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
out.with_suffix(".new").rename(out)
time.sleep(600)
"""


class Line(World):
    """A repository with one version after another."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ids: list[bytes] = []

    def name(self, number: int) -> str:
        return self.ids[number].hex()[:10]


@pytest.fixture
def world(tmp_path: Path) -> Line:
    made = Line(tmp_path / "project")
    for number in range(VERSIONS):
        files = {"value.txt": str(number).encode(), "same.bin": b"never changes" * 1000}
        made.ids.append(made.save(files, f"v{number}").id)
    (tmp_path / "check.py").write_text(CHECK)
    (tmp_path / "hang.py").write_text(HANG)
    return made


def start(world: Line, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mvc", *map(str, arguments)],
        cwd=world.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def mvc(world: Line, *arguments: object, code: int = 0) -> tuple[str, str]:
    process = start(world, *arguments)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, (out, err)
    return out, err


def wait_for(path: Path) -> list[int]:
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    return [int(word) for word in path.read_text().split()]


def is_gone(pid: int) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_command_finds_the_first_bad_version(world: Line, tmp_path: Path) -> None:
    log = tmp_path / "log"
    world.write("value.txt", b"work that is not committed")
    command = [sys.executable, tmp_path / "check.py", log, CULPRIT]
    out, err = mvc(world, "bisect", "run", "--good", "HEAD~17", *command)
    assert out.startswith(f"{world.name(CULPRIT)} is the first bad version\n")
    assert "modified: value.txt" in out
    assert "17 versions left, about 5 tests" in err
    assert "mvc diff --stat" in err
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) <= 5
    for value, revision, folder in lines:
        assert revision == world.ids[int(value)].hex()
        assert not Path(folder).exists()
    assert world.read("value.txt") == b"work that is not committed"
    assert world.leftovers() == []
    assert not (world.repo.folder / "bisect").exists()


def test_json_has_the_answer_and_what_was_said(world: Line, tmp_path: Path) -> None:
    command = [sys.executable, tmp_path / "check.py", tmp_path / "log", CULPRIT]
    out, _ = mvc(world, "bisect", "run", "--json", "--good", "HEAD~17", *command)
    found = json.loads(out)
    assert found["state"] == "found"
    assert found["version"]["id"] == found["bad"] == world.ids[CULPRIT].hex()
    said = {mark["commit"]: mark["verdict"] for mark in found["marks"]}
    for number, item in enumerate(world.ids):
        assert said.get(item.hex(), "") in ("", "bad" if number >= CULPRIT else "good")


def test_what_a_command_prints_goes_to_stderr(world: Line) -> None:
    text = "echo said $(cat value.txt); test $(cat value.txt) -lt 3"
    out, err = mvc(world, "bisect", "run", "--good", "HEAD~17", "--shell", text)
    assert "said" not in out
    assert err.count("said") >= 4


def test_what_a_command_leaves_behind_is_gone_and_what_it_spoils_is_mended(world: Line) -> None:
    text = (
        "test -e left -o -L link -o -d deep && exit 200;"
        " test $(wc -c < same.bin) = 13000 || exit 201;"
        " touch left; mkdir -p deep/er; ln -s / link; echo > same.bin; test $(cat value.txt) -lt 6"
    )
    out, _ = mvc(world, "bisect", "run", "--good", "HEAD~17", "--shell", text)
    assert out.startswith(world.name(6))
    assert Path("/etc").is_dir()


def test_equal_files_are_not_written_again(world: Line, tmp_path: Path) -> None:
    text = f"stat -c '%i %Y' same.bin >> {tmp_path}/stats; test $(cat value.txt) -lt {CULPRIT}"
    mvc(world, "bisect", "run", "--good", "HEAD~17", "--shell", text)
    stats = (tmp_path / "stats").read_text().splitlines()
    assert len(stats) > 2
    assert len(set(stats)) == 1


def test_the_folder_can_be_kept_with_the_first_bad_version(world: Line, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    text = f"touch trace; test $(cat value.txt) -lt {CULPRIT}"
    mvc(world, "bisect", "run", "--good", "HEAD~17", "--keep", keep, "--shell", text)
    assert sorted(path.name for path in keep.iterdir()) == ["same.bin", "value.txt"]
    assert (keep / "value.txt").read_text() == str(CULPRIT)
    _, err = mvc(
        world, "bisect", "run", "--good", "HEAD~17", "--keep", keep, "--shell", text, code=1
    )
    assert "is not empty" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_command_and_all_it_started(
    world: Line, tmp_path: Path, number: signal.Signals
) -> None:
    pids = tmp_path / "pids"
    hang = [sys.executable, tmp_path / "hang.py", pids]
    process = start(world, "bisect", "run", "--good", "HEAD~17", *hang)
    running = wait_for(pids)
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "the same command goes on" in err
    assert all(is_gone(pid) for pid in running)
    assert world.leftovers() == []


def test_a_search_goes_on_after_it_was_killed(world: Line, tmp_path: Path) -> None:
    # The third version that is tested hangs, until a file says that it need not.
    log, pids = tmp_path / "log", tmp_path / "pids"
    text = (
        f"cat value.txt >> {log}; echo >> {log}; test $(wc -l < {log}) != 3 -o -e {tmp_path}/go"
        f" || exec {sys.executable} {tmp_path}/hang.py {pids}; test $(cat value.txt) -lt {CULPRIT}"
    )
    process = start(world, "bisect", "run", "--good", "HEAD~17", "--shell", text)
    running = wait_for(pids)
    process.kill()
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    assert "Bisecting" in mvc(world, "status")[0]
    assert mvc(world, "bisect", "log")[0].count("exit code") == 2
    _, err = mvc(world, "bisect", "run", "--good", "HEAD~17", "false", code=1)
    assert "another command" in err
    (tmp_path / "go").touch()
    out, err = mvc(world, "bisect", "run", "--good", "HEAD~17", "--shell", text)
    assert out.startswith(world.name(CULPRIT))
    tested = log.read_text().split()
    assert len(tested) - len(set(tested)) == 1, "only what was interrupted is tested again"
    assert "Bisecting" not in mvc(world, "status")[0]
    assert world.leftovers() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 128", "ended with 128"),
        ("exit 255", "ended with 255"),
        ("exit 126", "ended with 126"),
        ("no-such-program-anywhere", "ended with 127"),
        ("kill -SEGV $$", "was killed by signal 11"),
    ],
)
def test_a_command_that_cannot_tell_ends_the_search(world: Line, text: str, message: str) -> None:
    _, err = mvc(world, "bisect", "run", "--good", "HEAD~17", "--shell", text, code=1)
    assert message in err
    assert "goes on" in err


def test_a_command_that_calls_everything_bad_is_not_believed(world: Line) -> None:
    world.write("here.py", b"raise SystemExit(0)")
    run = ["bisect", "run", "--good", "HEAD~17", sys.executable, "here.py"]
    _, err = mvc(world, *run, code=1)
    assert "here.py is here, but not in this version" in err
    assert "was given as good, but the command, which ended with 2 there, calls it bad" in err
    mvc(world, "bisect", "reset")
    _, err = mvc(world, "bisect", "run", "--good", "HEAD~17", "true", code=1)
    assert "was given as bad" in err


def test_versions_that_cannot_be_tested_are_named(world: Line) -> None:
    text = "v=$(cat value.txt); test $v -ge 9 -a $v -le 10 && exit 125; test $v -lt 10"
    out, _ = mvc(world, "bisect", "run", "--good", "HEAD~17", "--shell", text, code=1)
    names = [world.name(number) for number in (9, 10, 11)]
    assert [line.split()[0] for line in out.splitlines()[1:]] == names
    assert out.count("(skipped)") == 2


def test_a_program_is_found_from_where_one_stands(world: Line) -> None:
    world.write("tools/check.sh", f"#!/bin/sh\ntest $(cat value.txt) -lt {CULPRIT}\n".encode())
    (world.root / "tools/check.sh").chmod(0o755)
    out, _ = mvc(world, "bisect", "run", "--good", "HEAD~17", "tools/check.sh")
    assert out.startswith(world.name(CULPRIT))
    _, err = mvc(world, "bisect", "run", "--good", "HEAD~17", "nosuchprogram", code=3)
    assert "there is no program" in err
    assert not (world.repo.folder / "bisect").exists()
