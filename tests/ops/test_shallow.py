"""Repositories without the older versions: history ends, and goes on where more is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base.errors import FormatError, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.ops.branch import create as branch
from mvc.ops.checkout import switch
from mvc.ops.clone import CloneRequest, clone
from mvc.ops.fetch import FetchRequest, fetch
from mvc.ops.fsck import fsck
from mvc.ops.gc import GcRequest, gc
from mvc.ops.log import LogRequest, log
from mvc.ops.pull import pull
from mvc.ops.push import PushRequest, push
from mvc.ops.reset import reset
from mvc.ops.stats import stats
from mvc.ops.tag import create as tag
from mvc.repo import history, revisions
from mvc.repo.repository import Repository
from mvc.repo.tracking import ahead_behind
from mvc.store.transaction import Transaction
from tests.e2e.world import ENVIRONMENT, World, contents, network, nudged, weights

FIRST = weights(1, 400_000)


def body(number: int) -> dict[str, bytes]:
    return {"m": network({"w": nudged(FIRST, number), "same": FIRST}), "n": b"%d" % number}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "there")
    for number in range(6):
        world.save(body(number), f"v{number}")
    return world


def cloned(world: World, target: Path, **options: object) -> World:
    request = CloneRequest(str(world.root), target, **options)  # type: ignore[arg-type]
    clone(request, ENVIRONMENT)
    return World(target)


@pytest.fixture
def here(world: World, tmp_path: Path) -> Iterator[World]:
    found = cloned(world, tmp_path / "here", depth=2)
    yield found
    found.repo.close()


def messages(repo: Repository, *revisions: str) -> list[str]:
    return [item.commit.message for item in log(repo, LogRequest(revisions))]


def commits(repo: Repository) -> int:
    return repo.store.index.counts()["commit"]


def at(world: World, revision: str) -> ObjectId:
    return revisions.resolve(world.repo, revision)


def test_a_clone_of_some_depth_has_so_many_versions(world: World, here: World) -> None:
    assert contents(here.root) == body(5)
    assert messages(here.repo) == ["v5", "v4"]
    assert here.repo.shallow.commits() == {at(world, "HEAD~1")}
    assert here.stored() < 0.7 * world.stored()
    here.check()
    assert here.exported("HEAD~1", here.root.parent / "out") == body(4)
    with pytest.raises(NotFoundError, match="goes back further than was fetched"):
        revisions.resolve(here.repo, "HEAD~2")
    assert len(stats(here.repo).versions) == 2
    assert here.repo.commit(at(here, "HEAD~1")).parents == (at(world, "HEAD~2"),)


def test_every_branch_and_tag_has_its_own_depth(world: World, tmp_path: Path) -> None:
    branch(world.repo, "old", "HEAD~3")
    tag(world.repo, "release", "HEAD~5", message="the first")
    here = cloned(world, tmp_path / "here", depth=1)
    for name, found in (("HEAD", ["v5"]), ("origin/old", ["v2"]), ("release", ["v0"])):
        assert messages(here.repo, name) == found
    assert here.repo.shallow.commits() == {at(world, "HEAD"), at(world, "old")}
    here.check()


def test_later_versions_come_as_ever(world: World, here: World) -> None:
    world.save(body(6), "v6")
    world.save(body(7), "v7")
    assert pull(here.repo, FetchRequest()).status == "forward"
    assert messages(here.repo) == ["v7", "v6", "v5", "v4"]
    assert contents(here.root) == body(7)
    here.check()


def test_a_branch_that_left_before_history_begins_comes_whole(world: World, here: World) -> None:
    switch(world.repo, "side", create=True, start="HEAD~4")
    world.save({"n": b"side"}, "side")
    fetch(here.repo, FetchRequest())
    assert messages(here.repo, "origin/side") == ["side", "v1", "v0"]
    assert messages(here.repo, "origin/main") == ["v5", "v4"]
    here.check()


def test_history_can_be_made_longer(world: World, here: World) -> None:
    done = fetch(here.repo, FetchRequest(depth=4))
    assert done.refs == ()
    assert messages(here.repo) == ["v5", "v4", "v3", "v2"]
    assert here.repo.shallow.commits() == {at(world, "HEAD~3")}
    here.check()
    fetch(here.repo, FetchRequest(depth=1))
    assert messages(here.repo) == ["v5", "v4", "v3", "v2"], "nothing is dropped"
    fetch(here.repo, FetchRequest(depth=0))
    assert messages(here.repo) == [f"v{number}" for number in (5, 4, 3, 2, 1, 0)]
    assert here.repo.shallow.commits() == frozenset()
    assert not (here.repo.folder / "shallow").exists()
    here.check()
    assert here.exported("HEAD~5", here.root.parent / "out") == body(0)


def test_a_gap_to_what_is_here_is_no_end_where_there_is_none(world: World, here: World) -> None:
    for number in range(6, 9):
        world.save(body(number), f"v{number}")
    fetch(here.repo, FetchRequest(depth=1))
    assert messages(here.repo, "origin/main") == ["v8"]
    assert messages(here.repo) == ["v5", "v4"]
    here.check()
    fetch(here.repo, FetchRequest(depth=4))
    assert messages(here.repo, "origin/main") == ["v8", "v7", "v6", "v5", "v4"]
    assert here.repo.shallow.commits() == {at(world, "HEAD~4")}
    here.check()


def test_a_whole_repository_stays_whole(world: World, tmp_path: Path) -> None:
    here = cloned(world, tmp_path / "whole")
    world.save(body(6), "v6")
    fetch(here.repo, FetchRequest(depth=1))
    assert here.repo.shallow.commits() == frozenset()
    assert len(messages(here.repo, "origin/main")) == 7


def test_what_was_committed_here_is_pushed(world: World, here: World) -> None:
    switch(here.repo, "mine", create=True)
    here.save(body(9), "mine")
    done = push(here.repo, PushRequest())
    assert done.problem() is None
    assert done.sent.bytes < 400_000
    world.check()
    assert messages(world.repo, "mine")[:3] == ["mine", "v5", "v4"]
    assert len(messages(world.repo, "mine")) == 7
    assert ahead_behind(here.repo, at(here, "mine"), at(here, "origin/main")) == (1, 0)
    assert history.merge_base(here.repo, at(here, "mine"), at(here, "main")) == at(here, "main")


def test_a_server_without_the_older_versions_is_told_of(here: World, tmp_path: Path) -> None:
    Repository.init(tmp_path / "empty", bare=True, environment=ENVIRONMENT).close()
    with pytest.raises(Exception, match="neither sent nor") as caught:
        push(here.repo, PushRequest(str(tmp_path / "empty"), ("main",)))
    assert "--unshallow" in str(caught.value.hint)  # type: ignore[attr-defined]


def test_gc_keeps_what_is_here_and_forgets_ends_that_are_gone(world: World, here: World) -> None:
    gc(here.repo, GcRequest(grace_days=0, reflog_days=0))
    here.check()
    assert messages(here.repo) == ["v5", "v4"]
    fetch(here.repo, FetchRequest(depth=0))
    reset(here.repo, "HEAD~5")
    assert gc(here.repo).dropped == 0
    here.check()


def test_a_clone_of_a_shallow_repository_needs_a_depth(here: World, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not go back to its start"):
        cloned(here, tmp_path / "next")
    again = cloned(here, tmp_path / "next", depth=5)
    assert messages(again.repo) == ["v5", "v4"]
    assert again.repo.shallow.commits() == here.repo.shallow.commits()
    again.check()


def test_depth_and_precision_go_together(world: World, tmp_path: Path) -> None:
    here = cloned(world, tmp_path / "here", depth=1, precision=16)
    assert messages(here.repo) == ["v5"]
    assert here.repo.offloaded.packs()
    here.check()
    fetch(here.repo, FetchRequest(depth=0))
    assert len(messages(here.repo)) == 6
    here.check()
    fetch(here.repo, FetchRequest(full=True))
    assert here.exported("HEAD~5", here.root.parent / "out") == body(0)


def test_a_bare_clone_may_be_shallow(world: World, tmp_path: Path) -> None:
    done = clone(CloneRequest(str(world.root), tmp_path / "bare", bare=True, depth=1), ENVIRONMENT)
    with Repository(tmp_path / "bare", None, ENVIRONMENT) as repo:
        assert messages(repo) == ["v5"]
        assert fsck(repo).ok
    assert done.commit == at(world, "HEAD")


def test_a_lost_list_is_told_by_fsck(here: World) -> None:
    (here.repo.folder / "shallow").unlink()
    report = fsck(here.repo)
    assert not report.ok


@pytest.mark.parametrize("depth", [-1, 1 << 40])
def test_impossible_depths_are_refused(here: World, depth: int) -> None:
    with pytest.raises(UsageError):
        fetch(here.repo, FetchRequest(depth=depth))


def test_merges_are_cut_on_both_sides(world: World, tmp_path: Path) -> None:
    one, two = at(world, "HEAD"), at(world, "HEAD~2")
    tree = world.repo.commit(one).tree
    made = Commit(tree, (one, two), "Tester <t@example.org>", 1_800_000_000_000_000, "merge")
    with Transaction(world.repo.store, world.repo.scratch) as tx:
        new = tx.put(made)
        tx.commit()
        world.repo.advance(one, new, "test")
    here = cloned(world, tmp_path / "here", depth=2)
    assert sorted(messages(here.repo)) == ["merge", "v3", "v5"]
    assert here.repo.shallow.commits() == {one, two}
    here.check()
    fetch(here.repo, FetchRequest(depth=3))
    assert sorted(messages(here.repo)) == ["merge", "v2", "v3", "v4", "v5"]
    here.check()
