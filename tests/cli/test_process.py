"""What only whole processes show: start-up, signals, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.console import Console

HEAVY = {
    "numpy",
    "rich",
    "zstandard",
    "tomlkit",
    "pathspec",
    "ml_dtypes",
    "h5py",
    "asyncio",
    "http",
}
LISTING = """
import sys
from mvc.__main__ import main
sys.argv = ["mvc", *sys.argv[1:]]
try:
    code = main()
except SystemExit as end:
    code = end.code
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def modules(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split("\n")[-2].split())


def test_the_version_is_told_without_click_or_the_repository() -> None:
    loaded = modules("--version")
    assert not loaded & {"click", "mvc.cli", "mvc.repo", "json", "sqlite3", *HEAVY}


def test_help_loads_no_command_and_no_repository() -> None:
    loaded = modules("--help")
    assert not [name for name in loaded if name.startswith(("mvc.cli.commands.", "mvc.repo"))]
    assert not loaded & {"sqlite3", *HEAVY}


def test_the_log_loads_nothing_heavy(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    loaded = modules("log", "-n1")
    assert not loaded & (HEAVY - {"zstandard"})
    commands = {name for name in loaded if name.startswith("mvc.cli.commands.")}
    assert commands == {"mvc.cli.commands.log"}


def start(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "mvc", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )


def test_a_reader_that_stops_early_is_no_error(mvc: Console) -> None:
    for number in range(3):
        mvc("commit", "--allow-empty", "-m", f"{number}\n\n" + "x" * 100_000)
    process = start("log")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_with_one_sentence(
    mvc: Console, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pipe = tmp_path / "config.toml"
    slow = "import time; import mvc.ops.status as s; s.status = lambda repo: time.sleep(60)"
    program = f"{slow}; import sys; from mvc.cli.main import run; print(flush=True); "
    program += "sys.exit(run(['status']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.7)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert error == b"error: interrupted; no file is left half written\n"
    assert process.returncode == code
    assert not pipe.exists()


def test_exit_codes_and_streams_of_real_processes(mvc: Console) -> None:
    for arguments, code in ((["status"], 0), (["nope"], 2), (["show", "x"], 3)):
        done = subprocess.run(
            [sys.executable, "-m", "mvc", *arguments], capture_output=True, check=False
        )
        assert done.returncode == code
        assert bool(done.stdout) == (code == 0)
        assert bool(done.stderr) == (code != 0)


def test_a_terminal_that_knows_only_ascii_gets_escapes(mvc: Console) -> None:
    mvc("commit", "--allow-empty", "-m", "größer 🚗")
    done = subprocess.run(
        [sys.executable, "-m", "mvc", "log", "--oneline"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},  # noqa: TID251
    )
    assert done.stdout.endswith(b"gr\\xf6\\xdfer \\U0001f697\n")


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    program = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); import mvc.cli.main as m; "
        "m._invoke = lambda _: print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN); m.run([])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"True\n"


@pytest.mark.parametrize("arguments", [["status"], ["log"], ["--help"], ["log", "--json"]])
def test_a_full_disk_for_the_output_is_told(mvc: Console, arguments: list[str]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    mvc("commit", "--allow-empty", "-m", "x" * 100_000)
    with full.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "mvc", *arguments],
            stdout=stream,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 128
    told = b"cannot write the output: No space left on device"
    if "--json" in arguments:
        assert json.loads(done.stderr)["error"]["message"].encode() == told
    else:
        assert done.stderr == b"error: " + told + b"\n"
