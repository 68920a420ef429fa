"""`mvc ls-remote`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import remotes as offered
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.repo.repository import Environment, Repository


@click.command(
    "ls-remote",
    epilog=examples(
        "mvc ls-remote",
        "mvc ls-remote origin 'devices/*/main'",
        "mvc ls-remote --tags https://models.example.org/fleet",
        exit_status="1 when a pattern was given and nothing has such a name.",
    ),
)
@click.option("--heads", "--branches", "heads", is_flag=True, help="Branches only.")
@click.option("--tags", is_flag=True, help="Tags only.")
@json_option
@click.argument("remote", required=False, shell_complete=offered)
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@pass_session
def command(
    session: Session,
    remote: str | None,
    patterns: tuple[str, ...],
    heads: bool,
    tags: bool,
    as_json: bool,
) -> None:
    """List the branches and tags of a remote.

    Brings nothing.

    REMOTE is its name, or its address, which needs no repository here.
    """
    from mvc.cli.remoting import access
    from mvc.ops.ls_remote import ls_remote

    try:
        where: Repository | Environment = session.repo
    except NotFoundError:
        if remote is None:
            raise
        where = session.environment()
    found = ls_remote(where, remote, patterns, heads=heads, tags=tags, access=access(session))
    if as_json:
        refs = [{"ref": name, "id": target.hex()} for name, target in found.refs.items()]
        session.json({"url": found.url, "head": found.head, "refs": refs})
    else:
        session.page(f"{target.hex()}\t{escaped(name)}" for name, target in found.refs.items())
    if patterns and not found.refs:
        raise NegativeAnswer("nothing there has such a name", hint="`mvc ls-remote` lists it all")
