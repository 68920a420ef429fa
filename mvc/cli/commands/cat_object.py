"""`mvc cat-object`."""

from __future__ import annotations

import sys

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.cli.arguments import examples
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command(
    "cat-object",
    epilog=examples(
        "mvc cat-object -p HEAD", "mvc cat-object -t 3f2a91", "mvc cat-object HEAD:a.pt"
    ),
)
@click.option("-t", "kind", is_flag=True, help="Print the kind.")
@click.option("-s", "size", is_flag=True, help="Print the size of its bytes.")
@click.option("-p", "pretty", is_flag=True, help="Print it readably, as JSON.")
@click.argument("name", metavar="ID", shell_complete=revisions)
@pass_session
def command(session: Session, name: str, kind: bool, size: bool, pretty: bool) -> None:
    """Print a stored object.

    By default its canonical bytes as docs/format.md describes them; of a chunk, the bytes of
    its words. A terminal gets the readable form instead. The file itself comes from
    `mvc export` or `mvc restore`.
    """
    if kind + size + pretty > 1:
        raise UsageError("-t, -s and -p exclude each other")
    from mvc.ops.cat_object import cat_object

    found = cat_object(session.repo, name)
    if kind:
        session.write(escaped(found.kind))
    elif size:
        session.write(str(len(found.content)))
    elif pretty or (on_terminal() and found.kind != "chunk"):
        session.json(_readable(found.value()))
    elif on_terminal():
        raise UsageError("a chunk is no text", hint=f"mvc cat-object {name} > FILE")
    else:
        sys.stdout.buffer.write(found.content)


def on_terminal() -> bool:
    """Tell whether the output is looked at rather than kept."""
    return sys.stdout.isatty()


def _readable(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _readable(item) for key, item in value.items()}
    return value
