from __future__ import annotations

from tests.cli.console import Console


def base(mvc: Console) -> str:
    mvc.write("a.txt", "base")
    return mvc.commit("base")


def test_branches_are_listed_with_the_current_one_marked(mvc: Console) -> None:
    head = base(mvc)
    assert mvc.named(mvc("branch", "car-17").out, a=head) == "branch car-17 at <a>\n"
    assert mvc("branch").lines == ["  car-17", "* main"]
    assert mvc.named(mvc("branch", "-v").out, a=head).splitlines() == [
        "  car-17 <a> base",
        "* main   <a> base",
    ]
    assert mvc("branch", "--json").json[1] == {
        "name": "main",
        "commit": head,
        "current": True,
        "subject": "base",
        "upstream": None,
    }
    mvc("switch", "--detach", "main")
    assert mvc.named(mvc("branch").lines[0], a=head) == "* (HEAD is detached at <a>)"


def test_a_branch_starts_where_told(mvc: Console) -> None:
    one = base(mvc)
    mvc.write("a.txt", "two")
    mvc.commit("two")
    mvc("branch", "old", "HEAD~1")
    assert mvc("rev-parse", "old").out == one + "\n"
    mvc("branch", "old", code=1)
    mvc("branch", "a", "b", "c", code=2)
    mvc("branch", "bad..name", code=2)
    mvc("branch", "x", "nowhere", code=3)


def test_a_branch_that_would_lose_commits_is_deleted_only_by_force(mvc: Console) -> None:
    base(mvc)
    mvc("switch", "-c", "car")
    mvc.write("a.txt", "car")
    car = mvc.commit("car")
    assert "current branch" in mvc("branch", "-d", "car", code=1).err
    mvc("switch", "main")
    refused = mvc("branch", "-d", "car", code=1).err
    assert "hint: `mvc branch -D car` deletes it anyway\n" in refused
    assert mvc.named(mvc("branch", "-D", "car").out, a=car) == "deleted branch car (was <a>)\n"
    mvc("branch", "-d", "car", code=3)
    mvc("branch", "merged")
    mvc("branch", "-d", "merged")
    mvc("branch", "-d", code=2)


def test_renaming_takes_head_along(outside: Console) -> None:
    outside("init")
    outside("branch", "-m", "trunk")
    assert outside("status", "--json").json["branch"] == "trunk"
    base(outside)
    assert outside("branch", "-m", "main").out == "branch trunk is now main\n"
    assert outside("status", "--json").json["branch"] == "main"
    outside("branch", "other")
    outside("branch", "-m", "other", "devices/car-17")
    assert outside("branch").lines == ["  devices/car-17", "* main"]
    outside("branch", "-m", "main", "devices/car-17", code=1)
    outside("branch", "-m", "nowhere", "x", code=3)
    outside("branch", "-m", code=2)
    outside("switch", "--detach")
    outside("branch", "-m", "x", code=1)


def test_switching_writes_the_files_and_keeps_uncommitted_work(mvc: Console) -> None:
    one = base(mvc)
    assert mvc.named(mvc("switch", "-c", "car").out, a=one) == "on branch car at <a>\n"
    mvc.write("a.txt", "car")
    car = mvc.commit("car")
    back = mvc("switch", "main")
    assert mvc.named(back.out, a=one) == "on branch main at <a>, 1 file written\n"
    mvc.write("a.txt", "scribble")
    lost = mvc("switch", "car", code=1)
    assert "a.txt" in lost.err
    assert (mvc.folder / "a.txt").read_text() == "scribble"
    assert mvc("switch", "--force", "car", "--json").json == {
        "branch": "car",
        "commit": car,
        "written": 1,
        "left": None,
        "reduced": [],
        "follows": None,
    }
    assert "`mvc switch -c carr` makes it" in mvc("switch", "carr", code=3).err
    mvc("switch", code=2)
    mvc("switch", "-c", "x", "--detach", code=2)


def test_checkout_goes_to_branches_versions_and_files(mvc: Console) -> None:
    one = base(mvc)
    mvc.write("a.txt", "two")
    mvc.commit("two")
    done = mvc("checkout", "HEAD~1")
    assert mvc.named(done.out, a=one) == "HEAD is detached at <a>, 1 file written\n"
    assert "mvc switch -c NAME" in done.err
    mvc("checkout", "main")
    assert mvc("status", "--json").json["branch"] == "main"
    mvc("checkout", "-b", "new", "main~1")
    assert mvc("rev-parse", "new").out == one + "\n"
    mvc.write("a.txt", "scribble")
    mvc("checkout", "--", "a.txt")
    assert (mvc.folder / "a.txt").read_text() == "base"
    done = mvc("checkout", "--json", "main", "--", "a.txt")
    assert done.json == {"restored": ["a.txt"], "reduced": []}
    assert (mvc.folder / "a.txt").read_text() == "two"
    mvc("checkout", code=2)
    mvc("checkout", "--", code=2)
    mvc("checkout", "nowhere", code=3)


def test_tags_are_made_listed_and_deleted(mvc: Console) -> None:
    one = base(mvc)
    assert mvc.named(mvc("tag", "v1").out, a=one) == "tag v1 at <a>\n"
    mvc("tag", "v2", "main", "-m", "Second", "-m", "Body")
    assert mvc("tag").lines == ["v1", "v2"]
    assert mvc.named(mvc("tag", "-v").out, a=one).splitlines() == ["v1 <a>", "v2 <a> Second"]
    light, annotated = mvc("tag", "--json").json
    assert light == {"name": "v1", "commit": one, "message": None, "author": None, "time": None}
    assert (annotated["commit"], annotated["message"]) == (one, "Second\n\nBody")
    assert mvc("rev-parse", "v2").out == one + "\n"
    mvc("tag", "v1", code=1)
    mvc("tag", "-m", "x", code=2)
    mvc("tag", "a", "b", "c", code=2)
    assert mvc("tag", "-d", "v1").out.startswith("deleted tag v1 (was ")
    mvc("tag", "-d", "v1", code=3)
    mvc("tag", "-d", code=2)
    assert mvc("fsck").out.endswith("no damage found\n")


def test_commits_that_are_left_on_no_branch_are_named(mvc: Console) -> None:
    base(mvc)
    mvc("switch", "--detach")
    mvc.write("a.txt", "lost")
    lost = mvc.commit("lost")
    done = mvc("switch", "main")
    note = "note: 1 commit is on no branch: `mvc switch -c NAME <lost>` keeps it\n"
    assert mvc.named(done.err, lost=lost) == note
    mvc("checkout", lost)
    assert mvc("switch", "main", "--json").json["left"] == lost
    mvc("checkout", lost)
    mvc("commit", "--allow-empty", "-m", "more")
    assert "note: 2 commits are on no branch: " in mvc("checkout", "main").err
    mvc("checkout", "-b", "kept", lost)
    mvc("checkout", lost)
    assert mvc("switch", "main").err == ""


def test_a_dash_is_where_head_was_before(mvc: Console) -> None:
    one = base(mvc)
    assert "nowhere else yet" in mvc("switch", "-", code=3).err
    mvc("switch", "-c", "car")
    mvc("commit", "--allow-empty", "-m", "car")
    mvc("switch", "-")
    assert mvc("status", "--json").json["branch"] == "main"
    mvc("checkout", "-")
    assert mvc("status", "--json").json["branch"] == "car"
    mvc("checkout", one)
    mvc("switch", "main")
    mvc("switch", "-")
    assert mvc("status", "--json").json == {
        **mvc("status", "--json").json,
        "branch": None,
        "head": one,
    }
    mvc("switch", "-")
    mvc("branch", "-D", "car")
    mvc("switch", "-c", "x")
    mvc("branch", "-D", "main")
    assert "no revision is called 'main'" in mvc("switch", "-", code=3).err


def test_the_reflog_has_the_names_that_were_given(mvc: Console) -> None:
    mvc("switch", "-c", "trunk")
    assert mvc("reflog").lines[0].startswith("(none)     HEAD@{0} ")
    assert mvc("reflog").out.endswith("checkout: moving from main to trunk\n")
    base(mvc)
    mvc("tag", "v1")
    mvc("checkout", "v1")
    assert mvc("reflog").lines[0].endswith(" checkout: moving from trunk to v1")
    mvc("switch", "--detach", "trunk")
    assert mvc("reflog").lines[0].endswith(" to trunk")
    assert mvc("status", "--json").json["branch"] is None


def test_a_branch_is_made_or_moved_when_asked_for(mvc: Console) -> None:
    one = base(mvc)
    mvc("switch", "-C", "car")
    mvc.write("a.txt", "two")
    two = mvc.commit("two")
    mvc("switch", "-C", "car", "main")
    assert mvc("rev-parse", "car").out == one + "\n"
    assert (mvc.folder / "a.txt").read_text() == "base"
    assert mvc("rev-parse", "car@{1}").out == two + "\n"
    mvc("checkout", "-B", "main", two)
    assert mvc("rev-parse", "HEAD", "main").lines == [two, two]
    assert mvc("status", "--json").json["branch"] == "main"


def test_a_name_with_two_meanings_is_noted(mvc: Console) -> None:
    base(mvc)
    mvc("tag", "v1")
    both = "note: a branch and a tag are both called v1; as a revision v1 means the branch\n"
    assert mvc("branch", "v1").err == both
    mvc("branch", "-D", "v1")
    assert mvc("switch", "-c", "v1").err == both
    assert mvc("tag", "main").err.startswith("note: a tag and a branch are both called main;")
    looks = "note: deadbeef looks like an id; as a revision it means the branch\n"
    assert mvc("checkout", "-b", "deadbeef").err == looks
    assert mvc("branch", "-m", "cafe0123").err != ""
    assert mvc("branch", "cafe").err == ""


def test_a_file_where_a_revision_stands_is_told_how_to_write_it(mvc: Console) -> None:
    base(mvc)
    mvc("tag", "v1")
    mvc.write("sub/b.txt", "b")
    mvc.commit("b")
    for verb in ("checkout", "log", "diff"):
        done = mvc(verb, "sub/b.txt", code=3)
        assert done.err == (
            "error: no revision is called 'sub/b.txt'\n"
            f"hint: sub/b.txt is a file; write: mvc {verb} -- sub/b.txt\n"
        )
    assert "write: mvc show HEAD:sub/b.txt" in mvc("show", "sub/b.txt", code=3).err
    assert "write: mvc show HEAD:sub/b.txt" in mvc("-C", "sub", "show", "b.txt", code=3).err
    assert "write: mvc restore sub/b.txt" in mvc("reset", "sub/b.txt", code=3).err
    assert "hint: . is a folder; write: mvc checkout -- .\n" in mvc("checkout", ".", code=3).err
    done = mvc("-C", "sub", "log", "v1", "b.txt", "--json", code=3)
    assert "write: mvc log v1 -- b.txt" in done.err
    assert "did you mean main?" in mvc("log", "mian", code=3).err
