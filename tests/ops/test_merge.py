"""Merging: forward, three ways, strategies, a fleet, into a branch of a bare repository."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mvc.base.errors import (
    NegativeAnswer,
    NotFoundError,
    RemoteMovedError,
    UsageError,
)
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.ops import merge as merge_module
from mvc.ops.branch import create
from mvc.ops.checkout import switch
from mvc.ops.fsck import fsck
from mvc.ops.merge_rules import parse_rules
from mvc.repo.repository import Environment, Repository
from mvc.store.transaction import Transaction
from tests.ops.lines import MODEL, Lines, weights


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path / "work")


def mean(*models: np.ndarray, by: list[float] | None = None) -> np.ndarray:
    """Return the weighted mean in float64, rounded once."""
    factors = by or [1.0] * len(models)
    total = sum(
        np.float64(factor) * model.astype(np.float64)
        for factor, model in zip(factors, models, strict=True)
    )
    return (total / sum(factors)).astype(models[0].dtype)


def test_what_is_merged_already_changes_nothing(lines: Lines) -> None:
    create(lines.repo, "other")
    assert lines.merge("other").status == "same"
    assert lines.merge("HEAD").status == "same"
    assert lines.head == lines.root


def test_a_branch_that_is_only_behind_moves_forward_with_its_files(lines: Lines) -> None:
    other = lines.branch("other", {MODEL: lines.changed(a=1), "new.txt": b"new"})
    done = lines.merge("other")
    assert (done.status, done.commit, lines.head) == ("forward", other, other)
    assert lines.files()["new.txt"] == b"new"
    assert lines.clean


def test_no_ff_makes_a_commit_and_ff_only_makes_none(lines: Lines) -> None:
    other = lines.branch("other", {MODEL: lines.changed(a=1)})
    lines.save("mine", {"mine.txt": b"m"})
    with pytest.raises(NegativeAnswer, match="diverged"):
        lines.merge("other", forward="only")
    switch(lines.repo, "back", create=True, start=lines.root.hex())
    done = lines.merge("other", forward="never")
    assert done.status == "merged"
    assert lines.repo.commit(lines.head).parents == (lines.root, other)
    assert lines.tree(lines.head) == lines.tree(other)


def test_changes_of_both_sides_come_together_by_tensor_and_by_file(lines: Lines) -> None:
    lines.branch("other", {MODEL: lines.changed(b=2), "there.txt": b"there"})
    lines.save("mine", {MODEL: lines.changed(a=1), "here.txt": b"here"})
    done = lines.merge("other")
    assert done.status == "merged"
    model = lines.model()
    assert np.array_equal(model["a"], lines.changed(a=1)["a"])
    assert np.array_equal(model["b"], lines.changed(b=2)["b"])
    assert {"there.txt", "here.txt"} <= lines.files().keys()
    assert lines.clean
    assert fsck(lines.repo).problems == ()


def test_without_a_strategy_a_tensor_that_both_changed_is_a_conflict_with_both_changes_told(
    lines: Lines,
) -> None:
    lines.branch("other", {MODEL: lines.changed(a=2, b=1)})
    lines.save("mine", {MODEL: lines.changed(a=1)})
    before = lines.files()
    done = lines.merge("other", dry_run=True)
    assert lines.files() == before
    (conflict,) = done.conflicts
    base = lines.base["a"].astype(np.float64)
    expected = [
        np.linalg.norm(lines.changed(a=step)["a"] - base) / np.linalg.norm(base) for step in (1, 2)
    ]
    assert (conflict.tensor, conflict.why) == ("a", "changed")
    assert [side.name for side in conflict.sides] == ["main", "other"]
    assert [side.relative for side in conflict.sides] == pytest.approx(expected)


def test_a_strategy_is_for_what_both_changed_and_is_recorded(lines: Lines) -> None:
    other = lines.branch("other", {MODEL: lines.changed(a=2, b=1)})
    mine = lines.save("mine", {MODEL: lines.changed(a=1)})
    done = lines.merge("other", strategy="average", weights=(3.0, 1.0))
    model = lines.model()
    ours, theirs = lines.changed(a=1), lines.changed(a=2, b=1)
    assert np.array_equal(model["a"], mean(ours["a"], theirs["a"], by=[3, 1]))
    assert np.array_equal(model["b"], theirs["b"])
    made = lines.repo.commit(lines.head)
    assert made.parents == (mine, other)
    assert made.params == {"merge.strategy": "average", "merge.weights": "3,1"}
    assert [(item.name, item.weight) for item in done.parents] == [("main", 3), ("other", 1)]


def test_the_head_of_a_server_counts_nothing_among_its_clients(lines: Lines) -> None:
    steps = [0.5, 1.5, 4.0]
    commits = [
        lines.branch(f"devices/car-{n}/main", {MODEL: lines.changed(a=step)}, samples=10 * (n + 1))
        for n, step in enumerate(steps)
    ]
    done = lines.merge("devices/*", strategy="average", weight_by="samples")
    models = [lines.changed(a=step)["a"] for step in steps]
    assert np.array_equal(lines.model()["a"], mean(*models, by=[10, 20, 30]))
    made = lines.repo.commit(lines.head)
    assert made.parents == (lines.root, *commits)
    assert made.params["merge.weights"] == "0,10,20,30"
    assert made.params["merge.weight_by"] == "samples"
    assert done.files[0].computed == {"average": 1}


def test_a_client_that_did_not_change_a_tensor_counts_with_what_it_has(lines: Lines) -> None:
    lines.branch("devices/1", {MODEL: lines.changed(a=3)})
    lines.branch("devices/2", {MODEL: lines.changed(b=3)})
    lines.merge("devices/*", strategy="average")
    base, model = lines.base, lines.model()
    assert np.array_equal(model["a"], mean(lines.changed(a=3)["a"], base["a"]))
    assert np.array_equal(model["b"], mean(base["b"], lines.changed(b=3)["b"]))


def test_include_head_lets_it_count_even_where_it_could_move_forward(lines: Lines) -> None:
    lines.branch("tuned", {MODEL: lines.changed(a=1)})
    done = lines.merge("tuned", strategy="average", include_head=True, weights=(1.0, 3.0))
    expected = mean(lines.base["a"], lines.changed(a=1)["a"], by=[1, 3])
    assert done.status == "merged"
    assert np.array_equal(lines.model()["a"], expected)


def test_the_branch_itself_is_told_of_when_its_change_counts_nothing(lines: Lines) -> None:
    for number in (1, 2):
        lines.branch(f"devices/{number}", {MODEL: lines.changed(a=number)})
    lines.save("mine", {MODEL: lines.changed(a=9, d=9)})
    done = lines.merge("devices/*", strategy="average")
    assert any("--include-head" in remark for remark in done.remarks)
    assert np.array_equal(lines.model()["d"], lines.changed(d=9)["d"])
    expected = mean(lines.changed(a=1)["a"], lines.changed(a=2)["a"])
    assert np.array_equal(lines.model()["a"], expected)


def test_versions_without_news_are_left_out_and_equal_ones_are_one_parent(lines: Lines) -> None:
    create(lines.repo, "devices/0")
    one = lines.branch("devices/1", {MODEL: lines.changed(a=1)})
    create(lines.repo, "devices/1-again", "devices/1")
    two = lines.branch("devices/2", {MODEL: lines.changed(a=4)})
    done = lines.merge("devices/*", strategy="average", weights=(9.0, 1.0, 1.0, 1.0))
    assert lines.repo.commit(lines.head).parents == (lines.root, one, two)
    assert lines.repo.commit(lines.head).params["merge.weights"] == "0,2,1"
    assert "devices/0" in done.remarks[0]
    assert "devices/1-again" in done.remarks[1]


def test_a_version_that_lacks_the_metric_is_named(lines: Lines) -> None:
    lines.branch("devices/1", {MODEL: lines.changed(a=1)}, samples=5)
    lines.branch("devices/2", {MODEL: lines.changed(a=2)})
    with pytest.raises(NotFoundError, match=r"devices/2 \([0-9a-f]{10}\) has neither"):
        lines.merge("devices/*", strategy="average", weight_by="samples")
    assert lines.head == lines.root


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"weights": (1.0,)}, "for a strategy"),
        ({"strategy": "average", "weights": (1.0,)}, "1 weights for 2"),
        ({"strategy": "average", "weights": (0.0, 0.0)}, "not all 0"),
        ({"strategy": "average", "weights": (1.0, float("nan"))}, "0 or more"),
        ({"strategy": "slerp", "include_head": True}, "exactly 2"),
        ({"strategy": "averag"}, "no merge strategy"),
        ({"options": {"t": 0.5}}, "none is given"),
        ({"strategy": "average", "options": {"t": 0.5}}, "no parameter"),
        ({"rules": "[[rule]]\nstrategy = 'x'\n"}, "rule 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(
    lines: Lines, options: dict[str, object], match: str
) -> None:
    for number in (1, 2):
        lines.branch(f"devices/{number}", {MODEL: lines.changed(a=number)})
    with pytest.raises(UsageError, match=match):
        lines.merge("devices/*", **options)
    assert lines.head == lines.root
    assert lines.clean


def test_rules_choose_a_strategy_by_file_and_tensor(lines: Lines) -> None:
    lines.branch("other", {MODEL: lines.changed(a=2, b=2, c=2), "log.txt": b"theirs"})
    lines.save("mine", {MODEL: lines.changed(a=1, b=1, c=1), "log.txt": b"ours"})
    rules = """
[[rule]]
file = "*.txt"
strategy = "ours"
[[rule]]
tensors = ["a", "x*"]
strategy = "theirs"
[[rule]]
file = "model.*"
tensors = "b"
strategy = "task-arithmetic"
lambda = 0.5
"""
    done = lines.merge("other", strategy="average", rules=rules)
    assert done.status == "merged"
    model = lines.model()
    assert np.array_equal(model["a"], lines.changed(a=2)["a"])
    old = lines.base["b"].astype(np.float64)
    steps = [lines.changed(b=step)["b"].astype(np.float64) - old for step in (1, 2)]
    assert np.array_equal(model["b"], (old + 0.5 * sum(steps)).astype(np.float32))
    assert np.array_equal(model["c"], mean(lines.changed(c=1)["c"], lines.changed(c=2)["c"]))
    assert lines.files()["log.txt"] == b"ours"
    assert lines.repo.commit(lines.head).params["merge.rules"] == rules


@pytest.mark.parametrize(
    "text",
    [
        "rule = 3",
        "[[rule]]\nstrategy = 3",
        "[[rule]]\nfile = '*'",
        "[[rule]]\nfile = 3\nstrategy = 'ours'",
        "[[rule]]\ndensity = 0.1\nliterals = 'ours'",
        "[[rule]]\nstrategy = 'ties'\ndensity = 3",
        "[[rule]]\nliterals = 'average'",
        "[rules]\nx = 1",
        "not toml",
    ],
)
def test_rules_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rules(text)


def test_the_same_versions_give_the_same_tree_whatever_was_there_before(tmp_path: Path) -> None:
    trees = set()
    for name in ("one", "two"):
        lines = Lines(tmp_path / name)
        if name == "two":
            lines.branch("unlike", {MODEL: weights(7)})
        for number in range(5):
            lines.branch(f"devices/{number}", {MODEL: lines.changed(a=number, b=-number)})
        done = lines.merge("devices/*", strategy="ties", options={"density": 0.3})
        trees.add(done.tree)
    assert len(trees) == 1


def test_a_local_change_elsewhere_stays_and_one_in_the_way_is_refused(lines: Lines) -> None:
    lines.save("mine", {"here.txt": b"here"})
    lines.branch("other", {MODEL: lines.changed(b=2)}, start="HEAD~1")
    lines.write({"here.txt": b"edited"})
    assert lines.merge("other").status == "merged"
    assert lines.files()["here.txt"] == b"edited"
    lines.branch("third", {MODEL: lines.changed(b=3)}, start="HEAD~1")
    lines.write({MODEL: lines.changed(c=5)})
    before, head = lines.files(), lines.head
    with pytest.raises(NegativeAnswer, match=r"would be lost: model.safetensors"):
        lines.merge("third", strategy="theirs")
    assert (lines.files(), lines.head) == (before, head)


def test_a_file_that_is_not_tracked_is_not_overwritten(lines: Lines) -> None:
    lines.branch("other", {"new.txt": b"theirs"})
    lines.save("mine", {MODEL: lines.changed(a=1)})
    lines.write({"new.txt": b"precious"})
    with pytest.raises(NegativeAnswer, match=r"new\.txt"):
        lines.merge("other")
    assert lines.files()["new.txt"] == b"precious"
    assert lines.repo.commit(lines.head).message == "mine"


def test_unrelated_histories_are_refused_unless_asked_for(lines: Lines) -> None:
    with Transaction(lines.repo.store, lines.repo.scratch) as tx:
        alone = tx.put(Commit(lines.tree(lines.root), (), "Ada", 1, "alone"))
        tx.commit()
    lines.repo.refs.update("refs/heads/alone", None, alone, lines.repo.change(None, alone, "x"))
    with pytest.raises(NegativeAnswer, match="no common version"):
        lines.merge("alone")
    done = lines.merge("alone", unrelated=True)
    assert (done.status, done.bases) == ("merged", ())
    assert done.tree == lines.tree(lines.root)


def test_lines_that_crossed_have_the_newest_base_and_it_is_told(lines: Lines) -> None:
    a = lines.branch("x", {MODEL: lines.changed(a=1)})
    b = lines.branch("y", {MODEL: lines.changed(b=1)})
    for name, other in (("x", b), ("y", a)):
        switch(lines.repo, name)
        assert lines.merge(other.hex()).status == "merged"
        lines.save(name, {f"{name}.txt": b"x"})
    done = lines.merge("x")
    assert len(done.bases) == 2
    assert any("crossed" in remark for remark in done.remarks)
    assert done.status == "merged"


def test_names_that_are_one_file_elsewhere_are_refused(lines: Lines) -> None:
    lines.branch("other", {"a": b"1"})
    lines.save("mine", {"A": b"2"})
    with pytest.raises(NegativeAnswer, match="one file on some systems"):
        lines.merge("other")
    switch(lines.repo, "third", create=True, start=lines.root.hex())
    lines.save("third", {"a/b": b"2"})
    with pytest.raises(NegativeAnswer, match="is a file in one version"):
        lines.merge("other")
    assert lines.clean


def bare(lines: Lines, path: Path) -> Repository:
    environment = Environment(author="Server")
    shutil.copytree(lines.repo.folder, path)
    return Repository(path, None, environment)


def test_a_server_averages_its_fleet_without_a_working_copy(lines: Lines, tmp_path: Path) -> None:
    for number in (1, 2):
        lines.branch(f"devices/{number}", {MODEL: lines.changed(a=number)}, samples=number)
    with bare(lines, tmp_path / "bare") as repo:
        request = merge_module.MergeRequest(
            ("devices/*",), "average", weight_by="samples", into="main"
        )
        done = merge_module.merge(repo, request)
        assert repo.refs.get("refs/heads/main") == done.commit
        here = lines.merge("devices/*", strategy="average", weight_by="samples")
        assert here.tree == done.tree
        with pytest.raises(UsageError, match="bare"):
            merge_module.merge(repo, merge_module.MergeRequest(("devices/1",)))


def test_conflicts_without_a_working_copy_change_nothing(lines: Lines, tmp_path: Path) -> None:
    for number in (1, 2):
        lines.branch(f"devices/{number}", {MODEL: lines.changed(a=number)})
    with bare(lines, tmp_path / "bare") as repo:
        packs = sorted((tmp_path / "bare" / "packs").iterdir())
        done = merge_module.merge(repo, merge_module.MergeRequest(("devices/*",), into="main"))
        assert (done.status, done.commit) == ("conflicts", None)
        assert repo.refs.get("refs/heads/main") == lines.root
        assert sorted((tmp_path / "bare" / "packs").iterdir()) == packs


def test_a_branch_that_moves_meanwhile_is_not_overwritten(
    lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        lines.branch(f"devices/{number}", {MODEL: lines.changed(a=number)})
    original = merge_module.conclude
    with bare(lines, tmp_path / "bare") as repo:

        def moved(*arguments: object) -> ObjectId:
            target = repo.refs.get("refs/heads/devices/1")
            change = repo.change(lines.root, target, "a push")
            repo.refs.update("refs/heads/main", lines.root, target, change)
            return original(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(merge_module, "conclude", moved)
        request = merge_module.MergeRequest(("devices/*",), "average", into="main")
        with pytest.raises(RemoteMovedError):
            merge_module.merge(repo, request)
        assert repo.refs.get("refs/heads/main") == repo.refs.get("refs/heads/devices/1")


def test_into_another_branch_leaves_the_files_alone(lines: Lines) -> None:
    lines.branch("other", {MODEL: lines.changed(a=1)})
    lines.branch("target", {MODEL: lines.changed(b=1)})
    before = lines.files()
    done = lines.merge("other", into="target")
    assert lines.files() == before
    assert lines.repo.refs.get("refs/heads/target") == done.commit
    with pytest.raises(NotFoundError, match="no branch nowhere"):
        lines.merge("other", into="nowhere")


def test_a_merged_archive_agrees_with_its_own_checksums(tmp_path: Path) -> None:
    def archive(**arrays: np.ndarray) -> bytes:
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    base = weights(1)
    lines = Lines(tmp_path / "work", {"m.npz": archive(**base)})
    lines.branch("other", {"m.npz": archive(**{**base, "b": base["b"] + 1})})
    lines.save("mine", {"m.npz": archive(**{**base, "a": base["a"] * 2})})
    assert lines.merge("other").status == "merged"
    with zipfile.ZipFile(lines.path / "m.npz") as opened:
        assert opened.testzip() is None
    found = np.load(lines.path / "m.npz")
    assert np.array_equal(found["a"], base["a"] * 2)
    assert np.array_equal(found["b"], base["b"] + 1)


def test_a_merge_is_stored_as_differences_from_its_parents(lines: Lines) -> None:
    draw = np.random.default_rng(3)
    large = {"w": draw.standard_normal(1 << 18).astype(np.float32)}
    lines.save("large", {"large.safetensors": large})
    for number in range(3):
        small = (1e-4 * draw.standard_normal(1 << 18)).astype(np.float32)
        lines.branch(f"devices/{number}", {"large.safetensors": {"w": large["w"] + small}})
    before = sum(path.stat().st_size for path in (lines.repo.folder / "packs").iterdir())
    lines.merge("devices/*", strategy="average")
    after = sum(path.stat().st_size for path in (lines.repo.folder / "packs").iterdir())
    assert after - before < 0.75 * large["w"].nbytes
