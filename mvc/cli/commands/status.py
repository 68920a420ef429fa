"""`mvc status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mvc.base.escape import escaped
from mvc.base.wording import short
from mvc.cli.arguments import examples, json_option
from mvc.cli.render_tracking import followed, standing
from mvc.cli.render_under_way import under_way_lines, under_way_shape
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.status import StatusResult

_LETTERS = (("A", "added"), ("M", "modified"), ("D", "deleted"), ("?", "untracked"))


@click.command("status", epilog=examples("mvc status", "mvc status --short"))
@click.option("-s", "--short", "brief", is_flag=True, help="One line a file.")
@click.option("--porcelain", is_flag=True, help="As --short, for scripts: from the top folder.")
@json_option
@pass_session
def command(session: Session, brief: bool, porcelain: bool, as_json: bool) -> None:
    """Show what changed since the last commit.

    Paths are seen from the current folder; those of --porcelain and --json from the top one. The
    letters stay as they are: A added, M modified, D deleted, ? untracked.
    """
    from mvc.ops.status import status

    found = status(session.repo)
    if as_json:
        head = found.head.hex() if found.head else None
        renamed = [{"from": old, "to": new} for old, new in found.renamed]
        about = followed(found.upstream)
        facts = {**asdict(found), "head": head, "renamed": renamed, "upstream": about}
        session.json({**facts, "under_way": under_way_shape(found.under_way)})
    elif brief or porcelain:
        for letter, name in _LETTERS:
            for path in getattr(found, name):
                shown = path if porcelain else session.from_here(path)
                session.write(f"{letter} {escaped(shown)}")
    else:
        _long(session, found)


def _where(session: Session, found: StatusResult) -> None:
    if found.branch:
        session.write(f"On branch {session.style(escaped(found.branch), 'bold')}")
    else:
        where = session.style(short(found.head), "yellow")
        session.write(f"HEAD is detached at {where}; `mvc switch -c NAME` makes a branch here")
    if found.head is None:
        session.write("No commits yet")
    if found.upstream is not None:
        session.write(standing(found.upstream))
    if found.under_way is not None:
        for line in under_way_lines(session, found.under_way):
            session.write(line)
    if found.bisecting:
        session.write("Bisecting: `mvc bisect log` shows how far, `mvc bisect reset` ends it")


def _long(session: Session, found: StatusResult) -> None:
    _where(session, found)
    if not found.clean:
        way = f"{found.under_way.verb} --continue" if found.under_way else "commit"
        session.write(f"\nChanges that `mvc {way}` will record:")
        if (found.modified or found.deleted) and found.under_way is None:
            session.write("  (`mvc restore FILE` drops them)")
        if found.added:
            session.write("  (`mvc rm --cached FILE` stops tracking)")
        for name, text, colour in _tracked(session, found):
            session.write(session.style(f"    {name + ':':<10} {text}", colour))
    if found.untracked:
        session.write("\nUntracked files:\n  (`mvc add FILE` starts tracking)")
        for path in found.untracked:
            session.write(session.style(f"    {escaped(session.from_here(path))}", "red"))
    if found.reduced:
        session.write("\nAt reduced precision, taken up by no commit:")
        session.write("  (`mvc restore FILE` brings all bits back)")
        for path in found.reduced:
            session.write(f"    {escaped(session.from_here(path))}")
    if found.clean and found.under_way is None:
        _nothing(session, found)


def _nothing(session: Session, found: StatusResult) -> None:
    if found.head is None:
        tail = "" if found.untracked else ": `mvc add FILE` starts tracking"
    else:
        tail = ", but files are untracked" if found.untracked else ", all tracked files are clean"
    gap = "\n" if found.untracked or found.reduced else ""
    session.write(gap + "Nothing to commit" + tail)


def _tracked(session: Session, found: StatusResult) -> Iterator[tuple[str, str, str]]:
    """Yield (what, where, colour) for every change of a tracked file."""
    for old, new in found.renamed:
        where = " -> ".join(escaped(session.from_here(path)) for path in (old, new))
        yield "renamed", where, "cyan"
    moved = {path for pair in found.renamed for path in pair}
    for name, colour in (("added", "green"), ("modified", "yellow"), ("deleted", "red")):
        for path in getattr(found, name):
            if path not in moved:
                yield name, escaped(session.from_here(path)), colour
