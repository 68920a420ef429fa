"""`mvc add`."""

from __future__ import annotations

from pathlib import Path

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import counted
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command("add", epilog=examples("mvc add model.safetensors", "mvc add ."))
@click.option("-A", "--all", "everything", is_flag=True, help="All files of the working copy.")
@click.option("-f", "--force", is_flag=True, help="Also files that .mvcignore leaves out.")
@json_option
@click.argument("paths", nargs=-1, type=click.Path())
@pass_session
def command(
    session: Session, paths: tuple[str, ...], everything: bool, force: bool, as_json: bool
) -> None:
    """Start tracking files.

    Takes files, or folders with all files below them. There is no staging area: `mvc commit`
    records every tracked file as it is at that time.
    """
    from mvc.ops.add import add

    given = [session.path(path) for path in paths]
    if not given:
        if not everything:
            raise UsageError("which files?", hint="`mvc add .` takes all in this folder")
        given = [session.repo.root]
    done = add(session.repo, given, force=force)
    if as_json:
        session.json({"added": list(done.added), "already": list(done.already)})
        return
    for path in done.added:
        session.say(f"tracking {escaped(path)}")
    if done.already and not done.added:
        session.note(f"nothing new: {counted(len(done.already), 'file')} tracked already")
    elif not done.added:
        session.note(f"no files in {', '.join(map(escaped, paths or ('.',)))}{_why(given)}")


def _why(given: list[Path]) -> str:
    held = (path for folder in given for path in folder.rglob("*") if ".mvc" not in path.parts)
    return " but ignored ones; --force takes them" if any(map(Path.is_file, held)) else ""
