"""From an address to a link, whichever carrier it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvc.repo.repository import Environment
from mvc.sync.address import Address, HttpAddress, PathAddress, SshAddress
from mvc.sync.link import Link
from mvc.sync.pace import LEAST_RATE, Pace
from mvc.sync.retry import TRIES, PatientLink
from mvc.sync.ssh import SSH

IDLE_SECONDS = 60.0
LARGE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """What carriers take from outside.

    `told` hears remarks of other programs and why there is a pause. `here` is what relative paths
    start from. Where the repository is on this machine, `who` is the asker's name, and parts of it
    are made in `scratch`. `rate` is how many bytes a second a peer is to send or take at least.
    `http` are further fields of HttpSettings.
    """

    here: Path | None = None
    who: str = "local"
    environment: Environment | None = None
    scratch: Path | None = None
    strangers: bool = False
    ssh: tuple[str, ...] = SSH
    idle: float = IDLE_SECONDS
    rate: float = LEAST_RATE
    tries: int = TRIES
    large_tries: int = LARGE_TRIES
    told: Callable[[str], None] = lambda _: None
    token: str | None = None
    http: dict[str, Any] | None = None


def connect(address: Address, settings: Settings | None = None) -> Link:
    """Return a link to what an address names.

    SSH and HTTP are asked again where that may help, and are not reached before the first request.
    Raises what LocalLink raises for a path.
    """
    settings = settings or Settings()
    if isinstance(address, PathAddress):
        return _local(address, settings)
    return PatientLink(
        lambda: once(address, settings),
        tries=settings.tries,
        large_tries=settings.large_tries,
        told=settings.told,
    )


def once(address: SshAddress | HttpAddress, settings: Settings) -> Link:
    """Return a link that does not ask again."""
    return _ssh(address, settings) if isinstance(address, SshAddress) else _http(address, settings)


def _local(address: PathAddress, settings: Settings) -> Link:
    from mvc.sync.local import LocalLink

    path = Path(address.path) if settings.here is None else settings.here / address.path
    return LocalLink(
        path,
        settings.who,
        environment=settings.environment,
        strangers=settings.strangers,
        scratch=settings.scratch,
    )


def _ssh(address: SshAddress, settings: Settings) -> Link:
    from mvc.sync.ssh import command
    from mvc.sync.stdio import StdioLink

    words = command(address, settings.ssh)
    return StdioLink(
        words,
        address.host,
        idle=settings.idle,
        pace=lambda: Pace(settings.rate),
        told=settings.told,
    )


def _http(address: HttpAddress, settings: Settings) -> Link:
    from mvc.sync.http_link import HttpLink, HttpSettings

    found = HttpSettings(
        settings.token,
        idle_seconds=settings.idle,
        least_rate=settings.rate,
        **(settings.http or {}),
    )
    return HttpLink(address, found)
