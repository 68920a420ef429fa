from __future__ import annotations

import pytest

from tests.cli.console import Console


def test_status_names_every_kind_of_change_and_the_next_command(mvc: Console) -> None:
    for name in ("changed.txt", "gone.txt", "same.txt"):
        mvc.write(name, name)
    mvc.commit("base")
    mvc.write("changed.txt", "something else")
    (mvc.folder / "gone.txt").unlink()
    mvc.write("new.txt", "new")
    mvc("add", "new.txt")
    mvc.write("sub/other.txt", "other")
    assert mvc("status").out == (
        "On branch main\n"
        "\n"
        "Changes that `mvc commit` will record:\n"
        "  (`mvc restore FILE` drops them)\n"
        "  (`mvc rm --cached FILE` stops tracking)\n"
        "    added:     new.txt\n"
        "    modified:  changed.txt\n"
        "    deleted:   gone.txt\n"
        "\n"
        "Untracked files:\n"
        "  (`mvc add FILE` starts tracking)\n"
        "    sub/other.txt\n"
    )
    assert mvc("status", "--porcelain").lines == [
        "A new.txt",
        "M changed.txt",
        "D gone.txt",
        "? sub/other.txt",
    ]
    assert mvc("status", "-s").out == mvc("status", "--short").out


def test_status_as_json_has_exactly_the_documented_fields(mvc: Console) -> None:
    assert mvc("status", "--json").json == {
        "branch": "main",
        "head": None,
        "clean": True,
        "added": [],
        "modified": [],
        "deleted": [],
        "untracked": [],
        "renamed": [],
        "reduced": [],
        "upstream": None,
        "under_way": None,
        "bisecting": False,
    }
    mvc.write("a.txt", "a")
    head = mvc.commit("a")
    assert mvc("status", "--json").json["head"] == head


def test_status_before_the_first_commit_says_how_to_begin(mvc: Console) -> None:
    assert mvc("status").out == (
        "On branch main\nNo commits yet\nNothing to commit: `mvc add FILE` starts tracking\n"
    )


def test_status_of_a_detached_head_says_so(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    head = mvc.commit("a")
    mvc("checkout", head)
    assert mvc.named(mvc("status").out, a=head) == (
        "HEAD is detached at <a>; `mvc switch -c NAME` makes a branch here\n"
        "Nothing to commit, all tracked files are clean\n"
    )


def test_init_makes_a_folder_once(outside: Console) -> None:
    assert outside("init", "new/place").out.startswith("empty repository in ")
    assert outside("init", "new/place").out.startswith("repository exists in ")
    assert outside("init", "--bare", "b").out.startswith("empty bare repository in ")
    assert "bare repository already" in outside("init", "b", code=2).err
    assert "working copy of a repository" in outside("init", "--bare", "new/place", code=2).err


def test_add_tells_what_it_tracks(mvc: Console) -> None:
    mvc.write("m/a.txt", "a")
    assert mvc("add", "m").out == "tracking m/a.txt\n"
    assert mvc("add", "m").err == "nothing new: 1 file tracked already\n"
    assert mvc("add", "m", "--json").json == {"added": [], "already": ["m/a.txt"]}
    assert mvc("-q", "add", "m").err == ""
    mvc("add", "nowhere", code=3)
    assert mvc("add", code=2).err == (
        "error: which files?\nhint: `mvc add .` takes all in this folder\n"
    )


def test_add_of_all_takes_the_whole_working_copy_wherever_it_is_called(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    mvc.write("a.txt", "a")
    mvc.write("sub/b.txt", "b")
    monkeypatch.chdir(mvc.folder / "sub")
    assert mvc("add", "-A").lines == ["tracking a.txt", "tracking sub/b.txt"]


def test_a_folder_without_files_to_track_is_said_to_have_none(mvc: Console) -> None:
    (mvc.folder / "empty/inside").mkdir(parents=True)
    assert mvc("add", "empty").err == "no files in empty\n"
    assert mvc("add", ".").err == "no files in .\n"
    mvc.write(".mvcignore", "*.tmp\n")
    mvc("add", ".mvcignore")
    mvc.write("empty/x.tmp", "x")
    assert mvc("add", "empty").err == ("no files in empty but ignored ones; --force takes them\n")


def test_status_pairs_the_names_of_a_moved_file(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    mvc("mv", "a.txt", "sub/b.txt")
    mvc.write("c.txt", "c")
    mvc("add", "c.txt")
    status = mvc("status").out
    assert "    renamed:   a.txt -> sub/b.txt\n    added:     c.txt\n" in status
    assert "deleted" not in status
    found = mvc("status", "--json").json
    assert found["renamed"] == [{"from": "a.txt", "to": "sub/b.txt"}]
    assert (found["added"], found["deleted"]) == (["c.txt", "sub/b.txt"], ["a.txt"])
    mvc.write("sub/b.txt", "something else")
    assert "renamed" not in mvc("status").out


def test_rm_refuses_to_lose_what_no_version_holds(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc("add", "a.txt")
    assert "was never committed" in mvc("rm", "a.txt", code=1).err
    mvc.commit("a")
    mvc.write("a.txt", "changed")
    assert "not committed" in mvc("rm", "a.txt", code=1).err
    assert (mvc.folder / "a.txt").read_text() == "changed"
    mvc("rm", "-f", "a.txt")
    assert not (mvc.folder / "a.txt").exists()
    assert mvc("status", "-s").out == "D a.txt\n"


def test_rm_removes_nothing_if_one_file_is_refused(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    mvc.write("b.txt", "b")
    mvc("add", "b.txt")
    mvc("rm", "a.txt", "b.txt", code=1)
    assert (mvc.folder / "a.txt").exists()


def test_rm_cached_keeps_the_file(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    assert mvc("rm", "--cached", "a.txt").out == "no longer tracking a.txt\n"
    assert (mvc.folder / "a.txt").exists()
    assert mvc("status", "-s").lines == ["D a.txt", "? a.txt"]


def test_rm_takes_folders_only_when_told(mvc: Console) -> None:
    mvc.write("m/a.txt", "a")
    mvc.write("m/n/b.txt", "b")
    mvc.commit("both")
    assert "-r takes all" in mvc("rm", "m", code=2).err
    assert mvc("rm", "-r", "m", "--json").json == {"removed": ["m/a.txt", "m/n/b.txt"]}
    assert not (mvc.folder / "m").exists()
    assert "is not tracked" in mvc("rm", "m", code=3).err


def test_mv_moves_the_file_and_its_tracking(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    first = mvc.commit("a")
    assert mvc("mv", "a.txt", "sub/b.txt").out == "a.txt -> sub/b.txt\n"
    assert mvc("status", "-s").lines == ["A sub/b.txt", "D a.txt"]
    second = mvc.commit("moved")
    assert mvc("rev-parse", f"{first}:a.txt").out == mvc("rev-parse", f"{second}:sub/b.txt").out


def test_mv_puts_files_and_folders_into_a_folder(mvc: Console) -> None:
    for name in ("a.txt", "m/b.txt", "m/n/c.txt"):
        mvc.write(name, name)
    mvc.commit("all")
    (mvc.folder / "into").mkdir()
    moved = mvc("mv", "a.txt", "m", "into", "--json").json["moved"]
    assert moved == [
        {"from": "a.txt", "to": "into/a.txt"},
        {"from": "m/b.txt", "to": "into/m/b.txt"},
        {"from": "m/n/c.txt", "to": "into/m/n/c.txt"},
    ]
    assert not (mvc.folder / "m").exists()
    assert (mvc.folder / "into/m/n/c.txt").read_text() == "m/n/c.txt"


def test_mv_does_not_replace_what_is_in_the_way(mvc: Console) -> None:
    mvc.write("a.txt", "a")
    mvc.commit("a")
    mvc.write("b.txt", "b")
    assert "exists already" in mvc("mv", "a.txt", "b.txt", code=1).err
    assert (mvc.folder / "b.txt").read_text() == "b"
    mvc("mv", "--force", "a.txt", "b.txt")
    assert (mvc.folder / "b.txt").read_text() == "a"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["a.txt", "a.txt"], 2),
        (["m", "m/inside"], 2),
        (["a.txt", "m/b.txt", "nowhere"], 2),
        (["untracked.txt", "x"], 3),
        (["gone.txt", "x"], 3),
        (["a.txt", "aux"], 1),
        ([".", "x"], 2),
    ],
)
def test_mv_refuses_what_makes_no_sense(mvc: Console, arguments: list[str], code: int) -> None:
    for name in ("a.txt", "m/b.txt", "gone.txt"):
        mvc.write(name, name)
    mvc.commit("all")
    (mvc.folder / "gone.txt").unlink()
    mvc.write("untracked.txt", "u")
    before = mvc("status", "-s").out
    mvc("mv", *arguments, code=code)
    assert mvc("status", "-s").out == before


def test_restore_brings_back_one_file_or_all(mvc: Console) -> None:
    mvc.write("a.txt", "old")
    mvc.commit("old")
    mvc.write("a.txt", "new")
    mvc.commit("new")
    mvc.write("a.txt", "scribble")
    assert mvc("restore", "a.txt").out == "restored a.txt\n"
    assert (mvc.folder / "a.txt").read_text() == "new"
    assert mvc("restore", "a.txt").out == "the files are as they should be already\n"
    mvc("restore", "--source", "HEAD~1", ".")
    assert (mvc.folder / "a.txt").read_text() == "old"
    assert mvc("status", "-s").out == "M a.txt\n"


def test_paths_are_seen_from_the_folder_the_command_runs_in(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    mvc.write("sub/a.txt", "a")
    mvc.write("sub/c.txt", "c")
    mvc.write("b.txt", "b")
    mvc.commit("all")
    monkeypatch.chdir(mvc.folder / "sub")
    mvc("rm", "a.txt", "../b.txt")
    assert mvc("status", "-s").lines == ["D ../b.txt", "D a.txt"]
    assert mvc("status", "--porcelain").lines == ["D b.txt", "D sub/a.txt"]
    assert mvc("status", "--json").json["deleted"] == ["b.txt", "sub/a.txt"]
    mvc.write("sub/new.txt", "new")
    status = mvc("status").out
    assert "    deleted:   ../b.txt\n    deleted:   a.txt\n" in status
    assert status.endswith("    new.txt\n")
    assert mvc("log", "--oneline", "--", "a.txt").out != ""
    assert "outside the repository" in mvc("rm", "../../x", code=3).err


def test_a_current_folder_that_was_removed_is_not_found(
    mvc: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mvc.folder / "sub").mkdir()
    monkeypatch.chdir(mvc.folder / "sub")
    (mvc.folder / "sub").rmdir()
    assert "the current folder is gone" in mvc("status", code=3).err
