"""The two ways to the centre: `mvc serve` over HTTP, and sshd with a forced command a device."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.demo import MVC, DemoFailed

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Http:
    """A running server."""

    base: str

    def url(self, repository: str) -> str:
        """Return the address of a repository."""
        return f"{self.base.rstrip('/')}/{repository}"


@dataclass(frozen=True, slots=True)
class Ssh:
    """A running sshd with a key for each device."""

    folder: Path

    def url(self, repository: str) -> str:
        """Return the address of a repository."""
        return f"centre:{repository}"

    def command(self, device: str) -> str:
        """Return the ssh command of a device."""
        key = self.folder / device
        return shlex.join(["ssh", "-F", str(self.folder / "ssh_config"), "-i", str(key)])


@contextmanager
def serving(root: Path, folder: Path) -> Iterator[Http]:
    """Run `mvc serve` while inside."""
    log = folder / "server.log"
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [MVC, "serve", str(root), "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        line = server.stdout.readline() if server.stdout else ""
        if "http://" not in line:
            raise DemoFailed(f"the server did not start:\n{log.read_text()}")
        print(f"$ mvc serve {root.name}\n  {line.strip().replace(str(root), root.name)}")
        yield Http(line[line.index("http://") :].strip())
    finally:
        server.terminate()
        server.wait()


@contextmanager
def ssh_serving(root: Path, folder: Path, devices: Sequence[str]) -> Iterator[Ssh | None]:
    """Run an sshd of one's own while inside, None where there is none."""
    if SSHD is None or shutil.which("ssh") is None:
        yield None
        return
    keys = folder / "ssh"
    keys.mkdir(mode=0o700)
    port = _free_port()
    _write_settings(keys, root, devices, port)
    command = [SSHD, "-D", "-e", "-f", str(keys / "sshd_config")]
    with (keys / "log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
    try:
        _await_port(port, server, keys / "log")
        yield Ssh(keys)
    finally:
        server.terminate()
        server.wait()


def _write_settings(keys: Path, root: Path, devices: Sequence[str], port: int) -> None:
    for name in ("host", *devices):
        command = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            name,
            "-f",
            str(keys / name),
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    lines = []
    for name in devices:
        forced = [str(MVC), "serve", "--stdio", "--root", str(root), "--device", name]
        said = shlex.join([*forced, "--append-only"]).replace('"', '\\"')
        lines.append(f'restrict,command="{said}" {(keys / f"{name}.pub").read_text()}')
    _write(keys / "authorized_keys", "".join(lines))
    server = {
        "ListenAddress": "127.0.0.1",
        "Port": str(port),
        "HostKey": str(keys / "host"),
        "PidFile": "none",
        "AuthorizedKeysFile": str(keys / "authorized_keys"),
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "MaxStartups": "100",
    }
    _write(keys / "sshd_config", "".join(f"{key} {value}\n" for key, value in server.items()))
    client = {
        "HostName": "127.0.0.1",
        "Port": str(port),
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(keys / "known_hosts"),
        "LogLevel": "ERROR",
    }
    settings = "".join(f" {key} {value}\n" for key, value in client.items())
    _write(keys / "ssh_config", f"Host centre\n{settings}")
    if os.geteuid() == 0:
        # Only root's sshd asks for this folder.
        Path("/run/sshd").mkdir(exist_ok=True)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise DemoFailed(f"sshd did not start:\n{log.read_text()}")
