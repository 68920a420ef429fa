"""Remotes, what branches follow, and what is written about them in the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, NegativeAnswer, NotFoundError, UsageError
from mvc.repo import remotes
from mvc.repo.config import Config
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.repo.tracking import ahead_behind, tracking
from tests.e2e.world import World


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return World(tmp_path / "w").repo


def reopened(repo: Repository) -> Repository:
    return Repository(repo.folder, repo.worktree, repo.environment)


@given(
    url=st.text(st.characters(codec="utf-8"), max_size=60),
    branch=st.sampled_from(["main", "v1.0", "devices/cam-07/main", "it's", "ü", "a.remote", "x=y"]),
)
def test_settings_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, url: str, branch: str
) -> None:
    folder = tmp_path_factory.mktemp("config")
    config = Config(folder / "config.toml")
    config.change(
        {("remote", "origin", "url"): url, ("branch", branch, "remote"): "origin\r"},
        "repository",
        folder,
    )
    for found in (config, Config(folder / "config.toml")):
        assert found.text("remote.origin.url") == url
        assert found.named("branch", "remote") == {branch: "origin\r"}


def test_a_carriage_return_at_the_end_of_a_setting_stays(repo: Repository) -> None:
    repo.config.set("user.name", "Ada\r", "repository", repo.scratch)
    assert Config(repo.folder / "config.toml").get("user.name") == "Ada\r"


def test_a_remote_is_found_by_its_name(repo: Repository) -> None:
    remote = Remote("origin", "../central", "devices/cam-07/", "token")
    remotes.add(repo, remote)
    assert remotes.remotes(reopened(repo)) == [remote]
    assert remotes.find(reopened(repo), "origin") == remote
    with pytest.raises(NotFoundError, match="no remote 'other'") as error:
        remotes.find(repo, "other")
    assert "there is origin" in (error.value.hint or "")


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a.b", "ü", "a\n", "x" * 65, ".."])
def test_some_texts_are_no_names_of_remotes(repo: Repository, name: str) -> None:
    with pytest.raises(UsageError):
        remotes.add(repo, Remote(name, "x"))


@pytest.mark.parametrize("prefix", ["x", "/", "../", "a b/", "a//", "-x/", "refs/"])
def test_some_texts_cannot_stand_before_branches(repo: Repository, prefix: str) -> None:
    with pytest.raises(UsageError):
        remotes.add(repo, Remote("origin", "x", prefix))


def test_a_name_is_given_once(repo: Repository) -> None:
    remotes.add(repo, Remote("origin", "x"))
    with pytest.raises(NegativeAnswer, match="already"):
        remotes.add(repo, Remote("origin", "y"))
    remotes.set_url(repo, "origin", "y")
    assert remotes.find(reopened(repo), "origin").url == "y"


def test_branches_get_the_prefix_and_tags_do_not() -> None:
    remote = Remote("origin", "x", "devices/cam-07/")
    assert remote.pushed("refs/heads/main") == "refs/heads/devices/cam-07/main"
    assert remote.pushed("refs/tags/v1") == "refs/tags/v1"
    assert remote.tracked("refs/heads/a/b") == "refs/remotes/origin/a/b"
    assert remote.tracked("refs/tags/v1") is None


@pytest.mark.parametrize(
    "ref", ["refs/heads/", "refs/heads/a..b", "refs/remotes/x/y", "HEAD", "refs/tags/-x", "x"]
)
def test_a_ref_of_a_peer_must_be_a_branch_or_a_tag(ref: str) -> None:
    with pytest.raises(FormatError):
        remotes.check_ref(ref)


def follow(world: World, commit: bytes | None = None) -> None:
    repo = world.repo
    remotes.add(repo, Remote("origin", "x"))
    remotes.follow(repo, "main", "origin", "refs/heads/main")
    target = commit or repo.head_commit()
    repo.refs.update("refs/remotes/origin/main", None, target, repo.change(None, target, "test"))


def test_a_remote_is_renamed_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    head = world.save({"a": b"1"}).id
    follow(world)
    remotes.rename(world.repo, "origin", "hub")
    repo = reopened(world.repo)
    assert [remote.name for remote in remotes.remotes(repo)] == ["hub"]
    assert repo.refs.all("refs/remotes/") == {"refs/remotes/hub/main": head}
    found = remotes.upstream(repo, "main")
    assert found is not None
    assert found.name == "hub/main"


def test_a_removed_remote_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"a": b"1"})
    follow(world)
    assert remotes.remove(world.repo, "origin") == ["main"]
    repo = reopened(world.repo)
    assert remotes.remotes(repo) == []
    assert remotes.upstream(repo, "main") is None
    assert repo.refs.all("refs/remotes/") == {}
    assert remotes.remotes(world.repo) == []


def test_which_remote_is_meant_where_none_is_named(repo: Repository) -> None:
    with pytest.raises(NotFoundError, match="no remote 'origin'"):
        remotes.usual(repo)
    remotes.add(repo, Remote("hub", "x"))
    assert remotes.usual(repo).name == "hub"
    remotes.add(repo, Remote("origin", "y"))
    assert remotes.usual(repo, "main").name == "origin"
    remotes.follow(repo, "main", "hub", "refs/heads/main")
    assert remotes.usual(repo, "main").name == "hub"


def line(world: World, count: int, start: str) -> list[bytes]:
    return [world.save({"a": f"{start}{number}".encode()}).id for number in range(count)]


def test_ahead_and_behind_count_what_is_not_shared(tmp_path: Path) -> None:
    from mvc.ops.checkout import switch

    world = World(tmp_path / "w")
    base = line(world, 3, "base")[-1]
    one = line(world, 2, "one")[-1]
    switch(world.repo, "other", create=True, start=base.hex())
    two = line(world, 3, "two")[-1]
    assert ahead_behind(world.repo, one, two) == (2, 3)
    assert ahead_behind(world.repo, two, one) == (3, 2)
    assert ahead_behind(world.repo, two, base) == (3, 0)
    assert ahead_behind(world.repo, base, two) == (0, 3)
    assert ahead_behind(world.repo, two, two) == (0, 0)


def test_unrelated_histories_share_nothing(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    one = line(world, 2, "one")[-1]
    world.repo.refs.set_head("refs/heads/new", world.repo.change(None, None, "test"))
    two = line(world, 3, "two")[-1]
    assert ahead_behind(world.repo, one, two) == (2, 3)


def test_a_branch_without_upstream_is_told_apart_from_one_whose_upstream_is_gone(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "w")
    head = world.save({"a": b"1"}).id
    assert tracking(world.repo, "main", head) is None
    remotes.follow(world.repo, "main", "origin", "refs/heads/x")
    found = tracking(world.repo, "main", head)
    assert found is not None
    assert (found.commit, found.ahead, found.behind) == (None, 0, 0)


def test_many_refs_move_each_on_its_own(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    one, two = line(world, 2, "v")
    refs, change = world.repo.refs, world.repo.change(None, one, "test")
    start = "refs/remotes/origin/"
    assert (
        refs.update_many([(f"{start}a", None, one, change), (f"{start}b", None, one, change)]) == {}
    )
    refused = refs.update_many(
        [
            (f"{start}a", one, two, change),
            (f"{start}b", two, one, change),
            (f"{start}a/c", None, one, change),
            (f"{start}B", None, one, change),
            (f"{start}b", one, None, change),
            (f"{start}b/c", None, one, change),
            (f"{start}b/C", None, two, change),
        ]
    )
    assert set(refused) == {f"{start}b", f"{start}a/c", f"{start}B", f"{start}b/C"}
    assert refs.all(start) == {f"{start}a": two, f"{start}b/c": one}
