"""Repositories that hold the heads of packs alone: lower bits stay where they were cloned from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import TailAwayError, UsageError
from mvc.base.ids import ObjectId
from mvc.codec.segments import Segments
from mvc.ops import complete as completing
from mvc.ops.checkout import checkout
from mvc.ops.clone import CloneRequest, CloneResult, clone
from mvc.ops.export import export
from mvc.ops.fetch import FetchRequest, fetch
from mvc.ops.fsck import fsck
from mvc.ops.gc import GcRequest, gc
from mvc.ops.links import Access
from mvc.ops.offload import bring_back, offload, place
from mvc.ops.pull import pull
from mvc.ops.push import PushRequest, push
from mvc.ops.repack import RepackRequest, repack
from mvc.ops.reset import reset
from mvc.ops.stats import stats
from mvc.ops.tails import let_ask
from mvc.repo import remotes, restore, revisions
from mvc.repo.repository import Repository
from mvc.storage import keys
from mvc.store.decode import load_top
from mvc.sync import remote_tails
from mvc.sync.closure import Found, walk
from mvc.sync.messages import GiveRequest
from mvc.sync.remote_tails import RemoteTails
from tests.e2e.world import ENVIRONMENT, World, contents, nudged, safetensors, weights

BODY = weights(1, 6_000_000)
STEPS = np.arange(5000, dtype="<i8").tobytes()
TWO_BODY = nudged(BODY, 2)


def model(body: bytes, steps: bytes = STEPS) -> bytes:
    parts = [("w", "F32", [len(body) // 4], body), ("n", "I64", [5000], steps)]
    return safetensors(parts)  # type: ignore[arg-type]


ONE = {"m": model(BODY), "text": b"one", "raw": np.arange(3000, dtype="<i4").tobytes()}
TWO = {"m": model(TWO_BODY, STEPS[8:] + bytes(8)), "text": b"two", "raw": b"12345678" * 999}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "there")
    world.save(ONE, "one")
    world.save(TWO, "two")
    return world


def cloned(world: World, target: Path, **options: object) -> CloneResult:
    request = CloneRequest(str(world.root), target, **options)  # type: ignore[arg-type]
    return clone(request, ENVIRONMENT)


@pytest.fixture
def here(world: World, tmp_path: Path) -> Iterator[World]:
    cloned(world, tmp_path / "here", precision=16)
    here = World(tmp_path / "here")
    yield here
    here.repo.close()


def away(world: World) -> None:
    world.repo.close()
    world.root.rename(world.root.with_name("elsewhere"))


def tails(world: World) -> int:
    return sum(size for name, size in world.packs().items() if name.endswith(".tail"))


def tops(data: bytes) -> bytes:
    return (np.frombuffer(data, "<u4") & 0xFFFF0000).tobytes()


def chunks(repo: Repository) -> list[Found]:
    head = repo.head_commit()
    assert head is not None
    return [item for item in walk(repo.store, [Found(head, "commit")]) if item.kind == "chunk"]


def test_a_clone_of_heads_has_all_history_and_the_files_short(world: World, here: World) -> None:
    assert contents(here.root) == {**TWO, "m": model(tops(TWO_BODY), STEPS[8:] + bytes(8))}
    assert here.stored() < 0.6 * world.stored()
    assert set(here.repo.offloaded.packs().values()) == {"origin"}
    away(world)
    here.reopen()
    assert contents(here.root)
    for item in chunks(here.repo):
        load_top(here.repo.store, item.id)
    found = here.root.parent / "out"
    done = export(here.repo, "HEAD~1", found, precision=16)
    assert done.reduced == ("m",)
    assert contents(found) == {**ONE, "m": model(tops(BODY))}


def test_integers_come_whole(here: World) -> None:
    exact = {name for name, data in TWO.items() if name != "m"}
    assert exact
    assert 0 < tails(here) < 100_000


def test_what_needs_all_bits_asks_for_them_together(
    world: World, here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    give = RemoteTails._given

    def counted(self: RemoteTails, request: GiveRequest) -> dict[ObjectId, Segments]:
        asked.append(len(request.objects))
        return give(self, request)

    monkeypatch.setattr(RemoteTails, "_given", counted)
    let_ask(here.repo, Access())
    found = here.root.parent / "out"
    assert export(here.repo, "HEAD", found).reduced == ()
    assert contents(found) == TWO
    assert asked == [2], "the chunks of the matrix alone, and all at once"
    checkout(here.repo, "HEAD")
    assert contents(here.root) == TWO
    assert here.status().clean


def test_what_is_needed_next_is_asked_for_while_the_pool_decodes(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "AHEAD_BYTES", 1)
    monkeypatch.setattr(remote_tails, "ROOM", 1)
    let_ask(here.repo, Access())
    for number in range(3):
        assert here.exported("HEAD", here.root.parent / str(number)) == TWO


def test_without_the_remote_the_command_fails_and_changes_nothing(
    world: World, here: World
) -> None:
    away(world)
    before = contents(here.root)
    for opener in (False, True):
        here.reopen()
        if opener:
            let_ask(here.repo, Access())
        with pytest.raises(TailAwayError, match=r"lower bits of chunk .* are in origin"):
            checkout(here.repo, "HEAD")
        assert contents(here.root) == before


def test_fsck_checks_what_is_here_and_asks_nobody(world: World, here: World) -> None:
    away(world)
    let_ask(here.repo, Access())
    report = fsck(here.repo)
    assert report.ok, report.problems
    (place,) = report.offloaded
    assert place.source == "origin"
    assert place.problem is not None


def test_a_damaged_top_is_found(here: World) -> None:
    (pack,) = here.repo.offloaded.packs()
    path = here.repo.folder / keys.pack_head(pack)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    assert not fsck(here.repo).ok


def test_later_fetches_bring_heads_alone_and_pull_writes_short_files(
    world: World, here: World
) -> None:
    three = nudged(TWO_BODY, 3)
    world.save({"m": model(three)}, "three")
    before = tails(here)
    done = pull(here.repo, FetchRequest())
    assert done.status == "forward"
    assert done.reduced == ("m",)
    assert here.read("m") == model(tops(three))
    assert tails(here) - before < 100_000
    assert here.status().clean


def test_commits_stand_on_what_is_elsewhere_and_are_pushed(world: World, here: World) -> None:
    let_ask(here.repo, Access())
    mine = model(nudged(TWO_BODY, 4), STEPS)
    saved = here.save({"m": mine}, "mine")
    assert saved.stored_bytes < 0.8 * len(mine)
    done = push(here.repo, PushRequest(specs=("main:mine",)))
    assert done.problem() is None
    assert done.sent.bytes < saved.stored_bytes + 65536
    world.check()
    assert world.exported("mine", world.root.parent / "out")["m"] == mine


def test_a_commit_without_the_remote_is_stored_alone(world: World, here: World) -> None:
    away(world)
    let_ask(here.repo, Access())
    mine = model(nudged(TWO_BODY, 4), STEPS)
    saved = here.save({"m": mine}, "mine")
    (warning,) = saved.warnings
    assert warning.startswith("stored without differences")
    here.check()
    assert saved.stored_bytes > 0.8 * len(mine)
    assert here.exported("HEAD", here.root.parent / "out")["m"] == mine


def test_a_full_fetch_brings_all_tails_back(world: World, here: World) -> None:
    mine = model(nudged(TWO_BODY, 4), STEPS)
    let_ask(here.repo, Access())
    here.save({"m": mine}, "mine")
    world.save({"m": model(nudged(TWO_BODY, 5))}, "three")
    done = fetch(here.repo, FetchRequest(full=True))
    assert done.completed is not None
    assert done.completed.chunks == 4, "two matrices of two chunks"
    assert done.completed.left == 0
    assert done.completed.sent.bytes < 1.1 * world.stored()
    assert here.repo.offloaded.packs() == {}
    away(world)
    here.reopen()
    here.check()
    for number, files in enumerate([ONE, TWO]):
        assert here.exported(f"origin/main~{2 - number}", here.root.parent / str(number)) == files
    assert here.exported("HEAD", here.root.parent / "mine")["m"] == mine
    assert remotes.find(here.repo, "origin").precision is None


def test_a_full_fetch_that_is_cut_off_goes_on(
    world: World, here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(completing, "_forget", fails)
        with pytest.raises(KeyboardInterrupt):
            fetch(here.repo, FetchRequest(full=True))
    here.reopen()
    here.check()
    assert here.repo.offloaded.packs()
    done = fetch(here.repo, FetchRequest(full=True))
    assert done.completed is not None
    assert done.completed.sent.bytes == 0
    assert here.repo.offloaded.packs() == {}
    away(world)
    here.reopen()
    here.check()
    assert here.exported("HEAD~1", here.root.parent / "out") == ONE


def test_what_the_remote_has_lost_stays_listed(world: World, here: World) -> None:
    reset(world.repo, "HEAD~1", hard=True)
    gc(world.repo, GcRequest(grace_days=0, reflog_days=0))
    done = fetch(here.repo, FetchRequest(full=True))
    assert done.completed is not None
    assert done.completed.left == 1
    assert here.repo.offloaded.packs()
    here.check()
    assert here.exported("HEAD~1", here.root.parent / "out") == ONE


@pytest.fixture
def other(world: World, tmp_path: Path) -> Iterator[World]:
    """A whole clone of a bare repository, which its owner asks as if it were far away."""
    cloned(world, tmp_path / "centre", bare=True)
    world.repo.close()
    clone(
        CloneRequest(f"ssh://x{tmp_path}/centre", tmp_path / "other"), ENVIRONMENT, near(tmp_path)
    )
    found = World(tmp_path / "other")
    let_ask(found.repo, near(tmp_path))
    yield found
    found.repo.close()


def near(folder: Path) -> Access:
    """Return how a host is reached that is this machine: by running the command that ssh would."""
    script = folder / "near"
    run = f"{sys.executable} -m mvc"
    script.write_text(f'#!/bin/sh\nwhile [ "$1" != mvc ]; do shift; done\nshift\neval "{run} $*"\n')
    script.chmod(0o755)
    return Access(ssh=str(script))


def test_lower_bits_are_offloaded_to_a_remote_and_brought_back(
    other: World, tmp_path: Path
) -> None:
    access = near(tmp_path)
    before, held = tails(other), other.stored()
    done = offload(other.repo, place(other.repo, "origin", tmp_path), access)
    assert done.kept == ()
    assert done.source == "origin"
    assert tails(other) == 0
    assert other.stored() == held - done.freed == held - before
    assert other.exported("HEAD~1", tmp_path / "one") == ONE
    back = bring_back(other.repo, access)
    assert len(back.packs) == len(done.packs)
    assert other.repo.offloaded.packs() == {}
    assert abs(tails(other) - before) < 100
    other.check()


def test_what_the_remote_lacks_is_not_given_up(other: World, tmp_path: Path) -> None:
    other.save({"m": model(nudged(TWO_BODY, 7))}, "mine")
    done = offload(other.repo, place(other.repo, "origin", tmp_path), near(tmp_path))
    (kept,) = done.kept
    assert kept.why == "2 of 2 chunks are not there"
    assert tails(other) > 0
    other.check()


def test_a_remote_that_is_this_repository_itself_takes_nothing(
    other: World, tmp_path: Path
) -> None:
    remotes.set_url(other.repo, "origin", f"ssh://x{tmp_path}/other")
    before = tails(other)
    with pytest.raises(UsageError, match="this repository itself"):
        offload(other.repo, place(other.repo, "origin", tmp_path), near(tmp_path))
    assert tails(other) == before
    assert other.repo.refs.all("refs/heads/mvc") == {}


def test_gc_merges_packs_of_heads_and_leaves_them_readable(world: World, here: World) -> None:
    for number in range(3, 6):
        world.save({"m": model(nudged(TWO_BODY, number))}, str(number))
        pull(here.repo, FetchRequest())
    assert len(here.repo.offloaded.packs()) == 4
    gc(here.repo, GcRequest(grace_days=0, reflog_days=0))
    assert len(here.repo.offloaded.packs()) == 1
    assert set(here.repo.offloaded.packs().values()) == {"origin"}
    here.reopen()
    here.check()
    short = here.root.parent / "short"
    export(here.repo, "HEAD~3", short, precision=16)
    assert contents(short)["m"] == model(tops(TWO_BODY), STEPS[8:] + bytes(8))
    let_ask(here.repo, Access())
    assert here.exported("HEAD~3", here.root.parent / "out") == TWO


def test_what_no_version_needs_goes_from_packs_of_heads(world: World, here: World) -> None:
    before = here.stored()
    new = revisions.resolve(here.repo, "HEAD~1")
    for name in ("refs/heads/main", "refs/remotes/origin/main"):
        old = here.repo.refs.get(name)
        here.repo.refs.update(name, old, new, here.repo.change(old, new, "test"))
    gc(here.repo, GcRequest(grace_days=0, reflog_days=0))
    assert here.stored() < before
    here.check()
    let_ask(here.repo, Access())
    assert here.exported("HEAD", here.root.parent / "out") == ONE


def test_repack_asks_nobody_and_leaves_what_stands_on_heads(world: World, here: World) -> None:
    let_ask(here.repo, Access())
    mine = [model(nudged(TWO_BODY, number)) for number in (4, 5)]
    for data in mine:
        here.save({"m": data}, "mine")
    away(world)
    here.reopen()
    done = repack(here.repo)
    assert done.coded == 0
    repack(here.repo, RepackRequest(everything=True))
    here.check()
    world.root.with_name("elsewhere").rename(world.root)
    let_ask(here.repo, Access())
    assert here.exported("HEAD", here.root.parent / "out")["m"] == mine[-1]


def test_stats_tell_what_is_elsewhere(world: World, here: World) -> None:
    found = stats(here.repo)
    assert 0.5 * len(BODY) < found.offloaded_bytes < 1.2 * len(BODY)
    assert found.stored_bytes < world.stored()
