"""`mvc status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mvc.cli.arguments import examples, json_option
from mvc.cli.escape import escaped
from mvc.cli.session import Session, pass_session
from mvc.cli.wording import short

if TYPE_CHECKING:
    from mvc.ops.status import StatusResult

_LETTERS = (("A", "added"), ("M", "modified"), ("D", "deleted"), ("?", "untracked"))


@click.command("status", epilog=examples("mvc status", "mvc status --short"))
@click.option("-s", "--short", "--porcelain", "brief", is_flag=True, help="One line a file.")
@json_option
@pass_session
def command(session: Session, brief: bool, as_json: bool) -> None:
    """Show what changed since the last commit.

    The letters of --short stay as they are: A added, M modified, D deleted, ? untracked.
    """
    from mvc.ops.status import status

    found = status(session.repo)
    if as_json:
        head = found.head.hex() if found.head else None
        session.json({**asdict(found), "head": head})
    elif brief:
        for letter, name in _LETTERS:
            for path in getattr(found, name):
                session.write(f"{letter} {escaped(path)}")
    else:
        _long(session, found)


def _long(session: Session, found: StatusResult) -> None:
    if found.branch:
        session.write(f"On branch {session.style(escaped(found.branch), 'bold')}")
    else:
        where = session.style(short(found.head), "yellow")
        session.write(f"HEAD is detached at {where}; `mvc switch -c NAME` makes a branch here")
    if found.head is None:
        session.write("No commits yet")
    if not found.clean:
        session.write("\nChanges that `mvc commit` will record:")
        if found.modified or found.deleted:
            session.write("  (`mvc restore FILE` drops them)")
        if found.added:
            session.write("  (`mvc rm --cached FILE` stops tracking)")
        for name, colour in (("added", "green"), ("modified", "yellow"), ("deleted", "red")):
            for path in getattr(found, name):
                session.write(session.style(f"    {name + ':':<10} {escaped(path)}", colour))
    if found.untracked:
        session.write("\nUntracked files:\n  (`mvc add FILE` starts tracking)")
        for path in found.untracked:
            session.write(session.style(f"    {escaped(path)}", "red"))
    if found.clean:
        if found.head is None:
            tail = "" if found.untracked else ": `mvc add FILE` starts tracking"
        else:
            tail = (
                ", but files are untracked" if found.untracked else ", all tracked files are clean"
            )
        session.write(("\n" if found.untracked else "") + "Nothing to commit" + tail)
