"""Copies with some of the files of each version, over every carrier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.http_server import ALL, Client, HttpServer
from tests.e2e.ssh_server import SshServer, lacking
from tests.e2e.world import contents, network, nudged, weights

MODEL = network({"w": weights(1, 400_000)})
NEXT = network({"w": nudged(weights(1, 400_000), 2)})
OTHER = weights(3, 3_000_000)


class Centre:
    """A bare repository `fleet`, and how clients reach it."""

    def __init__(self, folder: Path, url: str, token: str = "") -> None:
        self.folder = folder
        self.url = url
        self._token = token

    def client(self, folder: Path) -> Client:
        folder.mkdir(exist_ok=True)
        return Client(folder, self._token)


@pytest.fixture(
    params=[
        "path",
        "http",
        pytest.param(
            "ssh", marks=pytest.mark.skipif(lacking() is not None, reason=lacking() or "")
        ),
    ]
)
def centre(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Centre]:
    if request.param == "ssh":
        hub = SshServer(tmp_path / "hub")
        Client(tmp_path)("init", "--bare", "hub/served/fleet")
        monkeypatch.setenv("MVC_SSH", hub.key("owner", hub.forced()))
        yield Centre(hub.root / "fleet", "hub:fleet")
        hub.stop()
        return
    Client(tmp_path)("init", "--bare", "srv/fleet")
    folder = tmp_path / "srv/fleet"
    if request.param == "path":
        yield Centre(folder, str(folder))
        return
    server = HttpServer(tmp_path / "srv", tmp_path / "log")
    server.start()
    token = Client(server.root)("token", "create", ".", "--name", "all", *ALL)
    yield Centre(folder, f"{server.url}fleet", token)
    assert server.end() == 0


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / ".mvc/packs").rglob("*.*"))


def test_a_device_has_its_model_alone_and_the_centre_whole_versions(
    centre: Centre, tmp_path: Path
) -> None:
    ada = centre.client(tmp_path / "ada")
    ada("init")
    first = {"m.safetensors": MODEL, "data/other.bin": OTHER, "data/note": b"1"}
    for name, data in first.items():
        (ada.folder / name).parent.mkdir(exist_ok=True)
        (ada.folder / name).write_bytes(data)
    ada("add", ".")
    ada("commit", "-m", "first")
    ada("remote", "add", "origin", centre.url)
    ada("push", "-u", "origin", "main")
    centre.client(tmp_path)("clone", "--path", "m.safetensors", centre.url, "cam")
    cam = centre.client(tmp_path / "cam")
    assert contents(cam.folder) == {"m.safetensors": MODEL}
    assert size(cam.folder) < len(MODEL) + 20_000
    (cam.folder / "m.safetensors").write_bytes(NEXT)
    cam("commit", "-m", "mine")
    cam("push", "origin", "main:devices/cam/main")
    cam("fsck")
    there = Client(centre.folder)
    there("export", "devices/cam/main", str(tmp_path / "out"))
    assert contents(tmp_path / "out") == {**first, "m.safetensors": NEXT}
    (ada.folder / "data/note").write_bytes(b"2")
    ada("commit", "-m", "second")
    ada("push")
    cam("fetch", "--path", "data/n*")
    cam("switch", "-c", "second", "origin/main")
    assert contents(cam.folder) == {"m.safetensors": MODEL, "data/note": b"2"}
    cam("fsck")
    cam("fetch", "--full")
    assert (cam.folder / "data/other.bin").read_bytes() == OTHER
    cam("fsck")
    there("fsck")
