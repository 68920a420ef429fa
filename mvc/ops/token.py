"""Make, list and take back the tokens of an HTTP server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.clock import Clock, system_clock
from mvc.base.errors import NotFoundError, UsageError
from mvc.repo.names import check_branch
from mvc.repo.repository import is_repository
from mvc.sync.grants import Grant, device
from mvc.sync.tokens import Token, Tokens, parse_grants

EVERYWHERE = "**"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a new token is for: a `device`, or `grants` as VERB:PREFIX; times in seconds."""

    name: str | None = None
    repositories: tuple[str, ...] = (EVERYWHERE,)
    device: str | None = None
    grants: tuple[str, ...] = ()
    seconds: int | None = None
    requests_per_minute: int | None = None
    bytes_per_day: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new token; `secret` is what its bearer keeps, and is nowhere else."""

    token: Token
    secret: str


def create(root: Path, request: TokenRequest, clock: Clock = system_clock) -> Made:
    """Make a token of the server at `root`; raises UsageError, NegativeAnswer, NotFoundError."""
    grants, server = parse_grants(request.grants)
    if request.device is not None:
        grants |= _device(request.device)
    name = request.name or request.device
    if name is None:
        raise UsageError("a token needs a name", hint="write --name NAME, or --device NAME")
    token, secret = Tokens(_folder(root), clock).create(
        name,
        repositories=request.repositories or (EVERYWHERE,),
        grants=grants,
        server=server,
        seconds=request.seconds,
        requests_per_minute=request.requests_per_minute,
        bytes_per_day=request.bytes_per_day,
    )
    return Made(token, secret)


def tokens(root: Path) -> list[Token]:
    """Return the tokens of the server at `root`, the oldest first."""
    return Tokens(_folder(root)).all()


def revoke(root: Path, names: Iterable[str]) -> list[Token]:
    """Take tokens back by name or id; a server that runs refuses them from now on."""
    held = Tokens(_folder(root))
    return [held.revoke(name) for name in names]


def _folder(root: Path) -> Path:
    if not fileio.is_dir(root):
        raise NotFoundError(f"{root} is not a folder", hint=f"mkdir {root}")
    if is_repository(root):
        raise UsageError(
            f"{root} is a repository", hint="tokens belong to the folder that holds repositories"
        )
    return root


def _device(name: str) -> frozenset[Grant]:
    check_branch(f"devices/{name}/main")
    if "/" in name:
        raise UsageError(f"{name[:80]!r} cannot be the name of a device", hint="leave out the '/'")
    return device(name).held
