"""Cherry-pick and revert: what a commit changed, added to or taken from another version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.ops.checkout import switch
from mvc.ops.cherry_pick import cherry_pick
from mvc.ops.merge_result import MergeResult
from mvc.ops.picking import PickRequest
from mvc.ops.resume import ResumeRequest, abort, resume
from mvc.ops.revert import revert
from mvc.repo.merging import Named, Take
from mvc.repo.repository import Repository
from tests.diff.versions import model
from tests.ops.lines import MODEL, Lines


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path / "work")


def pick(lines: Lines, *revisions: str, **options: object) -> tuple[MergeResult, ...]:
    return cherry_pick(lines.repo, PickRequest(revisions, **options))  # type: ignore[arg-type]


def undo(lines: Lines, *revisions: str, **options: object) -> tuple[MergeResult, ...]:
    return revert(lines.repo, PickRequest(revisions, **options))  # type: ignore[arg-type]


def test_onto_the_version_it_was_made_from_a_pick_gives_the_same_files(lines: Lines) -> None:
    there = lines.branch("other", {MODEL: lines.changed(a=1, b=2), "new.txt": b"new"})
    # The message alone differs, so that nothing is only moved forward.
    (done,) = pick(lines, "other")
    assert done.tree == lines.tree(there)
    assert lines.files()["new.txt"] == b"new"
    made = lines.repo.commit(lines.head)
    assert made.parents == (lines.root,)
    assert made.message == "other"
    assert made.params == {"cherry-pick.commit": there.hex()}
    assert lines.clean


def test_taking_back_the_newest_commit_gives_the_bytes_before_it(lines: Lines) -> None:
    before = lines.files()
    lines.save("two", {MODEL: lines.changed(a=1e-7, c=3e5), "new.txt": b"new"})
    (done,) = undo(lines, "HEAD")
    assert lines.files() == before
    assert done.tree == lines.tree(lines.root)
    assert lines.repo.commit(lines.head).message.startswith('Revert "two"\n\nThis takes back')


def test_a_change_is_added_to_what_ours_changed_too(lines: Lines) -> None:
    lines.branch("other", {MODEL: lines.changed(a=0.25)})
    mine = lines.changed(a=1, b=1)
    lines.save("mine", {MODEL: mine})
    pick(lines, "other")
    old, new = (lines.changed(a=step)["a"].astype(np.float64) for step in (0, 0.25))
    expected = (mine["a"].astype(np.float64) + (new - old)).astype(np.float32)
    assert np.array_equal(lines.model()["a"], expected)
    assert np.array_equal(lines.model()["b"], mine["b"])


@pytest.mark.parametrize("scale", [0.5, -1.0, 2.0])
def test_a_change_can_be_scaled(lines: Lines, scale: float) -> None:
    there = {**lines.changed(a=1)}
    lines.branch("other", {MODEL: there})
    (done,) = pick(lines, "other", scale=scale)
    old, new = lines.base["a"].astype(np.float64), there["a"].astype(np.float64)
    assert np.array_equal(lines.model()["a"], (old + scale * (new - old)).astype(np.float32))
    assert np.array_equal(lines.model()["b"], lines.base["b"])
    assert lines.repo.commit(lines.head).params["cherry-pick.scale"] == scale
    assert done.files[0].computed == {"task-arithmetic": 1}


def test_taking_back_an_older_commit_keeps_what_came_after_it(lines: Lines) -> None:
    lines.save("two", {MODEL: lines.changed(a=1)})
    lines.save("three", {MODEL: lines.changed(a=1, b=1)})
    undo(lines, "HEAD~1")
    assert np.array_equal(lines.model()["a"], lines.base["a"])
    assert np.array_equal(lines.model()["b"], lines.changed(b=1)["b"])


def test_what_is_there_already_makes_no_commit(lines: Lines) -> None:
    lines.branch("other", {MODEL: lines.changed(a=1)})
    lines.save("same", {MODEL: lines.changed(a=1)})
    head = lines.head
    (done,) = pick(lines, "other")
    assert (done.status, lines.head) == ("same", head)


def test_integers_that_both_changed_are_a_conflict(tmp_path: Path) -> None:
    def steps(count: int, value: float) -> bytes:
        return model({"step": np.array([count]), "w": np.array([value], np.float32)})

    lines = Lines(tmp_path / "work", {MODEL: steps(1, 1)})
    lines.branch("other", {MODEL: steps(5, 2)})
    lines.save("mine", {MODEL: steps(3, 4)})
    (done,) = pick(lines, "other")
    assert [(item.tensor, item.why) for item in done.conflicts] == [("step", "packed")]
    (done,) = resume(
        lines.repo, "cherry-pick", ResumeRequest((Take(Named("theirs"), (f"{MODEL}:step",)),))
    )
    assert done.status == "merged"
    assert lines.model()["step"].tolist() == [5]
    assert lines.model()["w"].tolist() == [5.0]


def chain(lines: Lines, count: int) -> None:
    """Make `count` versions on a branch, the second of which is in conflict with main."""
    switch(lines.repo, "other", create=True)
    for number in range(count):
        lines.save(f"step {number}", {MODEL: lines.changed(a=number), "log.txt": b"%d" % number})
    switch(lines.repo, "main")


def test_a_range_is_picked_in_order_and_taken_back_the_other_way_round(lines: Lines) -> None:
    before = lines.tree(lines.head)
    chain(lines, 3)
    done = pick(lines, "main..other")
    assert [item.message for item in done] == ["step 0", "step 1", "step 2"]
    assert done[-1].tree == lines.tree(lines.repo.refs.get("refs/heads/other"))
    taken = undo(lines, "HEAD~3..HEAD")
    assert taken[-1].tree == before


def test_picks_stop_at_a_conflict_and_go_on_from_there(lines: Lines) -> None:
    lines.save("log", {"log.txt": b"mine"})
    start = lines.head
    chain_start = lines.root.hex()
    switch(lines.repo, "other", create=True, start=chain_start)
    lines.save("one", {MODEL: lines.changed(a=1)})
    lines.save("two", {"log.txt": b"theirs"})
    lines.save("three", {MODEL: lines.changed(a=1, b=1)})
    switch(lines.repo, "main")
    done = pick(lines, f"{chain_start}..other")
    assert [item.status for item in done] == ["merged", "conflicts"]
    first = lines.head
    abort(lines.repo, "cherry-pick")
    assert lines.head == start
    assert lines.clean
    pick(lines, f"{chain_start}..other")
    assert lines.tree(lines.head) == lines.tree(first)
    rest = resume(lines.repo, "cherry-pick", ResumeRequest((Take(Named("theirs")),)))
    assert [item.status for item in rest] == ["merged", "merged"]
    assert lines.files()["log.txt"] == b"theirs"
    assert np.array_equal(lines.model()["b"], lines.changed(b=1)["b"])
    assert lines.clean


def test_of_a_merge_somebody_has_to_say_which_parent(lines: Lines) -> None:
    other = lines.branch("other", {MODEL: lines.changed(b=1)})
    mine = lines.save("mine", {MODEL: lines.changed(a=1)})
    lines.merge("other")
    with pytest.raises(UsageError, match="a merge of 2"):
        undo(lines, "HEAD")
    with pytest.raises(UsageError, match="not a parent 3"):
        undo(lines, "HEAD", parent=3)
    (done,) = undo(lines, "HEAD", parent=2)
    assert done.tree == lines.tree(other)
    (done,) = undo(lines, "HEAD")
    (done,) = undo(lines, "HEAD~2", parent=1)
    assert done.tree == lines.tree(mine)


def test_a_first_commit_can_be_taken_back(lines: Lines) -> None:
    lines.save("more", {"more.txt": b"more"})
    (done,) = undo(lines, lines.root.hex())
    assert set(lines.files()) == {"more.txt"}
    assert done.status == "merged"


@pytest.mark.parametrize(
    ("revisions", "options"),
    [((), {}), (("HEAD",), {"scale": 0}), (("HEAD",), {"scale": float("nan")}), (("A...B",), {})],
)
def test_what_makes_no_sense_is_refused(
    lines: Lines, revisions: tuple[str, ...], options: dict[str, float]
) -> None:
    with pytest.raises(UsageError):
        pick(lines, *revisions, **options)


def test_an_empty_range_says_so(lines: Lines) -> None:
    with pytest.raises(NegativeAnswer, match="no commits"):
        pick(lines, "HEAD..HEAD")


def test_telling_what_would_happen_changes_nothing(lines: Lines) -> None:
    lines.branch("other", {MODEL: lines.changed(a=1)})
    before, head = lines.files(), lines.head
    (done,) = pick(lines, "other", dry_run=True)
    assert done.dry_run
    assert (lines.files(), lines.head) == (before, head)


def test_a_version_whose_parents_were_not_fetched_cannot_be_picked(lines: Lines) -> None:
    lines.save("two", {MODEL: lines.changed(a=1)})
    lines.repo.shallow.change([lines.head], [])
    with pytest.raises(NotFoundError, match="was not fetched"):
        undo(lines, "HEAD")


def test_a_bare_repository_has_no_files_to_pick_into(lines: Lines) -> None:
    repo = Repository(lines.repo.folder, None, lines.repo.environment)
    with pytest.raises(UsageError, match="bare"):
        cherry_pick(repo, PickRequest(("HEAD",)))


@settings(max_examples=15)
@given(
    st.lists(st.floats(width=32), min_size=4, max_size=4),
    st.lists(st.floats(width=32), min_size=4, max_size=4),
)
def test_picking_and_taking_back_gives_the_bits_from_before_whatever_they_are(
    tmp_path_factory: pytest.TempPathFactory, old: list[float], new: list[float]
) -> None:
    files = [model({"w": np.array(values, np.float32)}) for values in (old, new)]
    lines = Lines(tmp_path_factory.mktemp("work"), {MODEL: files[0]})
    lines.branch("other", {MODEL: files[1], "more.txt": b"x"})
    pick(lines, "other")
    assert lines.files()[MODEL] == files[1]
    undo(lines, "HEAD")
    assert lines.files()[MODEL] == files[0]
