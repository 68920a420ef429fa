"""Copies without lower bits and older versions, over HTTP and with the token of a device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.http_server import ALL, Client, HttpServer, client
from tests.e2e.world import network, nudged, weights

BODY = weights(1, 6_000_000)
SECOND = nudged(BODY, 2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    Client(tmp_path)("init", "--bare", "srv/fleet")
    found = HttpServer(tmp_path / "srv", tmp_path / "log")
    found.start()
    yield found
    if found.process is not None:
        assert found.end() == 0


def token(server: HttpServer, *options: str) -> str:
    return Client(server.root)("token", "create", ".", *options)


def sizes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / ".mvc/packs").rglob("*.*"))


def test_a_device_lives_on_heads_alone_and_gets_the_rest_when_it_asks(
    server: HttpServer, tmp_path: Path
) -> None:
    first = network({"w": BODY})
    ada = client(tmp_path / "ada", server.url, token(server, "--name", "ada", *ALL), first)
    (ada.folder / "model.bin").rename(ada.folder / "m.safetensors")
    ada("add", ".")
    ada("commit", "-m", "first")
    (ada.folder / "m.safetensors").write_bytes(network({"w": SECOND}))
    ada("commit", "-m", "second")
    ada("push", "-u", "origin", "main")
    key = token(server, "--device", "cam-07")
    url = f"{server.url}fleet"
    Client(tmp_path, key)("clone", "--precision", "16", "--depth", "1", url, "cam")
    cam = Client(tmp_path / "cam", key)
    assert sizes(cam.folder) < 0.5 * len(BODY)
    assert cam("log", "--oneline").count("\n") == 0
    cam("checkout", "main")
    assert (cam.folder / "m.safetensors").read_bytes() == network({"w": SECOND})
    mine = network({"w": nudged(SECOND, 3)})
    (cam.folder / "m.safetensors").write_bytes(mine)
    cam("commit", "-m", "mine")
    cam("push", "origin", "main:devices/cam-07/main")
    centre = Client(server.root / "fleet")
    centre("export", "devices/cam-07/main", "../../out")
    assert (tmp_path / "out/m.safetensors").read_bytes() == mine
    cam("fetch", "--unshallow")
    cam("fetch", "--full")
    assert server.end() == 0
    cam("fsck")
    cam("export", "HEAD~2", "../first")
    assert (tmp_path / "first/m.safetensors").read_bytes() == first
    centre("fsck")
