"""`mvc restore`."""

from __future__ import annotations

import click

from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.render_moves import restored
from mvc.cli.session import Session, pass_session


@click.command(
    "restore",
    epilog=examples("mvc restore model.onnx", "mvc restore --source HEAD~3 ."),
)
@click.option(
    "-s", "--source", metavar="REV", help="From this version, not HEAD.", shell_complete=revisions
)
@json_option
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@pass_session
def command(session: Session, paths: tuple[str, ...], source: str | None, as_json: bool) -> None:
    """Bring files back from a version.

    Their changes are dropped; other files stay as they are.
    """
    from mvc.ops.restore import restore

    given = [session.path(path) for path in paths]
    done = restore(session.repo, given, source=source, progress=session.progress)
    restored(session, done, as_json=as_json)
