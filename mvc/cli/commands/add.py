"""`mvc add`."""

from __future__ import annotations

import click

from mvc.cli.arguments import examples, json_option
from mvc.cli.escape import escaped
from mvc.cli.session import Session, pass_session
from mvc.cli.wording import counted


@click.command("add", epilog=examples("mvc add model.safetensors", "mvc add ."))
@click.option("-f", "--force", is_flag=True, help="Also files that .mvcignore leaves out.")
@json_option
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@pass_session
def command(session: Session, paths: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Start tracking files.

    Takes files, or folders with all files below them. There is no staging area: `mvc commit`
    records every tracked file as it is at that time.
    """
    from mvc.ops.add import add

    done = add(session.repo, [session.path(path) for path in paths], force=force)
    if as_json:
        session.json({"added": list(done.added), "already": list(done.already)})
        return
    for path in done.added:
        session.say(f"tracking {escaped(path)}")
    if not done.added:
        session.note(f"nothing new: {counted(len(done.already), 'file')} tracked already")
