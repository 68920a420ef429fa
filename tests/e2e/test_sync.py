"""Devices and a centre on one machine: every instance comes back, and nobody loses anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer
from mvc.ops.checkout import switch
from mvc.ops.clone import CloneRequest, clone
from mvc.ops.device import init as device
from mvc.ops.export import export
from mvc.ops.fetch import FetchRequest
from mvc.ops.fsck import fsck
from mvc.ops.gc import GcRequest, gc
from mvc.ops.links import Access
from mvc.ops.offload import offload
from mvc.ops.pull import pull
from mvc.ops.push import PushRequest, push
from mvc.ops.repack import RepackRequest, repack
from mvc.repo.repository import Environment, Repository
from tests.e2e.world import ENVIRONMENT, World, network, nudged, sha256s, weights

SIZE = 400_000


class Fleet:
    """A bare centre with a release, and devices that were set up from it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.centre = Repository.init(root / "centre", bare=True, environment=ENVIRONMENT)
        self.base = weights(1, SIZE)
        self.maker = World(root / "maker")
        self.maker.save(self.files(self.base), "release")
        self.url = str(root / "centre")
        push(self.maker.repo, PushRequest(self.url, ("main",)))

    def files(self, body: bytes) -> dict[str, bytes]:
        return {
            "m.safetensors": network({"body": body, "head": weights(9, 8192)}),
            "labels.txt": b"cat\ndog\n",
        }

    def device(self, name: str) -> World:
        world = World(self.root / name)
        world.repo.environment = Environment()
        device(world.repo, name, self.url)
        return world

    def reopened(self) -> Repository:
        self.centre.close()
        self.centre = Repository(self.centre.folder, None, ENVIRONMENT)
        return self.centre

    def recovered(self, revision: str) -> dict[str, str]:
        target = self.root / "recovered" / revision.replace("/", "-")
        export(self.reopened(), revision, target)
        return sha256s(target)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def whole(repo: Repository) -> None:
    report = fsck(repo)
    assert report.ok, report.problems


def test_the_centre_gives_back_what_each_device_runs(fleet: Fleet) -> None:
    stored = sum(path.stat().st_size for path in (fleet.centre.folder / "packs").iterdir())
    wanted = {}
    for number in range(4):
        world = fleet.device(f"cam-{number}")
        body = fleet.base
        for step in range(2):
            body = nudged(body, 100 * number + step, 1e-5)
            world.save(fleet.files(body), f"step {step}")
            push(world.repo, PushRequest())
        wanted[f"devices/cam-{number}/main"] = sha256s(world.root)
        world.check()
    whole(fleet.reopened())
    for revision, files in wanted.items():
        assert fleet.recovered(revision) == files
    later = sum(path.stat().st_size for path in (fleet.centre.folder / "packs").iterdir())
    assert later - stored < 8 * SIZE * 0.6, "devices were stored whole"


def test_devices_push_below_their_own_prefix_and_follow_it(fleet: Fleet) -> None:
    one, two = fleet.device("one"), fleet.device("two")
    for world in (one, two):
        world.save({"labels.txt": world.root.name.encode()})
        (row,) = push(world.repo, PushRequest()).rows
        assert row.move.ref == f"refs/heads/devices/{world.root.name}/main"
    found = one.status().upstream
    assert found is not None
    assert (found.upstream.name, found.ahead, found.behind) == ("origin/devices/one/main", 0, 0)
    release = fleet.maker.repo.head_commit()
    assert fleet.centre.refs.get("refs/heads/main") == release


def test_a_lost_device_comes_back_as_it_was(fleet: Fleet) -> None:
    world = fleet.device("cam")
    world.save(fleet.files(nudged(fleet.base, 5)), "tuned")
    push(world.repo, PushRequest())
    before = sha256s(world.root)
    again = World(fleet.root / "again")
    done = device(again.repo, "cam", fleet.url)
    assert done.began is not None
    assert done.began.upstream == "origin/devices/cam/main"
    assert sha256s(again.root) == before


def test_two_that_push_one_branch_are_told_apart(fleet: Fleet) -> None:
    copies = []
    for name in ("one", "two"):
        clone(CloneRequest(fleet.url, fleet.root / name), ENVIRONMENT)
        copies.append(World(fleet.root / name))
    for copy in copies:
        copy.save({"labels.txt": copy.root.name.encode()})
    assert push(copies[0].repo, PushRequest()).problem() is None
    done = push(copies[1].repo, PushRequest())
    problem = done.problem()
    assert problem is not None
    assert problem.exit_code == 4
    with pytest.raises(NegativeAnswer, match="diverged"):
        pull(copies[1].repo, FetchRequest())
    assert copies[1].read("labels.txt") == b"two"
    for copy in copies:
        copy.check()


def test_a_chain_of_versions_and_merged_packs_travel_both_ways(fleet: Fleet) -> None:
    world = fleet.device("cam")
    body = fleet.base
    for step in range(5):
        body = nudged(body, step)
        world.save(fleet.files(body), f"step {step}")
    repack(world.repo, RepackRequest())
    gc(world.repo, GcRequest(0.0))
    world.save(fleet.files(nudged(body, 50)), "after gc")
    push(world.repo, PushRequest())
    gc(fleet.reopened(), GcRequest(0.0))
    repack(fleet.centre, RepackRequest())
    copy = World(fleet.root / "copy")
    device(copy.repo, "cam", fleet.url)
    assert sha256s(copy.root) == sha256s(world.root)
    for number in range(6):
        assert copy.exported(f"HEAD~{number}", fleet.root / f"c{number}") == world.exported(
            f"HEAD~{number}", fleet.root / f"w{number}"
        )
    copy.check()
    whole(fleet.reopened())


def test_branches_that_grew_apart_for_long_arrive_with_their_own_history(fleet: Fleet) -> None:
    world = fleet.device("cam")
    for name in ("a", "b"):
        switch(world.repo, name, create=True, start="main")
        for step in range(3):
            world.save({"labels.txt": f"{name}{step}".encode()}, f"{name} {step}")
    push(world.repo, PushRequest(branches=True))
    refs = fleet.reopened().refs.all("refs/heads/devices/cam/")
    assert list(refs) == [f"refs/heads/devices/cam/{name}" for name in ("a", "b", "main")]
    whole(fleet.centre)


def test_a_device_whose_lower_bits_are_at_the_centre_pushes_on(fleet: Fleet) -> None:
    world = fleet.device("cam")
    world.save(fleet.files(nudged(fleet.base, 3)), "tuned")
    push(world.repo, PushRequest())
    offload(world.repo, fleet.centre.folder)
    world.reopen()
    world.save({"labels.txt": b"new"})
    push(world.repo, PushRequest())
    whole(fleet.reopened())


@pytest.mark.parametrize("count", [8])
def test_processes_that_push_at_once_all_arrive(fleet: Fleet, count: int) -> None:
    worlds = [fleet.device(f"cam-{number}") for number in range(count)]
    for number, world in enumerate(worlds):
        world.save(fleet.files(nudged(fleet.base, number)), "tuned")
        world.repo.close()
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "mvc", "-C", world.root, "push"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for world in worlds
    ]
    for child in children:
        out, errors = child.communicate(timeout=120)
        assert child.returncode == 0, out + errors
    whole(fleet.reopened())
    for world in worlds:
        assert fleet.recovered(f"devices/{world.root.name}/main") == sha256s(world.root)


def test_a_relative_address_is_seen_from_the_working_copy(fleet: Fleet) -> None:
    access = Access(here=fleet.root)
    done = clone(CloneRequest("centre", fleet.root / "copy"), ENVIRONMENT, access)
    assert done.fetched.url == fleet.url
