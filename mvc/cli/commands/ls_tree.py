"""`mvc ls-tree`."""

from __future__ import annotations

import click

from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command("ls-tree", epilog=examples("mvc ls-tree -r HEAD", "mvc ls-tree v1.0:text --json"))
@click.option("-r", "recursive", is_flag=True, help="All files, at any depth.")
@click.option("--name-only", is_flag=True, help="Only the paths.")
@json_option
@click.argument("what", metavar="[REV | REV:PATH]", default="HEAD", shell_complete=revisions)
@pass_session
def command(session: Session, what: str, recursive: bool, name_only: bool, as_json: bool) -> None:
    """List the files of a version."""
    from mvc.ops.ls_tree import ls_tree

    rows = ls_tree(session.repo, what, recursive=recursive)
    if as_json:
        from mvc.cli.shapes import row

        session.json([row(item) for item in rows])
        return
    for item in rows:
        path = escaped(item.path)
        session.write(path if name_only else f"{item.kind} {item.id.hex()} {item.size}\t{path}")
