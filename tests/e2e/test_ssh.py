"""Devices and a centre with a real ssh and a real sshd between them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.ops.fsck import fsck
from mvc.repo.repository import Repository
from tests.e2e.ssh_server import PATIENCE, SshServer, lacking
from tests.e2e.world import World, contents, network, nudged, weights

pytestmark = pytest.mark.skipif(lacking() is not None, reason=lacking() or "")


def started(folder: Path) -> SshServer:
    """A host with an empty repository `fleet`, and one beside the root."""
    server = SshServer(folder)
    Repository.init(server.root / "fleet", bare=True).close()
    Repository.init(server.folder / "private", bare=True).close()
    (server.root / "out").symlink_to(server.folder / "private")
    return server


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[SshServer]:
    server = started(tmp_path / "hub")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The ssh of a device at a host where nothing changes, and the folder of the host."""
    server = started(tmp_path_factory.mktemp("guarded") / "hub")
    yield server.key("cam-07", server.forced("--device", "cam-07")), server.folder
    server.stop()


@pytest.fixture
def device(tmp_path: Path) -> World:
    world = World(tmp_path / "device")
    world.save({"m.safetensors": network({"a": weights(1, 40_000), "b": weights(2, 4000)})})
    return world


def mvc(where: Path, ssh: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder with a key."""
    return subprocess.run(
        [sys.executable, "-m", "mvc", *arguments],
        cwd=where,
        env={**os.environ, "MVC_SSH": ssh, "MVC_AUTHOR_NAME": "Tester"},  # noqa: TID251
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def done(process: subprocess.CompletedProcess[str]) -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout


def raw(ssh: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Let ssh run something at the host, with no input."""
    return subprocess.run(
        [*shlex.split(ssh), "hub", "--", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def refs(hub: SshServer, name: str = "fleet") -> dict[str, str]:
    with Repository(hub.root / name, None) as repo:
        assert fsck(repo).ok
        return {ref: target.hex() for ref, target in repo.refs.all().items()}


def head(world: World) -> str:
    commit = world.repo.head_commit()
    assert commit is not None
    return commit.hex()


def test_a_device_pushes_below_its_prefix_and_the_centre_has_every_byte(
    hub: SshServer, device: World, tmp_path: Path
) -> None:
    ssh = hub.key("cam-07", hub.forced("--device", "cam-07", "--append-only"))
    done(mvc(device.root, ssh, "remote", "add", "origin", "hub:fleet"))
    done(mvc(device.root, ssh, "push", "origin", "main:devices/cam-07/main"))
    assert refs(hub) == {"refs/heads/devices/cam-07/main": head(device)}
    model = device.read("m.safetensors")
    device.save({"m.safetensors": nudged(model[:-4000], 3) + model[-4000:]}, "tuned")
    done(mvc(device.root, ssh, "push", "origin", "main:devices/cam-07/main"))
    assert refs(hub) == {"refs/heads/devices/cam-07/main": head(device)}
    with Repository(hub.root / "fleet", None) as centre:
        assert "device cam-07" in str(centre.refs.history("refs/heads/devices/cam-07/main"))
    owner = hub.key("owner")
    target = f"hub:{hub.root / 'fleet'}"
    done(mvc(tmp_path, owner, "clone", "-b", "devices/cam-07/main", target, "copy"))
    assert contents(tmp_path / "copy") == contents(device.root)


def test_a_device_reaches_nothing_but_its_prefix(hub: SshServer, device: World) -> None:
    owner = hub.key("owner", hub.forced())
    done(mvc(device.root, owner, "push", "hub:fleet", "main:main", "main:devices/cam-08/main"))
    before = refs(hub)
    ssh = hub.key("cam-07", hub.forced("--device", "cam-07"))
    seen = done(mvc(device.root, ssh, "ls-remote", "hub:fleet"))
    assert "refs/heads/main" in seen
    assert "cam-08" not in seen
    device.save({"b.txt": b"more"})
    for target in ("main:main", "main:devices/cam-08/main", "main:devices/cam-070/x", "main:x"):
        process = mvc(device.root, ssh, "push", "hub:fleet", target)
        assert process.returncode == 5, (target, process)
    assert mvc(device.root, ssh, "push", "hub:fleet", ":main").returncode == 5
    # What it may not read is not there, and so it is deleted already.
    assert "up to date" in done(mvc(device.root, ssh, "push", "hub:fleet", ":devices/cam-08/main"))
    assert refs(hub) == before


def test_a_device_neither_rewrites_nor_deletes_its_own_branch(
    hub: SshServer, device: World
) -> None:
    ssh = hub.key("cam-07", hub.forced("--device", "cam-07", "--append-only"))
    first = head(device)
    device.save({"b.txt": b"more"})
    done(mvc(device.root, ssh, "push", "hub:fleet", "main:devices/cam-07/main"))
    before = refs(hub)
    for words in (
        ["--force", "hub:fleet", f"{first}:devices/cam-07/main"],
        ["hub:fleet", f"{first}:devices/cam-07/main"],
        ["hub:fleet", ":devices/cam-07/main"],
        ["--force", "hub:fleet", ":devices/cam-07/main"],
    ):
        process = mvc(device.root, ssh, "push", *words)
        assert process.returncode in (4, 5), (words, process)
    assert refs(hub) == before


def test_append_only_lets_an_owner_add_and_nothing_else(hub: SshServer, device: World) -> None:
    ssh = hub.key("owner", hub.forced("--append-only"))
    first = head(device)
    done(mvc(device.root, ssh, "push", "hub:fleet", "main:main"))
    device.save({"b.txt": b"more"})
    done(mvc(device.root, ssh, "push", "hub:fleet", "main:main", "main:other"))
    before = refs(hub)
    assert mvc(device.root, ssh, "push", "-f", "hub:fleet", f"{first}:main").returncode == 5
    assert mvc(device.root, ssh, "push", "hub:fleet", ":other").returncode == 5
    assert refs(hub) == before


def test_read_only_gives_and_takes_nothing(hub: SshServer, device: World, tmp_path: Path) -> None:
    done(mvc(device.root, hub.key("owner", hub.forced()), "push", "hub:fleet", "main:main"))
    before = refs(hub)
    ssh = hub.key("reader", hub.forced("--read-only"))
    done(mvc(tmp_path, ssh, "clone", "hub:fleet", "copy"))
    assert contents(tmp_path / "copy") == contents(device.root)
    device.save({"b.txt": b"more"})
    assert mvc(device.root, ssh, "push", "hub:fleet", "main:main").returncode == 5
    assert refs(hub) == before


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["id"],
        ["mvc"],
        ["mvc", "serve", "--stdio"],
        ["mvc", "serve", "--stdio", "'fleet'", "other"],
        ["mvc", "serve", "--stdio", "--root=/", "'fleet'"],
        ["mvc", "serve", "--stdio", "'fleet';", "id"],
        ["mvc", "serve", "--stdio", "'fleet'\n", "id"],
        ["mvc", "serve", "--stdio", "$(id)", "x"],
        ["mvc", "token", "list", "/"],
        ["mvc", "-C", "/", "serve", "--stdio", "fleet"],
        ["scp", "-t", "/etc"],
        ["internal-sftp"],
        ["/bin/sh"],
    ],
)
def test_a_key_with_a_forced_command_runs_nothing_else(
    guarded: tuple[str, Path], words: list[str]
) -> None:
    process = raw(guarded[0], *words)
    assert process.stdout == ""
    assert process.returncode == 5 if words else process.returncode in (2, 5), process
    first = process.stderr.splitlines()[0]
    assert first.startswith("error: this key is for" if words else "error: ")
    assert len(process.stderr.splitlines()) <= 2
    assert "uid=" not in process.stderr


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("'../private'", 5),
        ("'fleet/../../private'", 5),
        ("'/etc'", 5),
        ("'~'", 5),
        ("'~root/x'", 5),
        ("''", 5),
        ("'.'", 5),
        ("'fleet\r'", 5),
        ("'\x1b[2J'", 5),
        ("'out'", 3),
        ("'nothing'", 3),
        ("$HOME", 3),
        ("`id`", 3),
        ("'$(id)'", 3),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(
    guarded: tuple[str, Path], path: str, status: int
) -> None:
    ssh, folder = guarded
    process = raw(ssh, "mvc", "serve", "--stdio", path)
    assert (process.returncode, process.stdout) == (status, ""), process
    assert process.stderr.startswith("error: ")
    assert str(folder) not in process.stderr
    assert "\x1b" not in process.stderr


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("hub:nothing", 3),
        ("hub:out", 3),
        ("hub:../private", 5),
        ("hub:/etc", 5),
        ("-oProxyCommand=id:x", 2),
        ("ssh://-oProxyCommand=id/x", 2),
        ("hub:$(id)", 2),
        ("hub:x;id", 2),
    ],
)
def test_the_client_tells_why_it_was_refused_in_one_sentence(
    guarded: tuple[str, Path], device: World, address: str, code: int
) -> None:
    process = mvc(device.root, guarded[0], "ls-remote", "--", address)
    assert process.returncode == code, process
    assert [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in process.stderr


def test_a_wrong_key_is_told_at_once(hub: SshServer, device: World) -> None:
    ssh = hub.key("stranger")
    (hub.folder / "authorized_keys").write_text("")
    process = mvc(device.root, ssh, "ls-remote", "hub:fleet")
    assert process.returncode == 7
    assert "Permission denied" in process.stderr
    assert "trying again" not in process.stderr


def test_a_host_without_mvc_is_told(hub: SshServer, device: World) -> None:
    ssh = hub.key("owner")
    (hub.folder / "home" / "bin" / "mvc").unlink()
    process = mvc(device.root, ssh, "ls-remote", "hub:fleet")
    assert process.returncode == 7
    assert "error: hub has no mvc that a login by ssh finds" in process.stderr
    assert "trying again" not in process.stderr


CUTTER = """
import os, subprocess, sys, threading
counter, limits, command = sys.argv[1], [int(word) for word in sys.argv[2].split(",")], sys.argv[3:]
with open(counter, "a+") as stream:
    stream.write("x")
    stream.flush()
    stream.seek(0)
    number = len(stream.read())
way, limit = ("up", limits[number - 1]) if number <= len(limits) else ("", 0)
if limit < 0:
    way, limit = "down", -limit
child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

def relay(name, source, target):
    passed = 0
    while data := os.read(source, 4096):
        passed += len(data)
        if name == way and passed > limit:
            child.kill()
            os._exit(child.wait() and 255)
        os.write(target, data)
    os.close(target)

up = threading.Thread(target=relay, args=("up", 0, child.stdin.fileno()), daemon=True)
up.start()
relay("down", child.stdout.fileno(), 1)
os._exit(child.wait())
"""


def cutting(folder: Path, ssh: str, *limits: int) -> str:
    """Return an ssh that is killed behind so many bytes, one limit for each connection.

    Positive limits count what is sent, negative ones what is received. Later ones last.
    """
    program = folder / "cutter.py"
    program.write_text(CUTTER)
    words = [sys.executable, str(program), str(folder / "count"), ",".join(map(str, limits))]
    return shlex.join(words) + " " + ssh


def connections(folder: Path) -> int:
    return len((folder / "count").read_text())


def test_a_push_goes_on_where_ssh_was_killed_in_the_middle_of_a_part(
    hub: SshServer, device: World, tmp_path: Path
) -> None:
    device.save({"big.bin": os.urandom(1 << 20)})
    ssh = hub.key("cam-07", hub.forced("--device", "cam-07"))
    cut = cutting(tmp_path, ssh, 300_000, 500_000)
    process = mvc(device.root, cut, "push", "hub:fleet", "main:devices/cam-07/main")
    done(process)
    assert "trying again in" in process.stderr
    assert connections(tmp_path) >= 3
    assert refs(hub) == {"refs/heads/devices/cam-07/main": head(device)}


def test_a_clone_goes_on_where_ssh_was_killed_in_the_middle_of_a_part(
    hub: SshServer, device: World, tmp_path: Path
) -> None:
    device.save({"big.bin": os.urandom(1 << 20)})
    ssh = hub.key("owner", hub.forced())
    done(mvc(device.root, ssh, "push", "hub:fleet", "main:main"))
    cut = cutting(tmp_path, ssh, -300_000, -500_000)
    process = mvc(tmp_path, cut, "clone", "hub:fleet", "copy")
    done(process)
    assert "trying again in" in process.stderr
    assert connections(tmp_path) >= 3
    assert contents(tmp_path / "copy") == contents(device.root)


def test_a_server_that_is_killed_in_the_middle_of_a_part_loses_nothing(
    hub: SshServer, device: World, tmp_path: Path
) -> None:
    device.save({"big.bin": os.urandom(1 << 20)})
    # The first server is killed by itself when so many bytes have come; the next one lives.
    mark = tmp_path / "killed"
    program = tmp_path / "dying.py"
    program.write_text(
        "import os, sys\n"
        f"mark = {str(mark)!r}\n"
        "import mvc.sync.pipes as pipes\n"
        "read, seen = pipes.Pipes.read, [0]\n"
        "def counted(self, most):\n"
        "    data = read(self, most)\n"
        "    seen[0] += len(data)\n"
        "    if seen[0] > 300_000 and not os.path.exists(mark):\n"
        "        open(mark, 'w').close()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return data\n"
        "pipes.Pipes.read = counted\n"
        "from mvc.__main__ import main\n"
        "sys.exit(main())\n"
    )
    words = shlex.join([sys.executable, str(program), "serve", "--stdio", "--root", str(hub.root)])
    ssh = hub.key("cam-07", f"{words} --device cam-07")
    process = mvc(device.root, ssh, "push", "hub:fleet", "main:devices/cam-07/main")
    done(process)
    assert mark.exists()
    assert "trying again in" in process.stderr
    assert refs(hub) == {"refs/heads/devices/cam-07/main": head(device)}


def test_requests_are_logged_on_demand_and_say_nothing_secret(
    hub: SshServer, device: World
) -> None:
    ssh = hub.key("cam-07", hub.forced("--device", "cam-07", "--verbose"))
    process = mvc(device.root, ssh, "push", "hub:fleet", "main:devices/cam-07/main")
    done(process)
    told = [line.removeprefix("hub: ") for line in process.stderr.splitlines()]
    lines = [json.loads(line) for line in told if line.startswith("{")]
    assert (lines[0]["verb"], lines[-1]["verb"]) == ("refs", "update")
    assert {line["code"] for line in lines} == {"ok"}
    assert all(line.keys() == {"verb", "code", "received", "sent", "seconds"} for line in lines)
