"""A real sshd of this user's own on the loopback, and keys that may do what their lines say."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
PATIENCE = 60
MVC = f"{shlex.quote(sys.executable)} -m mvc"


def lacking() -> str | None:
    """Return why no sshd can be started here, None if one can."""
    for program, found in (("sshd", SSHD), ("ssh", shutil.which("ssh"))):
        if found is None:
            return f"{program} is not installed (openssh-server, openssh-client)"
    return None


class SshServer:
    """An sshd in a folder. `root` is where repositories are to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "served"
        self.root.mkdir(parents=True)
        if os.getuid() == 0:
            # The sshd of root alone asks for it.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._lines: list[str] = []
        self._keygen("host")
        self.port = _free_port()
        self._write("authorized_keys", "")
        self._write("sshd_config", self._settings())
        with (folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", folder / "sshd_config"],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        self._wait()

    def _settings(self) -> str:
        home = self.folder / "home"
        home.mkdir()
        (home / "bin").mkdir()
        # What a login finds as `mvc`.
        mvc = home / "bin" / "mvc"
        mvc.write_text(f'#!/bin/sh\nexec {MVC} "$@"\n')
        mvc.chmod(0o755)
        return "\n".join(
            [
                "ListenAddress 127.0.0.1",
                f"Port {self.port}",
                f"HostKey {self.folder / 'host'}",
                "PidFile none",
                f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                "StrictModes no",
                "UsePAM no",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "PermitRootLogin prohibit-password",
                "MaxStartups 100",
                "Subsystem sftp internal-sftp",
                f"SetEnv PATH={home / 'bin'}:/usr/bin:/bin XDG_CONFIG_HOME={home}",
                "",
            ]
        )

    def key(self, name: str, command: str | None = None) -> str:
        """Make a key, with a forced command if one is given; return the ssh that uses it."""
        self._keygen(name)
        public = (self.folder / f"{name}.pub").read_text().strip()
        quoted = (
            "" if command is None else 'restrict,command="' + command.replace('"', '\\"') + '" '
        )
        self._lines.append(quoted + public)
        self._write("authorized_keys", "\n".join(self._lines) + "\n")
        self._write(
            f"{name}.config",
            f"Host hub\n HostName 127.0.0.1\n Port {self.port}\n User {getpass.getuser()}\n"
            f" IdentityFile {self.folder / name}\n IdentitiesOnly yes\n IdentityAgent none\n"
            f" StrictHostKeyChecking accept-new\n BatchMode yes\n LogLevel ERROR\n"
            f" UserKnownHostsFile {self.folder / 'known_hosts'}\n GlobalKnownHostsFile none\n",
        )
        return shlex.join(["ssh", "-F", str(self.folder / f"{name}.config")])

    def forced(self, *options: str) -> str:
        """Return a forced command that serves the repositories below the root."""
        return f"{MVC} serve --stdio --root {shlex.quote(str(self.root))} {shlex.join(options)}"

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def log(self) -> str:
        """Return what the server had to say."""
        return (self.folder / "sshd.log").read_text("utf-8", "replace")

    def _keygen(self, name: str) -> None:
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.folder / name],
            check=True,
        )

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert self._process.poll() is None, self.log()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(self.log())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
