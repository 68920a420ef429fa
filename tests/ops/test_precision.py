"""A working copy at reduced precision: written, recognised, never committed, made whole again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import NegativeAnswer, UsageError
from mvc.ops.checkout import checkout, switch
from mvc.ops.commit import CommitRequest
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.diff import DiffRequest, diff
from mvc.ops.mv import move
from mvc.ops.reset import reset
from mvc.ops.restore import restore
from mvc.ops.rm import remove
from tests.e2e.world import World, contents, network, nudged, safetensors, weights
from tests.repo.test_precision import short

BODY = weights(1, 40_000)
ONE = {"m": network({"w": BODY}), "text": b"one"}
TWO = {"m": network({"w": nudged(BODY, 2)}), "text": b"two"}
SHORT_ONE = {"m": network({"w": short(BODY, 4)}), "text": b"one"}
SHORT_TWO = {"m": network({"w": short(nudged(BODY, 2), 4)}), "text": b"two"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path / "w")
    world.save(ONE, "one")
    world.save(TWO, "two")
    return world


def committed(world: World, revision: str = "HEAD", *, number: list[int] = [0]) -> dict[str, bytes]:  # noqa: B006
    number[0] += 1
    return world.exported(revision, world.root.parent / f"out-{number[0]}")


def test_files_are_written_with_fewer_bits_and_come_back_whole(world: World) -> None:
    done = checkout(world.repo, "HEAD~1", precision=16)
    assert contents(world.root) == SHORT_ONE
    assert (done.written, done.reduced) == (2, ("m",))
    done = checkout(world.repo, "main")
    assert contents(world.root) == TWO
    assert done.reduced == ()
    assert world.status().reduced == ()


def test_the_current_version_is_written_anew_at_the_precision_asked_for(world: World) -> None:
    assert checkout(world.repo, "HEAD", precision=16).written == 1
    assert contents(world.root) == SHORT_TWO
    assert checkout(world.repo, "HEAD", precision=16).written == 0
    assert switch(world.repo, "main", precision=16).written == 0
    assert checkout(world.repo, "HEAD").written == 1
    assert contents(world.root) == TWO
    with pytest.raises(UsageError):
        checkout(world.repo, "HEAD", precision=8)


def test_status_names_such_files_and_counts_none_as_changed(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    for _ in range(2):
        found = world.status()
        assert found.clean
        assert (found.modified, found.reduced) == ((), ("m",))
        world.reopen()
    assert not diff(world.repo, DiffRequest()).files


def test_a_commit_leaves_them_out(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    with pytest.raises(NegativeAnswer, match="nothing to commit"):
        world.commit()
    world.write("text", b"three")
    world.commit()
    assert committed(world) == {**TWO, "text": b"three"}
    assert world.status().reduced == ("m",)
    restore(world.repo, [world.root / "m"])
    assert contents(world.root) == {**TWO, "text": b"three"}
    assert world.status().clean


def test_touching_or_copying_such_a_file_makes_it_no_change(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    os.utime(world.root / "m")
    with pytest.raises(NegativeAnswer, match="nothing to commit"):
        world.commit()
    data = world.read("m")
    (world.root / "m").unlink()
    world.write("m", data)
    assert world.status().reduced == ("m",)
    os.utime(world.root / "m", ns=(1, 1))
    assert checkout(world.repo, "HEAD").written == 1
    assert contents(world.root) == TWO


def test_work_done_on_top_of_it_is_a_change_like_any_other(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    mine = network({"w": nudged(short(nudged(BODY, 2), 4), 5)})
    world.write("m", mine)
    found = world.status()
    assert (found.modified, found.reduced) == (("m",), ())
    with pytest.raises(NegativeAnswer, match="uncommitted changes would be lost: m"):
        checkout(world.repo, "HEAD~1", precision=16)
    assert checkout(world.repo, "HEAD", precision=16).written == 0
    assert world.read("m") == mine
    world.commit()
    assert committed(world)["m"] == mine


def test_going_elsewhere_loses_nothing(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    checkout(world.repo, "HEAD~1", precision=16)
    assert contents(world.root) == SHORT_ONE
    checkout(world.repo, "main")
    assert contents(world.root) == TWO


def test_a_local_change_is_kept_by_a_checkout_of_the_same_version(world: World) -> None:
    world.write("m", b"mine")
    assert checkout(world.repo, "HEAD", precision=16).written == 0
    assert world.read("m") == b"mine"
    checkout(world.repo, "HEAD", precision=16, force=True)
    assert contents(world.root) == SHORT_TWO


def test_files_can_be_brought_back_at_either_precision(world: World) -> None:
    done = restore(world.repo, [world.root], precision=16)
    assert (done.restored, done.reduced) == (("m",), ("m",))
    assert restore(world.repo, [world.root], precision=16).restored == ()
    assert restore(world.repo, [world.root]).restored == ("m",)
    restore(world.repo, [world.root / "m"], source="HEAD~1", precision=16)
    assert world.read("m") == SHORT_ONE["m"]


def test_another_version_than_heads_is_not_committed_at_reduced_precision(world: World) -> None:
    restore(world.repo, [world.root / "m"], source="HEAD~1", precision=16)
    found = world.status()
    assert (found.modified, found.reduced) == (("m",), ("m",))
    with pytest.raises(NegativeAnswer, match="m is here at precision 16 only") as caught:
        world.commit()
    assert "mvc restore" in str(caught.value.hint)
    restore(world.repo, [world.root / "m"], source="HEAD~1")
    world.commit()
    assert committed(world) == {**TWO, "m": ONE["m"]}


def test_a_reset_that_keeps_the_files_does_not_make_them_changes_to_commit(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    reset(world.repo, "HEAD~1")
    with pytest.raises(NegativeAnswer, match="precision 16"):
        world.commit()
    reset(world.repo, "HEAD", hard=True)
    assert contents(world.root) == ONE


@pytest.mark.parametrize("touch", [False, True])
def test_a_file_that_was_moved_is_still_known(world: World, touch: bool) -> None:
    checkout(world.repo, "HEAD", precision=16)
    if touch:
        os.utime(world.root / "m", ns=(1, 1))
    move(world.repo, [world.root / "m"], world.root / "n")
    assert world.status().reduced == ("n",)
    with pytest.raises(NegativeAnswer, match="precision 16"):
        world.commit()


def test_such_a_file_may_be_removed(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    remove(world.repo, [world.root / "m"])
    world.commit()
    assert committed(world) == {"text": b"two"}


def test_a_model_saved_from_memory_over_it_is_not_undone(world: World) -> None:
    checkout(world.repo, "HEAD", precision=16)
    commit_arrays(world.repo, {"w": np.arange(9.0)}, "m", CommitRequest("from memory"))
    assert world.status().clean
    with pytest.raises(NegativeAnswer, match="nothing to commit"):
        world.commit()


def test_files_without_wide_floats_are_themselves(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    files = {"m": safetensors([("w", "BF16", [2000], weights(3, 4000))]), "t": b"text"}
    world.save(files)
    assert checkout(world.repo, "HEAD", precision=16).written == 0
    (world.root / "m").unlink()
    done = restore(world.repo, [world.root], precision=16)
    assert (done.restored, done.reduced) == (("m",), ())
    assert contents(world.root) == files
    assert world.status().clean


def test_a_file_that_changes_while_it_is_made_whole_is_left_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.repo import restore as restoring

    checkout(world.repo, "HEAD", precision=16)
    real: Callable[..., object] = restoring.stage_file

    def trained(*args: object, **options: object) -> object:
        world.write("m", b"epoch 7")
        return real(*args, **options)

    monkeypatch.setattr(restoring, "stage_file", trained)
    with pytest.raises(NegativeAnswer, match="m changed meanwhile"):
        checkout(world.repo, "HEAD")
    assert world.read("m") == b"epoch 7"


def test_a_run_that_was_cut_off_behind_a_file_is_completed_by_another(world: World) -> None:
    checkout(world.repo, "HEAD~1")
    world.write("m", SHORT_TWO["m"])
    with pytest.raises(NegativeAnswer):
        checkout(world.repo, "main")
    checkout(world.repo, "main", precision=16)
    assert contents(world.root) == SHORT_TWO
    assert world.status().clean
