"""Deciding conflicts, going on and going back; what else waits meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import (
    IntegrityError,
    MvcError,
    NegativeAnswer,
    RemoteMovedError,
    UsageError,
)
from mvc.ops import merge_steps
from mvc.ops.checkout import switch
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.gc import GcRequest, gc
from mvc.ops.merge_result import MergeResult
from mvc.ops.reset import reset
from mvc.ops.resume import ResumeRequest, abort, resume
from mvc.ops.rm import remove
from mvc.ops.status import status
from mvc.repo import merging
from mvc.repo.merging import Named, Take
from mvc.repo.state import State
from tests.ops.lines import MODEL, Lines

Steps = dict[str, float]


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    """Both sides changed tensors a and b, and a text; each changed a tensor alone."""
    found = Lines(tmp_path / "work")
    found.save("text", {"log.txt": b"0"})
    there = {MODEL: found.changed(a=2, b=2, d=2), "log.txt": b"theirs", "new.txt": b"new"}
    found.branch("other", there)
    found.save("mine", {MODEL: found.changed(a=1, b=1, c=1), "log.txt": b"ours"})
    return found


def go_on(lines: Lines, *takes: Take, message: str = "") -> MergeResult:
    (done,) = resume(lines.repo, "merge", ResumeRequest(takes, message))
    return done


def take(name: str, *patterns: str) -> Take:
    return Take(Named(name), patterns)


def left(done: MergeResult) -> list[tuple[str, str | None]]:
    return [(item.path, item.tensor) for item in done.conflicts]


EVERY = [(MODEL, "a"), (MODEL, "b"), ("log.txt", None)]


def test_what_is_not_in_conflict_is_merged_and_the_rest_is_ours(lines: Lines) -> None:
    done = lines.merge("other")
    assert done.status == "conflicts"
    assert sorted(left(done)) == sorted(EVERY)
    model, mine = lines.model(), lines.changed(a=1, b=1, c=1)
    assert all(np.array_equal(model[name], mine[name]) for name in "abc")
    assert np.array_equal(model["d"], lines.changed(d=2)["d"])
    assert lines.files()["log.txt"] == b"ours"
    assert lines.files()["new.txt"] == b"new"
    found = status(lines.repo).under_way
    assert found is not None
    assert sorted(found.conflicts) == sorted(EVERY)


def test_going_back_brings_back_exactly_what_was_there(lines: Lines) -> None:
    lines.write({"free.txt": b"not tracked"})
    before = lines.files()
    tracked = set(State(lines.repo.folder / "worktree", lines.repo.scratch).files)
    head = lines.head
    lines.merge("other")
    lines.write({"log.txt": b"half decided", MODEL: lines.changed(a=7)})
    (lines.path / "new.txt").unlink()
    assert abort(lines.repo, "merge").status == "aborted"
    assert (lines.files(), lines.head) == (before, head)
    assert set(State(lines.repo.folder / "worktree", lines.repo.scratch).files) == tracked
    assert status(lines.repo).clean
    assert status(lines.repo).under_way is None


def test_conflicts_are_decided_one_after_the_other_by_tensor(lines: Lines) -> None:
    lines.merge("other")
    assert sorted(left(go_on(lines))) == sorted(EVERY)
    first = go_on(lines, take("average", f"{MODEL}:a*"))
    assert sorted(left(first)) == sorted(EVERY[1:])
    mean = (lines.changed(a=1)["a"].astype(np.float64) + lines.changed(a=2)["a"]) / 2
    assert np.array_equal(lines.model()["a"], mean.astype(np.float32))
    second = go_on(lines, take("base", MODEL), take("theirs"), message="Decided")
    assert second.status == "merged"
    assert np.array_equal(lines.model()["b"], lines.base["b"])
    assert np.array_equal(lines.model()["a"], mean.astype(np.float32))
    assert lines.files()["log.txt"] == b"theirs"
    made = lines.repo.commit(lines.head)
    assert made.message == "Decided"
    assert len(made.parents) == 2
    assert made.params["merge.taken"] == f"average {MODEL}:a*; base {MODEL}; theirs"
    assert lines.clean


def test_a_file_that_is_edited_counts_as_it_is(lines: Lines) -> None:
    lines.merge("other")
    lines.write({"log.txt": b"both", MODEL: lines.changed(a=5)})
    found = status(lines.repo).under_way
    assert found is not None
    assert set(found.edited) == {"log.txt", MODEL}
    assert go_on(lines).status == "merged"
    assert lines.files()["log.txt"] == b"both"
    assert np.array_equal(lines.model()["a"], lines.changed(a=5)["a"])
    assert lines.clean


def test_a_file_that_was_edited_is_not_overwritten_by_a_decision(lines: Lines) -> None:
    lines.merge("other")
    lines.write({"log.txt": b"both"})
    with pytest.raises(NegativeAnswer, match=r"log\.txt was edited"):
        go_on(lines, take("theirs", "log.txt"))
    done = go_on(lines, take("theirs"))
    assert done.status == "merged"
    assert lines.files()["log.txt"] == b"both"


def test_a_conflict_is_decided_by_removing_the_file(lines: Lines) -> None:
    lines.merge("other")
    remove(lines.repo, [lines.path / "log.txt"], force=True)
    assert go_on(lines, take("theirs")).status == "merged"
    assert "log.txt" not in lines.files()
    assert lines.clean


def test_a_decision_about_nothing_is_a_mistake(lines: Lines) -> None:
    lines.merge("other")
    with pytest.raises(UsageError, match="no conflict is left"):
        go_on(lines, take("ours", f"{MODEL}:zzz*"))
    with pytest.raises(UsageError, match="no merge strategy"):
        go_on(lines, take("neither"))
    assert sorted(left(go_on(lines))) == sorted(EVERY)


def test_a_merge_may_stop_before_the_commit(lines: Lines) -> None:
    done = lines.merge("other", strategy="theirs", commit=False)
    assert (done.status, done.commit) == ("stopped", None)
    assert lines.files()["log.txt"] == b"theirs"
    assert go_on(lines).status == "merged"
    assert lines.repo.commit(lines.head).params["merge.strategy"] == "theirs"


def test_uncommitted_changes_are_refused_before_anything_is_touched(lines: Lines) -> None:
    lines.save("more", {"mine.txt": b"1"})
    lines.write({"mine.txt": b"2"})
    before = lines.files()
    for options in ({}, {"strategy": "theirs", "commit": False}):
        with pytest.raises(NegativeAnswer, match=r"uncommitted changes: mine\.txt"):
            lines.merge("other", **options)
    assert lines.files() == before
    assert merging.load(lines.repo) is None


def test_whatever_moves_the_branch_waits(lines: Lines) -> None:
    lines.merge("other")
    tries = [
        lambda: lines.merge("other"),
        lambda: commit(lines.repo, CommitRequest("x")),
        lambda: commit_arrays(lines.repo, {}, "x.safetensors", CommitRequest("x")),
        lambda: switch(lines.repo, "other"),
        lambda: reset(lines.repo, "HEAD~1"),
    ]
    for attempt in tries:
        with pytest.raises(NegativeAnswer, match="a merge is under way") as error:
            attempt()
        assert "--continue" in str(error.value.hint)


def test_a_hard_reset_drops_a_merge_under_way_with_what_it_brought(lines: Lines) -> None:
    before = lines.files()
    lines.merge("other")
    reset(lines.repo, "HEAD", hard=True)
    assert lines.files() == before
    assert lines.clean


def test_without_anything_under_way_there_is_nothing_to_end(lines: Lines) -> None:
    with pytest.raises(NegativeAnswer, match="no merge is under way"):
        go_on(lines)
    lines.merge("other")
    with pytest.raises(UsageError, match="is a merge"):
        abort(lines.repo, "revert")


def test_a_head_that_went_elsewhere_is_not_moved(lines: Lines) -> None:
    lines.merge("other")
    head = lines.head
    reason = lines.repo.change(head, lines.root, "by hand")
    lines.repo.refs.update("refs/heads/main", head, lines.root, reason)
    with pytest.raises(RemoteMovedError):
        go_on(lines, take("ours"))
    abort(lines.repo, "merge")
    assert lines.head == lines.root
    assert merging.load(lines.repo) is None


def test_garbage_collection_keeps_what_a_merge_under_way_needs(lines: Lines) -> None:
    done = lines.merge("other")
    lines.repo.refs.update("refs/heads/other", done.parents[1].commit, None, lines.repo.change(
        done.parents[1].commit, None, "gone"
    ))  # fmt: skip
    gc(lines.repo, GcRequest(grace_days=0, reflog_days=0))
    assert go_on(lines, take("average", MODEL), take("theirs")).status == "merged"
    assert lines.clean


def test_a_damaged_note_is_told_and_how_to_get_rid_of_it(lines: Lines) -> None:
    lines.merge("other")
    path = lines.repo.folder / "merge"
    whole = path.read_bytes()
    for damaged in (b"", b"{}", whole[:-30], whole.replace(b'"version": 1', b'"version": 9')):
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError, match="damaged") as error:
            go_on(lines)
        assert "reset --hard" in str(error.value.hint)


def test_a_note_comes_back_as_it_was_written(lines: Lines) -> None:
    lines.merge("other", strategy=None, rules='[[rule]]\ntensors = "zzz"\nstrategy = "ties"\n')
    found = merging.load(lines.repo)
    assert found is not None
    changed = replace(
        found,
        todo=(lines.root,),
        start=lines.root,
        reduced={"a/b": 16},
        settings={"scale": 0.5, "parent": 1},
        sign=True,
        task=replace(found.task, takes=(take("dare", "a:b", "c"),), literals="ours"),
    )
    merging.save(lines.repo, changed)
    assert merging.load(lines.repo) == changed


@pytest.mark.parametrize("moment", ["place", "land"])
def test_a_merge_that_was_cut_off_can_be_ended_or_undone(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    before, head = lines.files(), lines.head
    for way in ("end", "undo"):

        def cut(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(merge_steps, moment, cut)
        with pytest.raises(KeyboardInterrupt):
            lines.merge("other", strategy="theirs")
        monkeypatch.undo()
        if way == "undo":
            assert go_on(lines).status == "merged"
            assert lines.files()["log.txt"] == b"theirs"
            assert lines.clean
        else:
            abort(lines.repo, "merge")
            assert (lines.files(), lines.head) == (before, head)
            assert lines.clean


def test_a_merge_whose_branch_moved_before_the_cut_is_over_or_taken_back(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, head = lines.files(), lines.head
    for way in ("abort", "resume"):

        def cut(_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(merging, "clear", cut)
        with pytest.raises(KeyboardInterrupt):
            lines.merge("other", strategy="theirs")
        monkeypatch.undo()
        assert lines.head != head
        if way == "abort":
            abort(lines.repo, "merge")
            assert (lines.files(), lines.head) == (before, head)
        else:
            assert go_on(lines).status == "merged"
            assert lines.files()["log.txt"] == b"theirs"
        assert lines.clean


def test_files_at_reduced_precision_are_so_again_after_going_back(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "work")
    lines.branch("other", {MODEL: lines.changed(a=2)})
    lines.save("mine", {MODEL: lines.changed(a=1)})
    switch(lines.repo, "main", precision=16)
    short = lines.files()
    assert status(lines.repo).reduced == (MODEL,)
    assert lines.merge("other").status == "conflicts"
    abort(lines.repo, "merge")
    assert lines.files() == short
    assert status(lines.repo).reduced == (MODEL,)


def test_an_error_on_the_way_leaves_no_scratch(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MvcError("on purpose")

    monkeypatch.setattr("mvc.ops.merge_files.ingest", fail)
    before = lines.files()
    with pytest.raises(MvcError, match="on purpose"):
        lines.merge("other", strategy="theirs")
    assert lines.files() == before
    assert merging.load(lines.repo) is None
    assert [path.name for path in lines.repo.scratch.iterdir() if path.name.startswith("tx-")] == []
