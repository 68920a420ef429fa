"""`mvc checkout`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import (
    WithPaths,
    examples,
    files_meant,
    json_option,
    note_ambiguous,
    paths_after_dashes,
)
from mvc.cli.complete import revisions
from mvc.cli.precision import precision_option
from mvc.cli.render_moves import restored, switched
from mvc.cli.session import Session, pass_session


@click.command(
    "checkout",
    cls=WithPaths,
    epilog=examples(
        "mvc checkout main",
        "mvc checkout v1.0",
        "mvc checkout -b car-17 main",
        "mvc checkout HEAD~2 -- model.onnx",
        "mvc checkout --precision 16 v1.0",
        exit_status="1 when changes that are not committed would be lost.",
    ),
)
@click.option("-b", "new", metavar="NEW", help="Make the branch NEW and go to it.")
@click.option("-B", "again", metavar="NEW", help="As -b, also where NEW exists: it moves.")
@click.option("-f", "--force", is_flag=True, help="Drop changes that are not committed.")
@precision_option
@json_option
@click.argument(
    "revision", metavar="[REV | BRANCH] [-- PATH...]", required=False, shell_complete=revisions
)
@click.pass_context
@pass_session
def command(
    session: Session,
    ctx: click.Context,
    revision: str | None,
    new: str | None,
    again: str | None,
    force: bool,
    precision: int | None,
    as_json: bool,
) -> None:
    """Go to a branch or version, or bring back files.

    A branch becomes the current one; any other revision leaves all branches (HEAD is detached).
    `-` is where HEAD was before. With PATHs, only these files are written as they are in REV (by
    default HEAD), and HEAD stays where it is. With --precision 16, float words come with their low
    bits zero, read without the lower half of what is stored; without it, all bits come back.
    """
    from mvc.ops.checkout import checkout, switch
    from mvc.ops.restore import restore

    paths = paths_after_dashes(ctx)
    if paths is not None:
        if new or again or not paths:
            raise UsageError(
                "after `--` come the files to bring back", hint="mvc checkout [REV] -- FILE"
            )
        given = [session.path(path) for path in paths]
        done = restore(
            session.repo,
            given,
            source=revision,
            precision=precision,
            progress=session.progress,
        )
        restored(session, done, as_json=as_json)
        return
    name = again or new
    if name is None and revision is None:
        raise UsageError("checkout needs a branch or a revision", hint="`mvc branch` lists them")
    if name is not None:
        moved = switch(
            session.repo,
            name,
            create=True,
            replace=again is not None,
            start=revision,
            force=force,
            precision=precision,
            progress=session.progress,
        )
        note_ambiguous(session, name)
    else:
        with files_meant(session, "checkout", (revision or "HEAD",)):
            moved = checkout(
                session.repo,
                revision or "HEAD",
                force=force,
                precision=precision,
                progress=session.progress,
            )
    switched(session, moved, as_json=as_json)
