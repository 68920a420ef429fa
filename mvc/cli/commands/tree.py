"""`mvc tree`."""

from __future__ import annotations

import shutil
import sys

import click

from mvc.cli.arguments import examples, files_meant, json_option
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command(
    "tree",
    epilog=examples("mvc tree", "mvc tree main 'devices/*'", "mvc tree --all"),
)
@click.option("--all", "everything", is_flag=True, help="Every branch, however many there are.")
@json_option
@click.argument("refs", nargs=-1, metavar="[REV | 'PATTERN']...", shell_complete=revisions)
@pass_session
def command(session: Session, refs: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Draw where branches, tags and devices come from.

    Shown are versions with a name, merges, and those from which several lines go on; +N counts
    the commits on the way. `mvc log --graph` draws every commit.
    """
    from mvc.ops.lineage import LineageRequest, lineage

    with files_meant(session, "tree", refs, instead="mvc ls-tree -r HEAD"):
        found = lineage(session.repo, LineageRequest(refs))
    if as_json:
        from mvc.cli.tree_json import of_lineage

        session.json(of_lineage(found))
        return
    from mvc.cli.render_tree import Sheet, lines

    if not found.nodes:
        session.note("there are no commits yet")
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sheet = Sheet(session.style, shutil.get_terminal_size((80, 24)).columns, unicode)
    session.page(lines(found, sheet, everything=everything))
