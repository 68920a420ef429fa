"""`mvc serve` and its clients as processes, over real sockets."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.http_server import ALL, Client, HttpServer, client

MB = 1_000_000


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    root = tmp_path / "srv"
    Client(tmp_path)("init", "--bare", "srv/fleet")
    found = HttpServer(root, tmp_path / "log")
    found.start()
    yield found
    if found.process is not None:
        assert found.end() == 0


def token(server: HttpServer, *options: str) -> str:
    return Client(server.root)("token", "create", ".", *options)


def test_what_one_pushes_another_clones_and_pulls(server: HttpServer, tmp_path: Path) -> None:
    data = noise(3 * MB, 1)
    ada = client(tmp_path / "ada", server.url, token(server, "--name", "ada", *ALL), data)
    ada("push", "-u", "origin", "main")
    reader = token(server, "--name", "reader", "--grant", "read:refs/")
    Client(tmp_path, reader)("clone", f"{server.url}fleet", "copy")
    copy = Client(tmp_path / "copy", reader)
    assert (copy.folder / "model.bin").read_bytes() == data
    more = data + b"more"
    (ada.folder / "model.bin").write_bytes(more)
    ada("commit", "-m", "more")
    ada("push")
    copy("pull")
    assert (copy.folder / "model.bin").read_bytes() == more
    (copy.folder / "model.bin").write_bytes(b"mine")
    copy("commit", "-m", "mine")
    refused = copy.run("push", "origin", "main")
    assert refused.returncode == 5
    assert "refused" in refused.stderr
    Client(server.root / "fleet")("fsck")


def test_a_device_reaches_its_own_branches_until_its_token_is_revoked(
    server: HttpServer, tmp_path: Path
) -> None:
    secret = token(server, "--device", "cam-07", "--repository", "fleet", "--expires", "90d")
    device = client(tmp_path / "cam", server.url, secret, noise(MB, 2))
    device("push", "origin", "main:refs/heads/devices/cam-07/main")
    for other in ("main", "devices/cam-08/main", "devices/cam-070/main"):
        assert device.run("push", "origin", f"main:refs/heads/{other}").returncode != 0
    assert device.run("push", "origin", ":refs/heads/devices/cam-07/main").returncode != 0
    own = Client(server.root / "fleet")("branch", "--json")
    assert [item["name"] for item in json.loads(own)] == ["devices/cam-07/main"]
    Client(server.root)("token", "revoke", ".", "cam-07")
    gone = device.run("fetch")
    assert gone.returncode == 5
    assert "revoked" in gone.stderr
    assert secret[-60:] not in server.log.read_text() + gone.stderr


def test_an_admin_makes_a_repository_by_pushing(server: HttpServer, tmp_path: Path) -> None:
    options = ("--name", "boss", "--repository", "new/*", "--grant", "admin", *ALL)
    boss = client(tmp_path / "boss", server.url, token(server, *options), b"x" * 1000)
    boss("remote", "set-url", "origin", f"{server.url}new/one")
    boss("push", "origin", "main")
    assert (server.root / "new" / "one" / "HEAD").exists()
    boss("remote", "set-url", "origin", f"{server.url}other")
    assert boss.run("push", "origin", "main").returncode == 3
    assert not (server.root / "other").exists()


def test_memory_of_the_server_does_not_grow_with_what_is_pushed_and_cloned(
    server: HttpServer, tmp_path: Path
) -> None:
    ada = client(
        tmp_path / "ada", server.url, token(server, "--name", "ada", *ALL), noise(200 * MB, 3)
    )
    ada("push", "origin", "main")
    pushed = server.peak()
    Client(tmp_path, ada.token)("clone", "--bare", f"{server.url}fleet", "copy")
    assert pushed < 150 * MB
    assert server.peak() < 200 * MB


def test_a_server_that_is_killed_and_starts_again_goes_on(
    server: HttpServer, tmp_path: Path
) -> None:
    ada = client(
        tmp_path / "ada", server.url, token(server, "--name", "ada", *ALL), noise(60 * MB, 4)
    )
    push = ada.begin("push", "origin", "main")
    seen = 0
    while push.poll() is None and seen < 3:
        parts = list((server.root / "fleet").glob("incoming/*/packs/*.head"))
        if len(parts) > seen:
            seen = len(parts)
            server.end(signal.SIGKILL)
            server.start()
    out, errors = push.communicate(timeout=120)
    assert push.returncode == 0, out + errors
    assert server.end(signal.SIGINT) == 0
    bare = Client(server.root / "fleet")
    bare("fsck")
    assert bare("rev-parse", "main") == ada("rev-parse", "main")


def test_many_push_at_once_and_health_is_told_meanwhile(server: HttpServer, tmp_path: Path) -> None:
    count, common = 8, noise(2 << 20, 5)
    devices = []
    for number in range(count):
        secret = token(server, "--device", f"d{number}")
        data = common + noise(1 << 20, 100 + number)
        devices.append(client(tmp_path / f"d{number}", server.url, secret, data))
    over = threading.Event()
    answers: list[bytes] = []

    def ask() -> None:
        while not over.is_set():
            with urllib.request.urlopen(f"{server.url}healthz", timeout=30) as answer:
                answers.append(answer.read())

    asking = threading.Thread(target=ask)
    asking.start()
    pushes: list[subprocess.Popen[str]] = [
        device.begin("push", "origin", f"main:refs/heads/devices/d{number}/main")
        for number, device in enumerate(devices)
    ]
    done = [(push.communicate(timeout=300), push.returncode) for push in pushes]
    over.set()
    asking.join()
    assert [code for _, code in done] == [0] * count, done
    assert set(answers) == {b"ok\n"}
    bare = Client(server.root / "fleet")
    bare("fsck")
    stored = sum(path.stat().st_size for path in (server.root / "fleet/packs").iterdir())
    # What they have in common is stored once.
    assert stored < (2 << 20) + count * (1 << 20) + count * 20_000


def test_a_server_says_what_is_wrong_before_it_serves(tmp_path: Path) -> None:
    here = Client(tmp_path)
    assert here.run("serve").returncode == 2
    assert here.run("serve", "nowhere").returncode == 3
    assert here.run("serve", ".", "--device", "x").returncode == 2
    assert here.run("serve", "--stdio", ".", "--port", "80").returncode == 2
    assert here.run("serve", ".", "--host", "192.0.2.1").returncode == 2
    (tmp_path / "serve.toml").write_text("prot = 1")
    wrong = here.run("serve", ".", "--config", "serve.toml")
    assert (wrong.returncode, "prot" in wrong.stderr) == (2, True)


def test_tokens_are_made_listed_and_revoked(tmp_path: Path) -> None:
    here = Client(tmp_path)
    made = json.loads(
        here("token", "create", ".", "--name", "ada", "--grant", "read:refs/", "--expires", "1w",
             "--rate", "60", "--bytes-per-day", "20G", "--repository", "a/*", "--json")
    )  # fmt: skip
    secret = made.pop("token")
    assert secret.startswith(f"mvc_{made['id']}_")
    assert made["bytes_per_day"] == 20 * 10**9
    assert json.loads(here("token", "list", ".", "--json")) == [made]
    assert secret not in here("token", "list", ".")
    for wrong in (
        ("create", "."),
        ("create", ".", "--name", "x"),
        ("create", ".", "--grant", "read:refs/"),
        ("create", ".", "--name", "x", "--grant", "all"),
        ("create", ".", "--device", "a/b"),
        ("create", ".", "--device", "x", "--expires", "soon"),
        ("create", ".", "--device", "x", "--bytes-per-day", "much"),
        ("create", ".", "--device", "x", "--repository", "../y"),
        ("revoke", "."),
    ):
        assert here.run("token", *wrong).returncode == 2, wrong
    assert here.run("token", "create", ".", "--name", "ada", *ALL).returncode == 1
    here("token", "revoke", ".", made["id"])
    assert here.run("token", "revoke", ".", "ada").returncode == 3
    assert here("token", "list", ".") == ""
