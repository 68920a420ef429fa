"""Going to a branch that only remotes have."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NotFoundError
from mvc.ops.checkout import switch
from mvc.repo import remotes
from mvc.repo.remotes import Remote
from tests.e2e.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save({"a": b"one"})
    remotes.add(world.repo, Remote("origin", "/srv/models", "devices/cam-07/"))
    return world


def see(world: World, remote: str, branch: str) -> None:
    head = world.repo.head_commit()
    change = world.repo.change(None, head, "fetch")
    world.repo.refs.update(f"refs/remotes/{remote}/{branch}", None, head, change)


def test_it_is_made_where_the_remote_has_it_and_follows_that(world: World) -> None:
    see(world, "origin", "night")
    done = switch(world.repo, "night")
    assert (done.branch, done.follows) == ("night", "origin/night")
    found = remotes.upstream(world.repo, "night")
    assert found is not None
    assert found.ref == "refs/heads/night"
    assert switch(world.repo, "night").follows is None


def test_what_the_device_pushed_itself_comes_first(world: World) -> None:
    see(world, "origin", "night")
    see(world, "origin", "devices/cam-07/night")
    assert switch(world.repo, "night").follows == "origin/devices/cam-07/night"


def test_of_several_remotes_one_has_to_be_named(world: World) -> None:
    remotes.add(world.repo, Remote("backup", "/srv/backup"))
    see(world, "origin", "night")
    see(world, "backup", "night")
    with pytest.raises(NotFoundError, match="more than one remote") as raised:
        switch(world.repo, "night")
    assert "mvc switch -c night" in str(raised.value.hint)
    assert world.repo.refs.get("refs/heads/night") is None


def test_a_name_that_nobody_has_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError, match="there is no branch"):
        switch(world.repo, "day")
