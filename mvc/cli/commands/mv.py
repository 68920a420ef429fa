"""`mvc mv`."""

from __future__ import annotations

import click

from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command("mv", epilog=examples("mvc mv model.pt base.pt", "mvc mv a.onnx b.onnx vad/"))
@click.option("-f", "--force", is_flag=True, help="Replace files that are in the way.")
@json_option
@click.argument("sources", nargs=-1, required=True, type=click.Path())
@click.argument("target", type=click.Path())
@pass_session
def command(
    session: Session, sources: tuple[str, ...], target: str, force: bool, as_json: bool
) -> None:
    """Move or rename tracked files.

    Several SOURCES, or a TARGET that is a folder: they go into it. Of a folder the tracked
    files are moved.
    """
    from mvc.ops.mv import move

    given = [session.path(path) for path in sources]
    done = move(session.repo, given, session.path(target), force=force)
    if as_json:
        session.json({"moved": [{"from": old, "to": new} for old, new in done.moved]})
        return
    for old, new in done.moved:
        session.say(f"{escaped(old)} -> {escaped(new)}")
