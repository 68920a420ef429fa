"""`mvc restore`."""

from __future__ import annotations

import click

from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.precision import precision_option
from mvc.cli.render_moves import restored
from mvc.cli.session import Session, pass_session


@click.command(
    "restore",
    epilog=examples("mvc restore model.onnx", "mvc restore --source HEAD~3 ."),
)
@click.option(
    "-s", "--source", metavar="REV", help="From this version, not HEAD.", shell_complete=revisions
)
@precision_option
@json_option
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@pass_session
def command(
    session: Session,
    paths: tuple[str, ...],
    source: str | None,
    precision: int | None,
    as_json: bool,
) -> None:
    """Bring files back from a version.

    Their changes are dropped; other files stay as they are. For --precision see
    `mvc help checkout`.
    """
    from mvc.ops.restore import restore

    given = [session.path(path) for path in paths]
    done = restore(
        session.repo, given, source=source, precision=precision, progress=session.progress
    )
    restored(session, done, as_json=as_json)
