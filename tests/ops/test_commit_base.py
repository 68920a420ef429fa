"""The version that a commit is said to resemble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import NotFoundError, UsageError
from mvc.ops.commit import CommitRequest, CommitResult, commit
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.config import of_repository, write
from tests.e2e.world import World, network, weights


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def changed(world: World, seed: int, base: str | None = None) -> CommitResult:
    world.write("m.st", network({"a": weights(seed, 4000)}))
    world.add()
    return commit(world.repo, CommitRequest(str(seed), base=base))


def configured(world: World, value: str) -> None:
    write(of_repository(world.repo), "commit.base", value, "repository")
    world.reopen()


def test_it_is_kept_with_the_commit(world: World) -> None:
    first = changed(world, 1)
    changed(world, 2)
    third = changed(world, 3, base="HEAD~1")
    assert world.repo.commit(third.id).base == first.id
    assert third.warnings == ()
    world.check()


def test_the_parent_needs_no_saying(world: World) -> None:
    changed(world, 1)
    assert world.repo.commit(changed(world, 2, base="HEAD").id).base is None


def test_a_revision_that_is_not_there_stops_the_commit(world: World) -> None:
    first = changed(world, 1)
    with pytest.raises(NotFoundError, match="no revision is called 'release'"):
        changed(world, 2, base="release")
    with pytest.raises(UsageError, match="not a revision"):
        changed(world, 2, base="HEAD@{x}")
    assert world.repo.head_commit() == first.id


def test_a_setting_says_it_for_every_commit_and_the_option_wins(world: World) -> None:
    first = changed(world, 1)
    second = changed(world, 2)
    configured(world, first.id.hex())
    assert world.repo.commit(changed(world, 3).id).base == first.id
    assert world.repo.commit(changed(world, 4, base=second.id.hex()).id).base == second.id
    assert world.repo.commit(changed(world, 5, base="").id).base is None


def test_a_setting_that_names_nothing_is_remarked_and_no_reason_to_fail(world: World) -> None:
    configured(world, "release")
    done = changed(world, 1)
    assert world.repo.commit(done.id).base is None
    assert done.warnings == (
        "the setting commit.base has no effect: no revision is called 'release'",
    )


def test_arrays_from_memory_have_it_too(world: World) -> None:
    first = changed(world, 1)
    changed(world, 2)
    arrays = {"a": np.zeros(2000, np.float32)}
    new = commit_arrays(world.repo, arrays, "n.st", CommitRequest("x", base="HEAD~1"))
    assert world.repo.commit(new).base == first.id
