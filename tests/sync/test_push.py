"""Pushing: what is missing goes, refs move, and whatever breaks off goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import (
    IntegrityError,
    MissingObjectError,
    NetworkError,
    StorageError,
    UsageError,
)
from mvc.ops.checkout import switch
from mvc.ops.fsck import fsck
from mvc.repo.repository import Repository
from mvc.sync.memory import Memory
from mvc.sync.messages import UpdateRequest
from mvc.sync.outgoing import Part
from mvc.sync.push import Move
from mvc.sync.service import Service
from tests.e2e.world import World, contents
from tests.sync.flows import (
    ADDRESS,
    MAIN,
    Breaking,
    Narrow,
    bare,
    linked,
    local,
    pushed,
    tuned,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Repository:
    return bare(tmp_path / "there")


def whole(there: Repository, world: World, revision: str = "main") -> None:
    """Fail unless the other side is sound and gives back the files as they are here."""
    fresh = Repository(there.folder, None, there.environment)
    report = fsck(fresh)
    assert report.ok, report.problems
    other = World.__new__(World)
    other.root, other.repo = there.folder, fresh
    target = there.folder.parent / "out"
    assert other.exported(revision, target) == contents(world.root)
    fresh.close()


def test_a_first_push_brings_everything(world: World, there: Repository) -> None:
    head = tuned(world, 2)[-1]
    link = linked(there)
    done = pushed(world, link)
    assert [row.status for row in done.rows] == ["new"]
    assert there.refs.get(MAIN) == head
    assert link.asked == {"refs": 1, "missing": 1, "part": 1, "update": 1}
    assert done.sent.bytes == link.sent
    whole(there, world)


def test_a_push_of_nothing_new_is_one_request(world: World, there: Repository) -> None:
    tuned(world, 1)
    pushed(world, linked(there))
    link = linked(there)
    assert [row.status for row in pushed(world, link).rows] == ["same"]
    assert link.asked == {"refs": 1}


def test_only_the_difference_goes(world: World, there: Repository) -> None:
    tuned(world, 1, 4_000_000)
    pushed(world, linked(there))
    before = world.stored()
    tuned(world, 1, 4_000_000, 1)
    link = linked(there)
    assert [row.status for row in pushed(world, link).rows] == ["forward"]
    assert link.sent <= (world.stored() - before) * 1.02 + (64 << 10)
    assert link.beside_parts <= 6
    whole(there, world)


def test_versions_that_the_server_has_under_another_name_are_not_sent(
    world: World, there: Repository
) -> None:
    head = tuned(world, 1)[-1]
    pushed(world, linked(there))
    link = linked(there)
    pushed(world, link, Move("refs/heads/other", head, "main"), seen=[head])
    assert link.asked == {"refs": 1, "update": 1}
    assert there.refs.get("refs/heads/other") == head


def test_what_was_seen_there_and_has_gone_since_is_sent_again(world: World, tmp_path: Path) -> None:
    first, second = tuned(world, 2)
    there = bare(tmp_path / "new")
    done = pushed(world, linked(there), seen=[first, second])
    assert [row.status for row in done.rows] == ["new"]
    whole(there, world)


def test_a_branch_that_moved_there_is_refused_here(world: World, there: Repository) -> None:
    base = tuned(world, 1)[0]
    pushed(world, linked(there))
    switch(world.repo, "side", create=True)
    side = tuned(world, 1, start=3)[0]
    pushed(world, linked(there), Move(MAIN, side, "side"))
    switch(world.repo, "main")
    tuned(world, 1, start=5)
    link = linked(there)
    (row,) = pushed(world, link).rows
    assert (row.status, row.code) == ("refused", "not-forward")
    assert link.asked == {"refs": 1}
    assert there.refs.get(MAIN) == side
    assert base != side


def test_versions_unknown_here_are_never_left_behind(
    world: World, there: Repository, tmp_path: Path
) -> None:
    other = World(tmp_path / "other")
    other.save({"a": b"other"})
    pushed(other, linked(there))
    tuned(world, 1)
    (row,) = pushed(world, linked(there)).rows
    assert (row.status, row.code) == ("refused", "not-forward")
    assert "not here" in row.message


def test_force_leaves_versions_there(world: World, there: Repository, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    other.save({"a": b"other"})
    pushed(other, linked(there))
    head = tuned(world, 1)[0]
    (row,) = pushed(world, linked(there), Move(MAIN, head, "main", force=True)).rows
    assert row.status == "forced"
    assert there.refs.get(MAIN) == head
    whole(there, world)


def test_a_lease_holds_only_while_the_ref_is_where_it_was(
    world: World, there: Repository, tmp_path: Path
) -> None:
    other = World(tmp_path / "other")
    theirs = other.save({"a": b"other"}).id
    pushed(other, linked(there))
    head = tuned(world, 1)[0]
    for wrong in (None, head):
        (row,) = pushed(
            world, linked(there), Move("refs/heads/main", head, "main", lease=(wrong,))
        ).rows
        assert (row.status, row.code) == ("refused", "moved")
    (row,) = pushed(world, linked(there), Move(MAIN, head, "main", lease=(theirs,))).rows
    assert row.status == "forced"


def test_a_tag_stays_where_it_is(world: World, there: Repository) -> None:
    first, second = tuned(world, 2)
    tag = "refs/tags/v1"
    assert pushed(world, linked(there), Move(tag, first, "v1")).rows[0].status == "new"
    (row,) = pushed(world, linked(there), Move(tag, second, "v1")).rows
    assert (row.status, row.code) == ("refused", "not-forward")
    (row,) = pushed(world, linked(there), Move(tag, second, "v1", force=True)).rows
    assert row.status == "forced"


def test_a_deletion_sends_nothing(world: World, there: Repository) -> None:
    head = tuned(world, 1)[0]
    side = "refs/heads/side"
    pushed(world, linked(there), Move(MAIN, head, "main"), Move(side, head, "main"))
    link = linked(there)
    (row,) = pushed(world, link, Move(side, None, "side")).rows
    assert row.status == "deleted"
    assert link.asked == {"refs": 1, "update": 1}
    assert there.refs.get(side) is None
    assert pushed(world, linked(there), Move(side, None, "side")).rows[0].status == "same"


def test_the_branch_that_a_server_shows_first_is_not_deleted(
    world: World, there: Repository
) -> None:
    tuned(world, 1)
    pushed(world, linked(there))
    (row,) = pushed(world, linked(there), Move(MAIN, None, "main")).rows
    assert (row.status, row.code) == ("refused", "not-allowed")


def test_an_atomic_push_moves_all_or_none(world: World, there: Repository) -> None:
    first, second = tuned(world, 2)
    pushed(world, linked(there), Move("refs/tags/v1", first, "v1"))
    moves = (Move("refs/tags/v1", second, "v1"), Move(MAIN, second, "main"))
    rows = pushed(world, linked(there), *moves, atomic=True).rows
    assert [row.code for row in rows] == ["not-forward", "not-moved"]
    assert there.refs.get(MAIN) is None
    rows = pushed(world, linked(there), *moves).rows
    assert [row.status for row in rows] == ["refused", "new"]


def test_a_dry_run_changes_nothing(world: World, there: Repository) -> None:
    tuned(world, 1)
    link = linked(there)
    done = pushed(world, link, dry_run=True)
    assert done.rows[0].status == "new"
    assert done.objects > 4
    assert done.planned > 100_000
    assert link.asked == {"refs": 1, "missing": 1}
    assert there.refs.all() == {}
    assert Memory(world.repo, ADDRESS).sent() == []


def test_a_ref_moves_once_in_a_push(world: World, there: Repository) -> None:
    head = tuned(world, 1)[0]
    with pytest.raises(UsageError, match="once"):
        pushed(world, linked(there), Move(MAIN, head, "a"), Move(MAIN, None, "b"))


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("behind", [False, True])
def test_a_push_that_breaks_off_at_a_part_sends_no_other_part_again(
    world: World, there: Repository, at: int, behind: bool
) -> None:
    tuned(world, 1, 3_000_000)
    small = 1 << 20
    broken = Breaking(local(there, small), verb="part", at=at, behind=behind)
    with pytest.raises(NetworkError):
        pushed(world, broken)
    link = linked(there, small)
    done = pushed(world, link)
    assert done.rows[0].status == "new"
    total = broken.sent + link.sent
    whole_push = linked(bare(there.folder.parent / "another"), small)
    pushed(world, whole_push)
    assert total <= whole_push.sent * 1.01 + (0 if behind else small)
    whole(there, world)
    assert Memory(world.repo, ADDRESS).sent() == []


def test_a_lost_answer_after_success_is_success(world: World, there: Repository) -> None:
    head = tuned(world, 1)[0]
    with pytest.raises(NetworkError):
        pushed(world, Breaking(local(there), behind=True))
    assert there.refs.get(MAIN) == head
    link = linked(there)
    assert pushed(world, link).rows[0].status == "same"
    assert Memory(world.repo, ADDRESS).sent() == []
    link = linked(there)
    assert pushed(world, link).rows[0].status == "same"
    assert link.asked == {"refs": 1}


def test_an_update_that_is_tried_again_has_the_same_id(world: World, there: Repository) -> None:
    tuned(world, 1)
    first = Breaking(local(there))
    with pytest.raises(NetworkError):
        pushed(world, first)
    second = linked(there)
    pushed(world, second)
    assert second.asked["part"] == 0
    ids = [
        request.push
        for link in (first, second)
        for request in link.requests
        if isinstance(request, UpdateRequest)
    ]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_parts_become_smaller_where_connections_do_not_last(
    world: World, there: Repository
) -> None:
    tuned(world, 1, 6_000_000)
    link = Narrow(local(there), most=4_200_000)
    done = pushed(world, link)
    assert done.rows[0].status == "new"
    assert link.broken == 1
    assert done.sent.parts > 2
    whole(there, world)


def test_connections_that_carry_nothing_end_a_push(world: World, there: Repository) -> None:
    tuned(world, 1)
    with pytest.raises(NetworkError):
        pushed(world, Narrow(local(there), most=10))
    assert there.refs.all() == {}


def test_a_server_that_lost_what_was_sent_gets_it_again(world: World, there: Repository) -> None:
    tuned(world, 1)
    with pytest.raises(NetworkError):
        pushed(world, Breaking(local(there)))
    fileio.remove_tree(there.folder / "incoming")
    link = linked(there)
    assert pushed(world, link).rows[0].status == "new"
    assert link.asked["part"] == 1
    whole(there, world)


def test_a_client_that_lost_count_of_what_it_sent_goes_on(world: World, there: Repository) -> None:
    tuned(world, 1)
    with pytest.raises(NetworkError):
        pushed(world, Breaking(local(there)))
    Memory(world.repo, ADDRESS).forget_sent()
    assert pushed(world, linked(there)).rows[0].status == "new"
    whole(there, world)


def test_a_server_that_always_lacks_something_is_given_up(
    world: World, there: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise MissingObjectError("it is not there")

    monkeypatch.setattr(Service, "_update", never)
    tuned(world, 1)
    link = linked(there)
    with pytest.raises(IntegrityError, match="it is not there"):
        pushed(world, link)
    assert link.asked["update"] == 3


def test_what_fails_here_is_not_blamed_on_the_server(
    world: World, there: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Part) -> Iterator[bytes]:
        yield b"x"
        raise StorageError("this disk fails")

    monkeypatch.setattr(Part, "body", broken)
    tuned(world, 1)
    with pytest.raises(StorageError, match=r"^this disk fails"):
        pushed(world, linked(there))
