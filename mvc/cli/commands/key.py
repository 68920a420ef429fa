"""`mvc key`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mvc.base.errors import NotFoundError
from mvc.base.escape import escaped
from mvc.base.wording import iso_time
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session, user_config

if TYPE_CHECKING:
    from mvc.ops.key import Keyring
    from mvc.repo.keys import OwnKey
    from mvc.repo.trust import Trusted


@click.group(
    "key",
    epilog=examples(
        "mvc key generate",
        "mvc key show",
        "mvc key trust cam-07.pem --name cam-07 --expires 365d",
        "mvc key revoke cam-07",
        "mvc key generate --type p256 --name release",
    ),
)
def command() -> None:
    """Make keys, and say whose signatures count.

    Keys of your own are files in your configuration folder. Keys that are trusted stand in
    trusted.toml, in the repository's folder or, with --global, in yours. Neither is ever sent.
    """


@command.command("generate")
@click.option("--name", metavar="NAME", help="By default `default`, or `bundle` for p256.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["ed25519", "p256"]),
    default="ed25519",
    show_default=True,
    help="ed25519 signs commits, p256 bundles for other programs (`mvc sign`).",
)
@json_option
@pass_session
def generate(session: Session, name: str | None, kind: str, as_json: bool) -> None:
    """Make a key of your own."""
    from mvc.ops.key import generate as make

    made = make(_ring(session), name, "p256" if kind == "p256" else "ed25519")
    if as_json:
        session.json(_own(made))
        return
    session.say(f"{made.kind} key {made.name}: {made.public}")
    session.note(f"note: the private key is {escaped(str(made.path))}; whoever has it signs as you")


@command.command("show")
@json_option
@click.argument("name", required=False)
@pass_session
def show(session: Session, name: str | None, as_json: bool) -> None:
    """Print the public half of a key of your own, as PEM."""
    from mvc.ops.key import show as find

    found = find(_ring(session), name)
    if as_json:
        session.json(_own(found))
        return
    session.write(found.pem.rstrip("\n"))


@command.command("list")
@json_option
@pass_session
def listing(session: Session, as_json: bool) -> None:
    """List your own keys, and those that are trusted here."""
    from mvc.ops.key import listed

    ring = _ring(session)
    found = listed(ring)
    now = ring.clock()
    if as_json:
        session.json(
            {
                "own": [_own(item) for item in found.own],
                "trusted": [_trusted(item, now) for item in found.trusted],
            }
        )
        return
    for own in found.own:
        session.write(f"own      {own.name} {own.kind} {own.public}")
    for item in found.trusted:
        words = ["trusted ", item.name, "ed25519", item.key.hex(), *_remarks(item, now)]
        session.write(" ".join(words))
    if not found.own and not found.trusted:
        session.note("note: there are no keys; `mvc key generate` makes one")


@command.command("trust")
@click.option("--name", metavar="NAME", required=True, help="What its owner is called here.")
@click.option(
    "--expires", metavar="DATE", help="2027-11-21 (its beginning, UTC), or 90d for 90 days."
)
@click.option("--global", "everywhere", is_flag=True, help="In all your repositories.")
@json_option
@click.argument("source", metavar="FILE|HEX")
@pass_session
def trust(
    session: Session,
    source: str,
    name: str,
    expires: str | None,
    everywhere: bool,
    as_json: bool,
) -> None:
    """Let the signatures of a key count.

    HEX is an Ed25519 public key as 64 digits, FILE has it so or as PEM. A key that is trusted
    already gets another time to expire.
    """
    from mvc.ops.key import trust_key

    ring = _ring(session)
    done = trust_key(
        ring,
        source,
        session.path(source),
        name,
        expires=expires,
        origin="user" if everywhere else "repository",
    )
    if as_json:
        session.json(_trusted(done, ring.clock()))
        return
    until = "" if done.expires is None else f" until {iso_time(done.expires)[:19]}Z"
    session.say(f"signatures of {done.key.hex()} count as those of {done.name}{until}")


@command.command("revoke")
@json_option
@click.argument("name")
@pass_session
def revoke(session: Session, name: str, as_json: bool) -> None:
    """Let the signatures of a trusted key count no more, old ones too."""
    from mvc.ops.key import revoke as end

    ring = _ring(session)
    done = end(ring, name)
    if as_json:
        session.json([_trusted(item, ring.clock()) for item in done])
        return
    for item in done:
        session.say(f"signatures of {item.key.hex()} ({item.name}) count no more")


def _ring(session: Session) -> Keyring:
    from mvc.ops.key import Keyring, of_repository

    try:
        return of_repository(session.repo)
    except NotFoundError:
        user = user_config()
        return Keyring(user.parent if user else None, None)


def _own(item: OwnKey) -> dict[str, object]:
    return {
        "name": item.name,
        "type": item.kind,
        "public": item.public,
        "pem": item.pem,
        "path": str(item.path),
    }


def _trusted(item: Trusted, now: int) -> dict[str, object]:
    return {
        "name": item.name,
        "key": item.key.hex(),
        "status": _status(item, now),
        "added": _time(item.added),
        "expires": _time(item.expires),
        "revoked": _time(item.revoked),
        "origin": item.origin,
    }


def _status(item: Trusted, now: int) -> str:
    if item.revoked is not None:
        return "revoked"
    return "expired" if item.expired(now) else "good"


def _remarks(item: Trusted, now: int) -> list[str]:
    status = _status(item, now)
    words = [] if status == "good" else [status]
    if status == "good" and item.expires is not None:
        words = [f"until {iso_time(item.expires)[:19]}Z"]
    return [*words, "(everywhere)"] if item.origin == "user" else words


def _time(micros: int | None) -> str | None:
    return None if micros is None else iso_time(micros)
