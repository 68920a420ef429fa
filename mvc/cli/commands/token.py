"""`mvc token`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import iso_time
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.sync.tokens import Token

_DURATION = re.compile(r"([1-9][0-9]{0,5})([hdwy])", re.ASCII)
_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}
_SIZE = re.compile(r"([1-9][0-9]{0,11})([kMGT]?)B?", re.ASCII)
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@click.group(
    "token",
    epilog=examples(
        "mvc token create /srv/models --device cam-07 --repository fleet --expires 90d",
        "mvc token create /srv/models --name ada --grant read:refs/ --grant append:refs/heads/",
        "mvc token list /srv/models",
        "mvc token revoke /srv/models cam-07",
    ),
)
def command() -> None:
    """Say who may ask an HTTP server for what.

    ROOT is the folder that `mvc serve ROOT` serves. A server that runs heeds changes at once.
    """


@command.command("create")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Whose it is; by default the name of the device.")
@click.option(
    "--repository",
    "repositories",
    metavar="GLOB",
    multiple=True,
    help="For which repositories: fleet, fleet/*, by default ** for all. May be repeated.",
)
@click.option("--device", metavar="NAME", help="Adds below devices/NAME/; reads main and tags.")
@click.option(
    "--grant",
    "grants",
    metavar="VERB:PREFIX",
    multiple=True,
    help="read, append or force, and of which refs; admin (makes repositories by pushing) and "
    "metrics have no prefix. May be repeated.",
)
@click.option("--expires", metavar="TIME", help="After how long, as 12h, 90d, 8w or 1y.")
@click.option("--rate", type=click.IntRange(1), metavar="N", help="Requests a minute.")
@click.option("--bytes-per-day", metavar="SIZE", help="Of requests and replies, as 500M or 20G.")
@json_option
@pass_session
def create(
    session: Session,
    root: Path,
    name: str | None,
    repositories: tuple[str, ...],
    device: str | None,
    grants: tuple[str, ...],
    expires: str | None,
    rate: int | None,
    bytes_per_day: str | None,
    as_json: bool,
) -> None:
    """Make a token and print it, once: it is kept nowhere.

    Without --grant or --device a token would do nothing, so one of them is needed.
    """
    from mvc.ops.token import TokenRequest
    from mvc.ops.token import create as make

    request = TokenRequest(
        name,
        repositories or ("**",),
        device,
        grants,
        None if expires is None else _seconds(expires),
        rate,
        None if bytes_per_day is None else _bytes(bytes_per_day),
    )
    made = make(session.path(root), request)
    if as_json:
        session.json({**_shape(made.token), "token": made.secret})
        return
    session.note(f"token {escaped(made.token.name)} for {' '.join(made.token.repositories)}:")
    for grant in made.token.granted():
        session.note(f"  {escaped(grant)}")
    session.write(made.secret)


@command.command("list")
@click.argument("root", type=click.Path(path_type=Path))
@json_option
@pass_session
def listing(session: Session, root: Path, as_json: bool) -> None:
    """List tokens, without what their bearers keep."""
    from mvc.ops.token import tokens

    found = tokens(session.path(root))
    if as_json:
        session.json([_shape(token) for token in found])
        return
    for token in found:
        until = f"until {iso_time(token.expires)}" if token.expires else "for good"
        session.write(
            f"{token.id}  {escaped(token.name)}  {' '.join(token.repositories)}  {until}  "
            f"{escaped(' '.join(token.granted()))}"
        )


@command.command("revoke")
@click.argument("root", type=click.Path(path_type=Path))
@click.argument("names", metavar="NAME|ID...", nargs=-1, required=True)
@pass_session
def revoke(session: Session, root: Path, names: tuple[str, ...]) -> None:
    """Take tokens back: they are refused from now on."""
    from mvc.ops.token import revoke as take_back

    for token in take_back(session.path(root), names):
        session.say(f"revoked {escaped(token.name)} ({token.id})")


def _shape(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "repositories": list(token.repositories),
        "grants": token.granted(),
        "created": iso_time(token.created),
        "expires": None if token.expires is None else iso_time(token.expires),
        "requests_per_minute": token.requests_per_minute,
        "bytes_per_day": token.bytes_per_day,
    }


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:40]!r} is not a time", hint="write 12h, 90d, 8w or 1y")
    return int(match[1]) * _SECONDS[match[2]]


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text[:40]!r} is not a size", hint="write 500M or 20G")
    return int(match[1]) * _FACTORS[match[2]]
