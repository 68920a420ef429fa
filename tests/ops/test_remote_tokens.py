"""What is told the HTTP carrier: tokens stay with the server that they were given for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NotAllowedError, UsageError
from mvc.ops.device import init as device
from mvc.ops.links import Access, opened, opened_outside
from mvc.ops.remote import add, set_url
from mvc.ops.token_files import given, token_of
from mvc.repo import remotes
from mvc.repo.repository import Repository
from mvc.sync.http_link import HttpSettings
from mvc.sync.messages import RefsRequest
from tests.e2e.world import World

HERE, ELSEWHERE = "https://centre.example/fleet", "https://other.example/fleet"


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    world = World(tmp_path / "w")
    token = world.repo.root / "token"
    token.touch(mode=0o600)
    token.write_text("mvc_secret\n")
    return world.repo


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[HttpSettings]:
    """Return the settings of links, none of which is reached."""
    from mvc.sync import http_link

    found: list[HttpSettings] = []
    real = http_link.HttpLink.__init__

    def noted(self: http_link.HttpLink, address: object, settings: HttpSettings) -> None:
        found.append(settings)
        real(self, address, settings)  # type: ignore[arg-type]
        raise NotAllowedError("reached")

    monkeypatch.setattr(http_link.HttpLink, "__init__", noted)
    return found


def reach(repo: Repository, access: Access | None = None) -> str:
    """Return why a remote cannot be asked."""
    with (
        pytest.raises(NotAllowedError) as caught,
        opened(repo, remotes.find(repo, "origin"), access or Access()) as link,
    ):
        link.ask(RefsRequest(("refs/",)))
    return caught.value.message


def test_a_token_goes_to_the_server_it_was_given_for(
    repo: Repository, made: list[HttpSettings]
) -> None:
    add(repo, "origin", HERE, token_file="token")
    assert reach(repo) == "reached"
    assert (made[0].token, made[0].token_origin) == ("mvc_secret", "https://centre.example:443")


def test_a_token_does_not_follow_a_remote_that_is_moved(
    repo: Repository, made: list[HttpSettings]
) -> None:
    add(repo, "origin", HERE, token_file="token")
    set_url(repo, "origin", ELSEWHERE)
    why = reach(repo)
    assert why == "the token is for https://centre.example:443, not for https://other.example:443"
    set_url(repo, "origin", HERE)
    assert reach(repo) == "reached"


def test_a_token_of_old_settings_stays_where_it_was_when_the_remote_is_moved(
    repo: Repository, made: list[HttpSettings]
) -> None:
    add(repo, "origin", HERE)
    values = {("remote", "origin", "token_file"): "token"}
    repo.config.change({**values}, "repository", repo.scratch)
    set_url(repo, "origin", ELSEWHERE)
    why = reach(repo)
    assert why == "the token file token does not say that it is for https://other.example:443"


def test_a_token_that_the_caller_brings_goes_where_it_is_told(
    repo: Repository, made: list[HttpSettings]
) -> None:
    add(repo, "origin", HERE, token_file="token")
    set_url(repo, "origin", ELSEWHERE)
    assert reach(repo, Access(token="mvc_other")) == "reached"
    assert (made[0].token, made[0].token_origin) == ("mvc_other", None)


def test_proxies_are_those_of_the_caller(repo: Repository, made: list[HttpSettings]) -> None:
    add(repo, "origin", HERE)
    proxies = {"https": "http://proxy.example:3128", "no": "localhost"}
    assert reach(repo, Access(proxies=proxies)) == "reached"
    assert made[0].proxies == proxies


def settings(repo: Repository, **values: str) -> None:
    """Write settings of the remote as somebody else may have who handed the repository over."""
    found = {("remote", "origin", key): value for key, value in values.items()}
    repo.config.change({**found}, "repository", repo.scratch)


def test_settings_alone_do_not_say_where_a_token_goes(
    repo: Repository, made: list[HttpSettings], tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.touch(mode=0o600)
    mine.write_text("mvc_secret")
    evil = "https://evil.example:443"
    settings(repo, url=f"{evil}/x", token_file=str(mine), token_origin=evil)
    assert "does not say that it is for https://evil.example:443" in reach(repo)
    mine.write_text("mvc_secret\nfor https://centre.example\n")
    assert reach(repo) == f"the token is for https://centre.example:443, not for {evil}"
    assert made == []
    settings(repo, url=HERE)
    settings(repo, token_origin="https://centre.example:443")
    assert reach(repo) == "reached"


def test_another_remote_does_not_get_the_token_of_a_device(
    repo: Repository, made: list[HttpSettings]
) -> None:
    device(repo, "cam-07", HERE, fetching=False, access=Access(token="mvc_secret"))
    kept = repo.folder / "tokens" / "origin"
    assert kept.read_text() == "mvc_secret\nfor https://centre.example:443\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert reach(repo) == "reached"
    settings(repo, url=ELSEWHERE, token_origin="https://other.example:443")
    why = reach(repo)
    assert why == "the token is for https://centre.example:443, not for https://other.example:443"


def test_a_file_that_an_older_device_wrote_is_still_read(
    repo: Repository, made: list[HttpSettings]
) -> None:
    device(repo, "cam-07", HERE, fetching=False, access=Access(token="mvc_secret"))
    kept = repo.folder / "tokens" / "origin"
    kept.write_text("mvc_secret\n")
    assert reach(repo) == "reached"
    settings(repo, url=ELSEWHERE)
    assert "does not say" in reach(repo)
    remotes.add(repo, remotes.Remote("evil", ELSEWHERE, token_file=".mvc/tokens/origin"))
    other = {("remote", "evil", "token_origin"): "https://other.example:443"}
    repo.config.change({**other}, "repository", repo.scratch)
    with pytest.raises(NotAllowedError, match="does not say"):
        token_of(repo, remotes.find(repo, "evil"))


def test_one_file_can_be_for_several_servers(repo: Repository, made: list[HttpSettings]) -> None:
    add(repo, "origin", HERE, token_file="token")
    add(repo, "other", ELSEWHERE, token_file="token")
    add(repo, "again", ELSEWHERE, token_file="token")
    lines = (repo.root / "token").read_text().splitlines()
    assert lines == [
        "mvc_secret",
        "for https://centre.example:443",
        "for https://other.example:443",
    ]
    assert token_of(repo, remotes.find(repo, "other")) == "mvc_secret"


def test_a_token_file_with_anything_else_in_it_is_refused(repo: Repository) -> None:
    (repo.root / "token").write_text("mvc_secret\nmvc_another\n")
    add(repo, "origin", HERE, token_file="token")
    with pytest.raises(UsageError, match="lines that say nothing"):
        token_of(repo, remotes.find(repo, "origin"))


def test_a_path_needs_no_token(repo: Repository, tmp_path: Path) -> None:
    add(repo, "origin", str(tmp_path / "there"), token_file="nowhere")
    assert token_of(repo, remotes.find(repo, "origin")) is None


def test_a_remote_of_another_name_has_its_token_still(
    repo: Repository, made: list[HttpSettings]
) -> None:
    add(repo, "first", HERE, token_file="token")
    remotes.rename(repo, "first", "origin")
    assert repo.config.text("remote.origin.token_origin") == "https://centre.example:443"
    assert repo.config.text("remote.first.token_origin") is None
    assert reach(repo) == "reached"


def test_the_content_of_a_token_file_is_taken_as_a_token_too(
    repo: Repository, made: list[HttpSettings]
) -> None:
    add(repo, "origin", HERE)
    text = "mvc_secret\nfor https://centre.example\n"
    assert reach(repo, Access(token=text)) == "reached"
    assert [item.token for item in made] == ["mvc_secret"]
    assert "is for https://centre.example:443, not for" in reach_of(repo, ELSEWHERE, text)
    with pytest.raises(UsageError, match="MVC_TOKEN has lines"):
        given("mvc_secret\nelse\n", HERE)
    assert len(made) == 1


def reach_of(repo: Repository, url: str, token: str) -> str:
    with (
        pytest.raises(NotAllowedError) as caught,
        opened_outside(url, repo.environment, Access(token=token)) as link,
    ):
        link.ask(RefsRequest(("refs/",)))
    return caught.value.message
