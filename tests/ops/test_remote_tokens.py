"""What is told the HTTP carrier: tokens stay with the server that they were given for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NotAllowedError
from mvc.ops.links import Access, opened
from mvc.ops.remote import add, set_url
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
    assert "https://centre.example" in reach(repo)


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
