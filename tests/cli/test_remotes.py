"""clone, remote, fetch, pull, push, ls-remote and device, as people use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.console import Console, Done

DRAW = np.random.default_rng(7)


class Site:
    """A central repository, and working copies beside it."""

    def __init__(self, run: Console) -> None:
        self.run = run
        self.root = run.folder
        run("init", "--bare", "central")

    def at(self, name: str, *arguments: str, code: int = 0) -> Done:
        return self.run("-C", str(self.root / name), *arguments, code=code)

    def write(self, name: str, seed: int) -> bytes:
        body = np.random.default_rng(0).standard_normal(5000)
        step = np.random.default_rng(seed).standard_normal(5000) * 1e-4 * seed
        path = self.run.write(f"{name}/m.safetensors", {"w": body + step})
        return path.read_bytes()

    def commit(self, name: str, seed: int) -> str:
        self.write(name, seed)
        self.at(name, "add", ".")
        return str(self.at(name, "commit", "-m", f"step {seed}", "--json").json["id"])

    def named(self, text: str) -> str:
        return text.replace(str(self.root), "…")


@pytest.fixture
def site(outside: Console) -> Site:
    return Site(outside)


@pytest.fixture
def pushed(site: Site) -> Site:
    site.run("init", "a")
    site.commit("a", 1)
    site.at("a", "remote", "add", "origin", "../central")
    site.at("a", "push")
    return site


def test_remotes_are_listed_added_renamed_and_removed(site: Site) -> None:
    site.run("init", "a")
    assert site.at("a", "remote").out == ""
    done = site.at("a", "remote", "add", "origin", "../central")
    assert site.named(done.out) == "remote origin is …/central\n"
    site.at("a", "remote", "add", "hub", "ssh://models.example.org/srv/fleet", "--prefix", "x/")
    assert site.at("a", "remote").lines == ["hub", "origin"]
    assert site.named(site.at("a", "remote", "-v").out).splitlines() == [
        "hub    ssh://models.example.org/srv/fleet (pushes to x/)",
        "origin …/central",
    ]
    assert site.at("a", "remote", "--json").json[0] == {
        "name": "hub",
        "url": "ssh://models.example.org/srv/fleet",
        "prefix": "x/",
        "token_file": None,
    }
    site.at("a", "remote", "rename", "hub", "centre")
    site.at("a", "remote", "set-url", "centre", "https://models.example.org/fleet")
    assert "https://models.example.org/fleet" in site.at("a", "remote", "list", "-v").out
    site.at("a", "remote", "remove", "centre")
    assert site.at("a", "remote").lines == ["origin"]
    assert "there is origin" in site.at("a", "remote", "remove", "centre", code=3).err


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:secret@models.example.org/fleet",
        "ssh://-oProxyCommand=x/y",
        "ssh://host/a b",
        "ftp://host/x",
        "",
        "host:-x",
    ],
)
def test_an_address_that_means_something_else_is_refused(site: Site, url: str) -> None:
    site.run("init", "a")
    done = site.at("a", "remote", "add", "origin", "--", url, code=2)
    assert "secret" not in done.err
    assert site.at("a", "remote").out == ""


def test_the_first_push_says_what_the_branch_follows(site: Site) -> None:
    site.run("init", "a")
    head = site.commit("a", 1)
    site.at("a", "remote", "add", "origin", "../central")
    done = site.at("a", "push")
    assert site.run.named(done.out, one=head).splitlines() == [
        "* new, <one>         main",
        "branch main follows origin/main",
    ]
    assert done.err.startswith("sent ")
    assert site.at("a", "push").lines == ["= up to date              main"]
    assert "Up to date with origin/main\n" in site.at("a", "status").out
    assert site.at("central", "log", "--json").json[0]["id"] == head


def test_a_push_as_json_says_what_became_of_each_ref(pushed: Site) -> None:
    one = pushed.at("a", "rev-parse", "HEAD").out.strip()
    two = pushed.commit("a", 2)
    done = pushed.at("a", "push", "--json").json
    assert done["refs"] == [
        {
            "ref": "refs/heads/main",
            "source": "main",
            "old": one,
            "new": two,
            "status": "forward",
            "code": "ok",
            "message": None,
        }
    ]
    assert (done["remote"], done["dry_run"], done["parts"], done["follows"]) == (
        "origin",
        False,
        1,
        [],
    )
    assert done["bytes"] > 0
    assert done["planned_bytes"] > 0


def test_status_and_branch_tell_how_far_apart_the_sides_are(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    pushed.commit("a", 2)
    assert "Ahead of origin/main by 1 commit; `mvc push`" in pushed.at("a", "status").out
    assert "[origin/main: ahead 1]" in pushed.at("a", "branch", "-v").out
    pushed.at("a", "push")
    pushed.at("b", "fetch")
    assert "Behind origin/main by 1 commit; `mvc pull`" in pushed.at("b", "status").out
    pushed.commit("b", 3)
    assert (
        "Diverged from origin/main: 1 commit here, 1 commit there" in pushed.at("b", "status").out
    )
    assert "[origin/main: ahead 1, behind 1]" in pushed.at("b", "branch", "-v").out
    found = pushed.at("b", "status", "--json").json["upstream"]
    assert (found["name"], found["ref"]) == ("origin/main", "refs/heads/main")
    assert (found["ahead"], found["behind"]) == (1, 1)
    assert pushed.at("b", "branch", "-r").lines == ["  origin/main"]
    assert pushed.at("b", "branch", "-a").lines == ["* main", "  origin/main"]


def test_a_push_to_a_branch_that_moved_ends_with_4_and_says_pull(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    pushed.commit("a", 2)
    pushed.at("a", "push")
    pushed.commit("b", 3)
    done = pushed.at("b", "push", code=4)
    assert done.out.startswith("! refused ")
    assert "`mvc pull`" in done.err
    assert pushed.at("b", "push", "--json", code=4).json["refs"][0]["code"] == "not-forward"
    done = pushed.at("b", "pull", code=1)
    assert "main and origin/main have diverged: 1 here, 1 there" in done.err
    assert "mvc log main...origin/main" in done.err
    pushed.at("b", "push", "--force-with-lease")
    assert "(forced)" in pushed.at("a", "fetch").out


def test_force_with_lease_refuses_what_was_not_seen(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    pushed.commit("a", 2)
    pushed.at("a", "push")
    pushed.commit("b", 3)
    done = pushed.at("b", "push", "--force-with-lease", code=4)
    assert "not where you saw it last" in done.out
    two = pushed.at("a", "rev-parse", "HEAD").out.strip()
    pushed.at("b", "push", f"--force-with-lease=main:{two}", "origin", "main")


def test_pull_takes_the_branch_and_its_files_along(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    head = pushed.commit("a", 2)
    pushed.at("a", "push")
    done = pushed.at("b", "pull")
    assert pushed.run.named(done.lines[-1], two=head) == (
        "main is at <two>, as origin/main is; 1 file written"
    )
    assert (pushed.root / "b/m.safetensors").read_bytes() == (
        pushed.root / "a/m.safetensors"
    ).read_bytes()
    assert pushed.at("b", "status").lines[-1].startswith("Nothing to commit")
    assert pushed.at("b", "pull").lines == ["main is up to date with origin/main"]
    pushed.commit("b", 3)
    assert pushed.at("b", "pull", "--json").json["status"] == "ahead"


def test_pull_never_overwrites_what_was_not_committed(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    pushed.commit("a", 2)
    pushed.at("a", "push")
    mine = pushed.write("b", 9)
    assert "would be lost" in pushed.at("b", "pull", code=1).err
    assert (pushed.root / "b/m.safetensors").read_bytes() == mine


def test_a_clone_has_files_history_and_upstream(pushed: Site) -> None:
    pushed.at("a", "tag", "v1", "-m", "First")
    pushed.at("a", "push", "--tags")
    done = pushed.run("clone", "central", "b")
    head = pushed.at("a", "rev-parse", "HEAD").out.strip()
    assert pushed.run.named(done.out, one=head) == (
        "cloned into b: branch main at <one>, 1 file written\n"
    )
    assert pushed.at("b", "tag").lines == ["v1"]
    assert "Up to date with origin/main" in pushed.at("b", "status").out
    assert sorted(path.name for path in pushed.root.iterdir()) == ["a", "b", "central"]


def test_a_clone_goes_to_a_new_or_empty_folder(pushed: Site) -> None:
    (pushed.root / "empty").mkdir()
    pushed.run("clone", "central", "empty")
    (pushed.root / "sub").mkdir()
    pushed.at("sub", "clone", "../central")
    assert (pushed.root / "sub/central/m.safetensors").exists()
    done = pushed.run("clone", "central", "a", code=1)
    assert "exists already" in done.err
    assert "which folder" in pushed.run("clone", "..", code=2).err


def test_a_clone_begins_where_told(pushed: Site) -> None:
    one = pushed.at("a", "rev-parse", "HEAD").out.strip()
    pushed.at("a", "tag", "v1")
    pushed.at("a", "switch", "-c", "side")
    two = pushed.commit("a", 2)
    pushed.at("a", "push", "origin", "side", "v1")
    assert pushed.run("clone", "-b", "side", "--json", "central", "b").json["commit"] == two
    assert "On branch side\nUp to date with origin/side" in pushed.at("b", "status").out
    assert pushed.run("clone", "-b", "v1", "--json", "central", "c").json["branch"] is None
    assert pushed.at("c", "rev-parse", "HEAD").out.strip() == one
    done = pushed.run("clone", "-b", "nothing", "central", "d", code=3)
    assert "no branch or tag 'nothing'" in done.err
    assert not (pushed.root / "d").exists()
    assert not list(pushed.root.glob(".*"))


def test_a_bare_clone_has_the_branches_under_their_own_names(pushed: Site) -> None:
    assert pushed.run("clone", "--bare", "central", "copy.mvc", "--json").json["bare"] is True
    assert pushed.at("copy.mvc", "branch").lines == ["* main"]
    assert pushed.at("copy.mvc", "fsck").out.endswith("no damage found\n")


def test_an_empty_repository_can_be_cloned(site: Site) -> None:
    assert "an empty repository into b" in site.run("clone", "central", "b").out
    site.commit("b", 1)
    site.at("b", "push")
    assert site.at("central", "branch").lines == ["* main"]


def test_a_clone_that_was_cut_off_goes_on(pushed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from mvc.base.errors import NetworkError
    from mvc.ops import clone as ops

    def cut(*_: object) -> None:
        raise NetworkError("the line is dead")

    with monkeypatch.context() as patched:
        patched.setattr(ops, "forward", cut)
        done = pushed.run("clone", "central", "b", code=7)
    assert "run the same command again" in done.err
    assert not (pushed.root / "b").exists()
    assert (pushed.root / ".b.mvc-clone").exists()
    done = pushed.run("clone", "central", "b")
    assert "received" not in done.err
    assert not (pushed.root / ".b.mvc-clone").exists()
    assert "Up to date" in pushed.at("b", "status").out
    (pushed.root / ".b.mvc-clone").mkdir()
    pushed.run("clone", "central", "b", code=1)
    assert not (pushed.root / ".b.mvc-clone").exists()


def test_what_was_begun_for_another_clone_is_not_taken(
    pushed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.base.errors import NetworkError
    from mvc.ops import clone as ops

    def cut(*_: object) -> None:
        raise NetworkError("the line is dead")

    with monkeypatch.context() as patched:
        patched.setattr(ops, "forward", cut)
        pushed.run("clone", "central", "b", code=7)
    pushed.run("init", "--bare", "other")
    assert "an empty repository" in pushed.run("clone", "other", "b").out
    assert pushed.at("b", "branch", "-a").out == ""


def test_a_clone_of_nothing_leaves_nothing(site: Site) -> None:
    done = site.run("clone", "nowhere", "b", code=3)
    assert "nowhere is not an mvc repository" in done.err
    assert sorted(path.name for path in site.root.iterdir()) == ["central"]


def test_fetch_tells_what_is_new_and_what_is_not(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    assert pushed.at("b", "fetch").err == "origin: nothing new\n"
    one = pushed.at("a", "rev-parse", "HEAD").out.strip()
    two = pushed.commit("a", 2)
    pushed.at("a", "push")
    done = pushed.at("b", "fetch")
    assert pushed.run.named(done.out, one=one, two=two) == ("  <one>..<two>  main -> origin/main\n")
    assert pushed.at("b", "fetch", "--json").json == {
        "remote": "origin",
        "url": str(pushed.root / "central"),
        "refs": [],
        "parts": 0,
        "bytes": 0,
    }
    pushed.at("b", "fetch", "origin", "main")
    assert "origin has no 'x'" in pushed.at("b", "fetch", "origin", "x", code=3).err
    assert len(pushed.at("b", "fetch", "--all", "--json").json) == 1


def test_revisions_of_remotes(pushed: Site) -> None:
    pushed.run("clone", "central", "b")
    head = pushed.at("a", "rev-parse", "HEAD").out.strip()
    pushed.at("a", "push", "origin", "main:devices/cam-07/main")
    pushed.at("b", "fetch")
    found = pushed.at(
        "b",
        "rev-parse",
        "origin/main",
        "origin/devices/cam-07/main",
        "refs/remotes/origin/main",
        "origin/main@{0}",
    )
    assert found.lines == [head] * 4
    assert "fetch origin: new" in pushed.at("b", "reflog", "origin/devices/cam-07/main").out
    assert "(HEAD -> main, origin/devices/cam-07/main, origin/main)" in pushed.at("b", "log").out


def test_refs_are_pushed_under_other_names_and_deleted(pushed: Site) -> None:
    pushed.at("a", "push", "origin", "HEAD:release", "main:refs/heads/x/y", "HEAD:refs/tags/t")
    names = ["refs/heads/main", "refs/heads/release", "refs/heads/x/y", "refs/tags/t"]
    listed = pushed.at("a", "ls-remote").lines
    assert [line.split("\t")[1] for line in listed] == names
    pushed.at("a", "push", "origin", ":release")
    pushed.at("a", "push", "-d", "origin", "x/y", "refs/tags/t")
    assert [line.split("\t")[1] for line in pushed.at("a", "ls-remote").lines] == names[:1]
    assert pushed.at("a", "branch", "-r").lines == ["  origin/main"]


@pytest.mark.parametrize(
    "words",
    [("origin", "main:"), ("origin", "main:a..b"), ("origin", "HEAD~0"), ("-d",), ("-d", "origin")],
)
def test_a_push_that_does_not_say_where_is_refused(pushed: Site, words: tuple[str, ...]) -> None:
    pushed.at("a", "push", *words, code=2)


def test_what_is_not_there_cannot_be_pushed(pushed: Site) -> None:
    assert "no branch or tag 'x'" in pushed.at("a", "push", "origin", "x", code=3).err
    assert "no remote 'y'" in pushed.at("a", "push", "y", code=3).err
    pushed.run("init", "empty")
    pushed.at("empty", "remote", "add", "origin", "../central")
    assert "nothing to push" in pushed.at("empty", "push", code=1).err


def test_a_repository_can_be_named_by_its_address(pushed: Site) -> None:
    pushed.run("init", "--bare", "other")
    (pushed.root / "a/deep").mkdir()
    done = pushed.at("a/deep", "push", "../other", "main", code=3)
    assert "not an mvc repository" in done.err
    pushed.at("a/deep", "push", "../../other", "main")
    other = str(pushed.root / "other")
    pushed.at("a", "push", other, "main")
    assert pushed.at("a", "ls-remote", other, "--json").json["refs"][0]["ref"] == "refs/heads/main"
    assert pushed.at("a", "branch", "-r").lines == ["  origin/main"]
    assert pushed.at("a", "ls-remote", "origin", "nothing*", code=1).out == ""
    assert len(pushed.at("a", "ls-remote", "origin", "m*").lines) == 1


def test_a_remote_is_listed_from_outside_every_repository(pushed: Site) -> None:
    (line,) = pushed.run("ls-remote", "central").lines
    assert line.endswith("\trefs/heads/main")
    assert "not in an mvc repository" in pushed.run("ls-remote", code=3).err


def test_all_branches_and_tags_go_at_once(pushed: Site) -> None:
    pushed.at("a", "branch", "one")
    pushed.at("a", "branch", "two")
    pushed.at("a", "tag", "v1", "-m", "First")
    done = pushed.at("a", "push", "--all", "--tags", "--atomic", "--json").json
    assert [row["status"] for row in done["refs"]] == ["same", "new", "new", "new"]
    assert pushed.at("central", "branch").lines == ["* main", "  one", "  two"]


def test_a_dry_run_says_what_would_go(pushed: Site) -> None:
    pushed.commit("a", 2)
    done = pushed.at("a", "push", "-n")
    assert done.err.startswith("dry run: ")
    assert "Ahead of" in pushed.at("a", "status").out


def test_a_branch_takes_its_upstream_along_and_leaves_it(pushed: Site) -> None:
    pushed.at("a", "branch", "-m", "main", "trunk")
    assert "origin/main" in pushed.at("a", "branch", "-v").out
    pushed.at("a", "branch", "--unset-upstream")
    assert "origin/main" not in pushed.at("a", "branch", "-v").out
    done = pushed.at("a", "branch", "-u", "origin/main")
    assert done.out == "branch trunk follows origin/main\n"
    assert "nothing was seen" in pushed.at("a", "branch", "-u", "origin/x", code=3).err
    pushed.at("a", "branch", "gone")
    pushed.at("a", "branch", "-u", "origin/main", "gone")
    pushed.at("a", "branch", "-d", "gone")
    assert "gone" not in (pushed.root / "a/.mvc/config.toml").read_text()


def test_a_device_is_set_up_in_one_line(pushed: Site) -> None:
    (pushed.root / "cam").mkdir()
    done = pushed.at("cam", "device", "init", "cam-07", str(pushed.root / "central"))
    head = pushed.at("a", "rev-parse", "HEAD").out.strip()
    assert pushed.run.named(done.out, one=head).splitlines()[-2:] == [
        "device cam-07 pushes to devices/cam-07/... of origin",
        "starts from origin/main at <one>, 1 file written",
    ]
    two = pushed.commit("cam", 2)
    pushed.at("cam", "push")
    assert pushed.at("central", "rev-parse", "devices/cam-07/main").out.strip() == two
    assert pushed.at("central", "rev-parse", "main").out.strip() == head
    assert "Up to date with origin/devices/cam-07/main" in pushed.at("cam", "status").out
    config = pushed.at("cam", "config", "user.name").out
    assert config == "cam-07\n"


def test_a_device_that_lost_everything_gets_its_own_versions_back(pushed: Site) -> None:
    central = str(pushed.root / "central")
    for name in ("cam", "again"):
        (pushed.root / name).mkdir()
    pushed.at("cam", "device", "init", "cam-07", central)
    two = pushed.commit("cam", 2)
    pushed.at("cam", "push")
    done = pushed.at("again", "device", "init", "cam-07", central, "--json").json
    assert (done["commit"], done["prefix"]) == (two, "devices/cam-07/")
    assert (pushed.root / "again/m.safetensors").read_bytes() == (
        pushed.root / "cam/m.safetensors"
    ).read_bytes()


def test_a_token_of_the_environment_is_kept_where_only_its_owner_reads(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site.root / "cam").mkdir()
    monkeypatch.setenv("MVC_TOKEN", "mvc_abc_secret")
    url = "https://models.example.org/fleet"
    done = site.at("cam", "device", "init", "--no-fetch", "cam-07", url)
    assert "secret" not in done.out + done.err
    path = site.root / "cam/.mvc/tokens/origin"
    assert path.read_text() == "mvc_abc_secret\nfor https://models.example.org:443\n"
    assert path.stat().st_mode & 0o777 == 0o600
    config = (site.root / "cam/.mvc/config.toml").read_text()
    assert "secret" not in config
    assert "https://models.example.org:443" in config


def test_a_token_file_that_others_can_read_is_refused(site: Site) -> None:
    (site.root / "cam").mkdir()
    token = site.root / "token"
    token.write_text("mvc_abc_secret\n")
    token.chmod(0o644)
    url = "https://models.example.org/fleet"
    words = ("device", "init", "--no-fetch", "cam-07", url, "--token-file", str(token))
    assert "chmod 600" in site.at("cam", *words, code=5).err
    token.chmod(0o600)
    site.at("cam", *words)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "x" * 70, "a.lock"])
def test_some_texts_are_no_names_of_devices(site: Site, name: str) -> None:
    (site.root / "cam").mkdir()
    site.at("cam", "device", "init", "--", name, "x", code=2)


def test_errors_of_remotes_are_json_too(site: Site) -> None:
    done = site.run("clone", "nowhere", "x", "--json", code=3)
    assert json.loads(done.err)["error"]["code"] == "not-found"
    assert Path(site.root / "x").exists() is False
