"""`mvc merge`, `cherry-pick` and `revert` as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.console import Console

MODEL = "model.safetensors"


def values(**steps: float) -> dict[str, list[float]]:
    return {name: [1 + steps.get(name, 0), 2.0, 3.0] for name in ("head.w", "body.w", "tail.w")}


@pytest.fixture
def lines(mvc: Console) -> Console:
    """Both branches changed head.w; each changed another tensor alone."""
    mvc.write(MODEL, values())
    mvc.commit("base")
    mvc("switch", "-c", "other")
    mvc.write(MODEL, values(**{"head.w": 2, "body.w": 1}))
    mvc.commit("theirs", "--metric", "samples=30")
    mvc("switch", "main")
    mvc.write(MODEL, values(**{"head.w": 1, "tail.w": 1}))
    mvc.commit("mine", "--metric", "samples=10")
    return mvc


def test_conflicts_are_listed_by_tensor_and_end_with_one(lines: Console) -> None:
    done = lines("merge", "other", code=1)
    assert done.lines[:2] == [
        "1 conflict; what is not in conflict is merged",
        f"  {MODEL}  tensors: 1 from other, 1 from ours",
    ]
    assert done.lines[2] == (
        f"conflict: {MODEL}: head.w: changed on several sides (main 0.267, other 0.535)"
    )
    assert f"mvc merge --continue --take ours|theirs|average '{MODEL}:head.w'" in done.err
    shown = lines("status").out
    assert "A merge of other is under way" in shown
    assert f"conflict:  {MODEL}: head.w" in shown
    assert lines("commit", "-m", "x", code=1).err.startswith("error: a merge is under way")


def test_take_owns_the_patterns_that_follow_it(lines: Console) -> None:
    lines("merge", "other", code=1)
    left = lines("merge", "--continue", "--take", "ours", f"{MODEL}:tail*", code=2)
    assert "no conflict is left" in left.err
    done = lines(
        "merge", "--continue", "--take", "theirs", f"{MODEL}:head.*", "--take=average", "-m", "Both"
    )
    assert done.out.endswith("Both\n")
    assert lines("status", "-s").out == ""
    assert len(lines("log", "-n", "1", "--json").json[0]["parents"]) == 2


def test_a_decision_may_be_a_strategy_with_parameters(lines: Console) -> None:
    lines("merge", "other", code=1)
    done = lines("merge", "--continue", "--take", "ties", "--density", "0.5", "--json")
    assert done.json["status"] == "merged"
    lines("reset", "--hard", "HEAD~1")
    lines("merge", "other", code=1)
    assert (
        "--density"
        in lines("merge", "--continue", "--take", "ours", "--density", "0.5", code=2).err
    )


def test_abort_brings_everything_back(lines: Console) -> None:
    before = (lines.folder / MODEL).read_bytes()
    lines("merge", "other", code=1)
    assert lines("merge", "--abort").out.startswith("main is as it was, at ")
    assert (lines.folder / MODEL).read_bytes() == before
    assert "no merge is under way" in lines("merge", "--abort", code=1).err


def test_a_dry_run_tells_and_writes_nothing(lines: Console) -> None:
    before = sorted((lines.folder / ".mvc").rglob("*"))
    done = lines("merge", "--dry-run", "other", code=1)
    assert done.lines[0] == "merge would change 1 file: 1 conflict"
    done = lines("merge", "-n", "--strategy", "average", "other")
    assert done.lines == [
        "merge would change 1 file",
        f"  {MODEL}  tensors: 1 by average, 1 from other, 1 from ours",
    ]
    assert sorted((lines.folder / ".mvc").rglob("*")) == before


def test_json_has_exactly_the_documented_fields(lines: Console) -> None:
    done = lines("merge", "--strategy", "average", "--weight-by", "samples", "other", "--json").json
    assert set(done) == {
        *("verb", "status", "dry_run", "branch", "old", "commit", "tree", "bases", "parents"),
        *("message", "params", "files", "conflicts", "remarks", "written"),
    }
    assert [(item["name"], item["weight"]) for item in done["parents"]] == [
        ("main", 10.0),
        ("other", 30.0),
    ]
    assert done["params"]["merge.weights"] == "10,30"
    assert done["files"] == [
        {
            "path": MODEL,
            "result": "merged",
            "taken": {"other": 1, "ours": 1},
            "computed": {"average": 1},
            "conflicts": 0,
            "remarks": [],
        }
    ]


def test_conflicts_as_json_have_the_change_of_each_side(lines: Console) -> None:
    done = lines("merge", "other", "--json", code=1).json
    (conflict,) = done["conflicts"]
    assert (conflict["path"], conflict["tensor"], conflict["why"]) == (MODEL, "head.w", "changed")
    assert [set(side) for side in conflict["sides"]] == [{"name", "relative_l2"}] * 2
    under_way = lines("status", "--json").json["under_way"]
    assert under_way["conflicts"] == [{"path": MODEL, "tensor": "head.w"}]


def test_rules_come_from_a_file(lines: Console) -> None:
    lines.write("merge.toml", '[[rule]]\ntensors = "head.*"\nstrategy = "theirs"\n')
    lines("merge", "--rules", "merge.toml", "other")
    assert "merge.rules" in lines("log", "-n", "1").out
    lines.write("merge.toml", "[[rule]]\nstrategy = 1\n")
    assert "rule 1" in lines("merge", "--rules", "merge.toml", "other", code=2).err
    assert lines("merge", "--rules", "nowhere.toml", "other", code=3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["merge"], "merge needs a version"),
        (["merge", "--continue", "other"], "take no versions"),
        (["merge", "--continue", "--abort"], "exclude each other"),
        (["merge", "other", "--take", "ours"], "--take goes with --continue"),
        (["merge", "--continue", "--take"], "--take needs a side"),
        (["merge", "--weights", "a,b", "other"], "are no weights"),
        (["merge", "--no-ff", "--ff-only", "other"], "contradict"),
        (["merge", "--strategy", "avrage", "other"], "did you mean average?"),
        (["cherry-pick"], "cherry-pick needs a version"),
        (["cherry-pick", "other", "--scale", "0"], "scale"),
        (["revert", "other", "--take", "ours"], "--take goes with --continue"),
    ],
)
def test_what_makes_no_sense_is_told_with_a_way_on(
    lines: Console, arguments: list[str], told: str
) -> None:
    done = lines(*arguments, code=2)
    assert told in done.err
    assert "hint: " in done.err


def test_picks_are_told_one_by_one(lines: Console) -> None:
    done = lines("cherry-pick", "other")
    assert done.lines[0].endswith("] theirs")
    done = lines("revert", "HEAD", "--json")
    assert [item["verb"] for item in done.json] == ["revert"]
    assert lines("diff", "HEAD~2", "HEAD", "--exit-code").code == 0


def test_diverged_branches_are_told_of_merge(lines: Console, tmp_path: Path) -> None:
    there = tmp_path / "there"
    lines("clone", ".", str(there))
    lines("-C", str(there), "commit", "--allow-empty", "-m", "there")
    lines("commit", "--allow-empty", "-m", "here")
    done = lines("-C", str(there), "pull", code=1)
    assert "`mvc merge origin/main` merges them" in done.err
    assert lines("-C", str(there), "merge", "origin/main").out.startswith("[main ")


def test_paths_are_as_seen_from_the_current_folder(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, branch in enumerate((None, "other", None)):
        if branch:
            mvc("switch", "-c", branch)
        mvc.write("deep/notes.txt", str(number))
        mvc.commit(str(number))
        mvc("switch", "main")
    monkeypatch.chdir(mvc.folder / "deep")
    done = mvc("merge", "other", code=1)
    assert "conflict: notes.txt: changed on several sides" in done.out
    assert "mvc merge --continue --take ours|theirs 'notes.txt'" in done.err
    assert "conflict:  notes.txt\n" in mvc("status").out
    mvc("merge", "--continue", "--take", "theirs", "notes.txt")
    assert (mvc.folder / "deep" / "notes.txt").read_text() == "1"


def test_files_that_are_not_here_are_merged_by_their_ids(lines: Console, tmp_path: Path) -> None:
    lines.write("other/notes.txt", "n")
    lines.commit("notes")
    lines("switch", "-c", "third", "HEAD~1")
    lines.write("other/more.txt", "m")
    lines.commit("more")
    there = tmp_path / "there"
    lines("clone", "--path", "other", ".", str(there))
    done = lines("-C", str(there), "merge", "origin/main")
    assert done.lines[0].endswith("Merge origin/main into third")
    assert {row["path"] for row in lines("-C", str(there), "ls-tree", "-r", "--json").json} == {
        *(MODEL, "other/notes.txt", "other/more.txt")
    }
    assert not (there / MODEL).exists()
    assert lines("-C", str(there), "status", "-s").out == ""
    told = lines("-C", str(there), "merge", "--strategy", "average", "origin/other", code=3).err
    assert "mvc fetch" in told


def test_names_of_versions_and_tensors_are_harmless_on_a_terminal(mvc: Console) -> None:
    evil = "w\x1b[2J\n"
    for step, branch in ((0, None), (1, "other"), (2, None)):
        if branch:
            mvc("switch", "-c", branch)
        mvc.write(MODEL, {evil: [1.0 + step, 2.0]})
        mvc.commit(str(step))
        if branch:
            mvc("switch", "main")
    done = mvc("merge", "other", code=1)
    assert "\x1b" not in done.out + done.err
    assert "w\\x1b[2J\\n" in done.out
    assert "\x1b" not in mvc("status").out


def test_a_merge_can_be_signed(lines: Console) -> None:
    pytest.importorskip("cryptography")
    lines("key", "generate")
    lines("merge", "-S", "--strategy", "ours", "other")
    name = lines("key", "show", "--json").json["public"]
    signed = lines("log", "-n", "1", "--json").json[0]
    assert signed["signature"]["key"] == name
    assert len(signed["parents"]) == 2
    assert "not trusted" in lines("verify-commit", "HEAD", code=5).out


def test_rules_that_are_not_there_are_told_of_with_where_to_look(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    done = mvc("merge", "--rules", "no.toml", "HEAD", code=3)
    assert "no.toml does not exist" in done.err
    assert "hint: docs/merge.md" in done.err
