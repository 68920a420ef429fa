"""How operations reach remotes: what is configured here, and what the caller brings along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import normpath
from typing import Any

from mvc.base.errors import UsageError
from mvc.ops.token_files import given, token_of
from mvc.repo import remotes
from mvc.repo.config import Config
from mvc.repo.remotes import Remote
from mvc.repo.repository import Environment, Repository
from mvc.sync.address import Address, HttpAddress, PathAddress, parse
from mvc.sync.connect import Settings, connect
from mvc.sync.link import Link
from mvc.sync.ssh import program


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller brings along: a token, how ssh is run, and who hears why there is a pause.

    `here` is what relative paths are seen from. `proxies` are URLs by scheme, and `no` lists hosts
    without any.
    """

    token: str | None = None
    ssh: str | None = None
    here: Path | None = None
    strangers: bool = False
    told: Callable[[str], None] = lambda _: None
    proxies: Mapping[str, str] = field(default_factory=dict)


def meant(repo: Repository, word: str | None, here: Path | None) -> Remote:
    """Return the remote of a name, that of the current branch for None, or that of an address.

    A remote without a name is remembered nowhere.
    """
    if word is None:
        return remotes.usual(repo, repo.refs.head().branch)
    if any(char in word for char in "/:"):
        return Remote("", str(located(word, here)))
    return remotes.find(repo, word)


def located(url: str, here: Path | None) -> Address:
    """Return an address, a path as seen from `here`, or raise UsageError."""
    address = parse(url)
    if isinstance(address, PathAddress) and here is not None and not address.url:
        return replace(address, path=normpath(here / address.path))
    return address


@contextmanager
def opened(repo: Repository, remote: Remote, access: Access) -> Iterator[Link]:
    """Open a link to a remote for as long as the block lasts."""
    token = given(access.token, remote.url) if access.token else token_of(repo, remote)
    settings = Settings(
        here=repo.worktree or repo.folder,
        who=_who(repo),
        environment=repo.environment,
        scratch=repo.scratch / "parts",
        token=token,
    )
    origin = repo.config.text(f"remote.{remote.name}.token_origin") if remote.name else None
    with _connected(remote.url, settings, repo.config, access, origin) as link:
        yield link


@contextmanager
def opened_outside(url: str, environment: Environment, access: Access) -> Iterator[Link]:
    """Open a link where there is no repository here; only the user's settings count."""
    config = Config(None, environment.user_config)
    token = given(access.token, url) if access.token else None
    settings = Settings(here=access.here, environment=environment, token=token)
    with _connected(url, settings, config, access, None) as link:
        yield link


@contextmanager
def _connected(
    url: str, settings: Settings, config: Config, access: Access, origin: str | None
) -> Iterator[Link]:
    address = parse(url)
    idle = config.get("core.idle_seconds")
    command = access.ssh or config.trusted("core.ssh_command")
    settings = replace(
        settings,
        strangers=access.strangers or config.trusted("core.trust_other_owners") is True,
        told=access.told,
        http=_http(config, address, access, origin),
    )
    rate = config.get("core.least_rate")
    if isinstance(rate, int | float) and rate >= 0:
        settings = replace(settings, rate=float(rate))
    if command:
        settings = replace(settings, ssh=program(str(command)))
    if isinstance(idle, int | float) and idle > 0:
        settings = replace(settings, idle=float(idle))
    link = connect(address, settings)
    try:
        yield link
    finally:
        link.close()


def _http(
    config: Config, address: Address, access: Access, origin: str | None
) -> dict[str, Any] | None:
    """Return what the HTTP carrier is told besides the token."""
    if not isinstance(address, HttpAddress):
        return None
    found: dict[str, Any] = {"plain_token": config.trusted("http.plain_token") is True}
    if not access.token:
        found["token_origin"] = origin
    if authorities := config.trusted("http.authorities"):
        found["authorities"] = Path(str(authorities))
    found["proxies"] = access.proxies
    return found


def _who(repo: Repository) -> str:
    try:
        return repo.author()
    except UsageError:
        return "local"
