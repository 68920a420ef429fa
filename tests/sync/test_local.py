"""Repositories at a path: whose they are, what is followed, and many at once."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import msgpack
import pytest

from mvc.base import fileio
from mvc.base.errors import MissingObjectError, NotAllowedError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.local import LocalLink
from mvc.sync.messages import (
    Asked,
    Change,
    GiveReply,
    GiveRequest,
    PlanRequest,
    RefsReply,
    RefsRequest,
    UpdateRequest,
    planned,
)
from tests.e2e.world import World, network, weights
from tests.sync.exchange import PUSH, bare, client, files_at, leftovers


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def refs(path: Path) -> list[str]:
    link = LocalLink(path)
    reply = link.ask(RefsRequest(("refs/",))).reply
    assert isinstance(reply, RefsReply)
    link.close()
    return [item.ref for item in reply.refs]


def test_a_bare_repository_a_working_copy_and_its_folder_are_found(
    world: World, tmp_path: Path
) -> None:
    one = world.save({"n": b"1"}).id
    server = bare(tmp_path / "server")
    client(world, server).push(one)
    for path in (tmp_path / "server", world.root, world.root / ".mvc"):
        assert refs(path) == ["refs/heads/main"]


def test_a_folder_inside_a_repository_is_none(world: World, tmp_path: Path) -> None:
    world.write("below/x", b"x")
    for path in (world.root / "below", tmp_path / "nowhere"):
        with pytest.raises(NotFoundError, match="not an mvc repository"):
            LocalLink(path)


def test_a_repository_of_another_user_is_not_opened_unless_allowed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fileio, "is_mine", lambda path: path.name != "packs")
    with pytest.raises(NotAllowedError, match="another user"):
        LocalLink(world.root)
    LocalLink(world.root, strangers=True).close()


def test_a_file_is_its_owners(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    assert fileio.is_mine(tmp_path / "f")
    if os.geteuid() == 0:
        os.chown(tmp_path / "f", 12345, 12345)
        assert not fileio.is_mine(tmp_path / "f")


def test_links_out_of_a_repository_are_not_followed(world: World, tmp_path: Path) -> None:
    world.save({"n": b"1"})
    for name in ("packs", "refs", "incoming"):
        folder = world.root / ".mvc" / name
        folder.mkdir(exist_ok=True)
        folder.rename(tmp_path / name)
        folder.symlink_to(tmp_path / name)
        with pytest.raises(NotAllowedError, match=f"where {name} belongs"):
            LocalLink(world.root)
        folder.unlink()
        (tmp_path / name).rename(folder)
    LocalLink(world.root).close()


def test_what_is_refused_is_told_as_by_any_server(world: World) -> None:
    link = LocalLink(world.root)
    absent = ObjectId(b"x" * 32)
    with pytest.raises(NotFoundError, match="the server refused: there is no version"):
        link.ask(PlanRequest((absent,), ()))
    change = Change("refs/heads/x", None, absent, False)
    with pytest.raises(MissingObjectError, match="the server refused"):
        link.ask(UpdateRequest(PUSH, (), (), (change,)))
    link.close()


CHILD = """
import sys
from pathlib import Path
from tests.e2e.world import World, network, weights
from tests.sync.exchange import Client
from mvc.sync.local import LocalLink

number, root, server, ref = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
world = World(root / f"device-{number}")
same = network({"a": weights(1, 1 << 17)})
one = world.save({"same.safetensors": same, "own": b"%d" % number}).id
print("ready", flush=True)
sys.stdin.readline()
link = LocalLink(server, who="anybody")
pushing = Client(world.repo, link)
pushing.service.answer = lambda request, body: link.ask(request, body)
for again in range(20):
    try:
        old = {item.ref: item.target for item in pushing.refs().refs}.get(ref)
        outcome = pushing.push(one, ref, old, push=b"%016d" % number)
    except Exception as error:
        if type(error).__name__ != "MissingObjectError":
            raise
        continue
    break
print(outcome, flush=True)
"""


def run_all(tmp_path: Path, server: Path, refs: list[str]) -> list[str]:
    """Let processes push at the same time, each to its ref; return what became of them."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(number), str(tmp_path), str(server), ref],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, ref in enumerate(refs)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    found = []
    for child in children:
        out, _ = child.communicate()
        assert child.returncode == 0
        found.append(out.strip())
    return found


def chunk_copies(repo: Repository) -> set[int]:
    return {len(repo.store.places(item)) for item in repo.store.of_kind("chunk")}


def test_many_processes_push_at_once_and_objects_are_stored_once(tmp_path: Path) -> None:
    server = bare(tmp_path / "server")
    names = [f"refs/heads/devices/{number}/main" for number in range(12)]
    assert run_all(tmp_path, tmp_path / "server", names) == ["ok"] * 12
    assert list(server.refs.all()) == sorted(names)
    server.store.refresh()
    assert chunk_copies(server) == {1}
    same = network({"a": weights(1, 1 << 17)})
    found = files_at(server, "devices/3/main", tmp_path / "out")
    assert found == {"same.safetensors": same, "own": b"3"}
    assert leftovers(server) == []


def test_of_many_processes_that_push_to_one_ref_one_succeeds_and_each_is_told(
    tmp_path: Path,
) -> None:
    server = bare(tmp_path / "server")
    told = run_all(tmp_path, tmp_path / "server", ["refs/heads/main"] * 8)
    # Unrelated histories: one comes first, the others are no continuation of it.
    assert sorted(set(told)) in (
        ["moved", "not-forward", "ok"],
        ["not-forward", "ok"],
        ["moved", "ok"],
    )
    assert told.count("ok") == 1
    number = told.index("ok")
    found = files_at(server, "main", tmp_path / "out")
    assert found["own"] == b"%d" % number


def test_a_repository_that_cannot_be_written_can_be_fetched_from(
    world: World, tmp_path: Path
) -> None:
    one = world.save({"n": b"1"}).id
    world.repo.close()
    before = {path: path.stat().st_mtime_ns for path in (world.root / ".mvc").rglob("*")}
    link = LocalLink(world.root, scratch=tmp_path / "mine")
    plan = link.ask(PlanRequest((one,), ()))
    found = [planned(value) for value in msgpack.Unpacker(BytesIO(b"".join(plan.body)))]
    asked = tuple(Asked(item.id, item.base) for item in found)
    given = link.ask(GiveRequest((one,), asked))
    assert isinstance(given.reply, GiveReply)
    assert len(list((tmp_path / "mine").rglob("staged-*"))) == 2
    assert len(b"".join(given.body)) == given.reply.head + given.reply.tail
    assert list((tmp_path / "mine").rglob("staged-*")) == []
    unread = link.ask(GiveRequest((one,), asked))
    del unread
    assert list((tmp_path / "mine").rglob("staged-*")) == [], "nobody wanted it any more"
    link.close()
    after = {path: path.stat().st_mtime_ns for path in (world.root / ".mvc").rglob("*")}
    assert after == before
