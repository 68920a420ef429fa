"""A fleet of devices and its centre, on one machine but in processes of their own.

    python -m examples.fleet                     twelve devices and MiniLM
    python -m examples.fleet --devices 3         fewer, as `make demo` does
    python -m examples.fleet --keep              leave the folder for a look around

A release is pushed to a central bare repository. `mvc serve` answers for it over HTTP, and sshd
over SSH where it is installed. Each device takes the release, changes it in its own way, commits
and pushes: first over HTTP, then, having learned more, over SSH. At last the centre tells who runs
what, compares two devices and brings every version of every device back: a sha256 that is not the
device's own is an error, exit code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from examples.demo import MVC, PROJECT, DemoFailed, fetch_models, indent, run
from examples.fleet.carriers import Http, Ssh, serving, ssh_serving
from examples.fleet.device import MODEL
from examples.fleet.tuning import WAYS

TOGETHER = 4
"""Devices that are awake at the same time."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A version that a device says it pushed."""

    device: str
    way: str
    link: str
    commit: str
    sha256: str
    sent: int


class Centre:
    """The folder that is served, with one bare repository in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "centre"
        self.repository = self.root / "fleet"

    def mvc(self, arguments: Sequence[str], *, show: bool = True) -> str:
        """Run mvc in the central repository; show what was run and its output."""
        if show:
            print(f"$ mvc {' '.join(arguments)}")
        told = run([MVC, *arguments], self.repository)
        if show:
            print(indent(told), flush=True)
        return told

    def release(self, model: Path, folder: Path) -> None:
        """Push the model that every device begins with."""
        self.root.mkdir(parents=True)
        run([MVC, "init", "--bare", self.repository], folder)
        work = folder / "release"
        work.mkdir()
        run([MVC, "init"], work)
        shutil.copyfile(model, work / MODEL)
        run([MVC, "add", MODEL], work)
        run([MVC, "commit", "-m", "Release 1"], work)
        run([MVC, "remote", "add", "origin", str(self.repository)], work)
        print("$ mvc push origin main")
        print(indent(run([MVC, "push", "origin", "main"], work)), flush=True)

    def token(self, device: str, folder: Path) -> Path:
        """Make a device's token and return the file that holds it."""
        arguments = ["token", "create", str(self.root), "--device", device]
        done = subprocess.run(
            [MVC, *arguments, "--repository", "fleet", "--expires", "90d"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        file = folder / f"{device}.token"
        file.touch(mode=0o600)
        file.write_text(done.stdout)
        return file


def wake(number: int, centre: Centre, folder: Path, http: Http, ssh: Ssh | None) -> list[Pushed]:
    """Run one device to its end and return what it says it pushed."""
    name = f"cam-{number:02}"
    way = list(WAYS)[(number - 1) % len(WAYS)]
    command = ["env", f"MVC_SSH={ssh.command(name)}"] if ssh else []
    command += [sys.executable, "-m", "examples.fleet.device", name, str(folder / name)]
    command += ["--way", way, "--seed", str(number), "--link", http.url("fleet")]
    command += ["--token-file", str(centre.token(name, folder))]
    command += ["--link", ssh.url("fleet") if ssh else http.url("fleet")]
    done = subprocess.run(
        command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoFailed(f"{name} failed\n{indent(done.stdout + done.stderr)}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    pushed = [
        Pushed(name, way, carrier(row["link"]), row["commit"], row["sha256"], row["sent"])
        for row in rows
    ]
    for item in pushed:
        told = f"{item.commit[:10]} by {item.link}, {item.sent / 1e6:.1f} MB sent"
        print(f"  {name}: {way}, pushed {told}", flush=True)
    return pushed


def carrier(link: str) -> str:
    """Return what carries an address."""
    return "HTTP" if link.startswith("http") else "SSH"


def recover(centre: Centre, pushed: Sequence[Pushed], folder: Path) -> int:
    """Bring every version back and compare it with what its device had; return the bytes."""
    total = 0
    for item in pushed:
        out = folder / "recovered" / item.commit[:10]
        run([MVC, "export", item.commit, str(out)], centre.repository)
        data = (out / MODEL).read_bytes()
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise DemoFailed(f"{item.device}: {item.commit[:10]} came back as something else")
        total += len(data)
        shutil.rmtree(out)
    return total


def session(devices: int, models: Path, folder: Path) -> None:
    """Take the fleet through its day."""
    centre = Centre(folder)
    fetch_models(models, ("minilm",))
    print("# the centre: a bare repository, and a release for everyone")
    centre.release(models / "minilm" / MODEL, folder)
    names = [f"cam-{number:02}" for number in range(1, devices + 1)]
    with serving(centre.root, folder) as http, ssh_serving(centre.root, folder, names) as ssh:
        print(f"# serving by HTTP{' and SSH' if ssh else ''}; {devices} devices wake up")
        if ssh is None:
            print("# (there is no sshd here: the second push goes by HTTP as well)")
        with ThreadPoolExecutor(TOGETHER) as pool:
            numbers = range(1, devices + 1)
            days = pool.map(lambda number: wake(number, centre, folder, http, ssh), numbers)
            pushed = [item for day in days for item in day]
    print("\n# who runs what")
    centre.mvc(["branch", "-v"])
    two, one = pushed[-1], pushed[max(0, len(pushed) - 3)]
    print("# two devices compared")
    centre.mvc(["diff", "--stat", one.commit, two.commit])
    total = recover(centre, pushed, folder)
    centre.mvc(["fsck"])
    kept = sum(path.stat().st_size for path in centre.repository.rglob("*") if path.is_file())
    print(f"{len(pushed)} versions of {devices} devices came back, every sha256 equal:")
    print(f"{total / 1e6:.1f} MB of models, kept in {kept / 1e6:.1f} MB", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.fleet", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--devices", type=int, default=12, metavar="N")
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--keep", action="store_true", help="leave the folder in place")
    args = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="mvc-fleet-")).resolve()
    started = time.monotonic()
    try:
        session(args.devices, args.models.resolve(), folder)
    except DemoFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if args.keep:
            print(f"left in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"took {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
