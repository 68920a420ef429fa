"""`mvc switch`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import examples, json_option, note_ambiguous
from mvc.cli.complete import branches
from mvc.cli.precision import precision_option
from mvc.cli.render_moves import switched
from mvc.cli.session import Session, pass_session


@click.command(
    "switch",
    epilog=examples(
        "mvc switch main",
        "mvc switch -c car-17",
        "mvc switch --detach v1.0",
        exit_status="1 when changes that are not committed would be lost.",
    ),
)
@click.option("-c", "--create", "new", metavar="NEW", help="Make the branch NEW and go to it.")
@click.option("-C", "again", metavar="NEW", help="As -c, also where NEW exists: it moves.")
@click.option("-d", "--detach", is_flag=True, help="Go to a version, at no branch.")
@click.option("-f", "--force", is_flag=True, help="Drop changes that are not committed.")
@precision_option
@json_option
@click.argument("target", metavar="[BRANCH | START]", required=False, shell_complete=branches)
@pass_session
def command(
    session: Session,
    target: str | None,
    new: str | None,
    again: str | None,
    detach: bool,
    force: bool,
    precision: int | None,
    as_json: bool,
) -> None:
    """Go to a branch.

    `-` is where HEAD was before. A branch that only a remote has is made, and follows that one.
    With -c the new branch begins at START, by default HEAD. For --precision see `mvc help
    checkout`.
    """
    from mvc.ops.checkout import checkout, switch

    repo, progress = session.repo, session.progress
    name = again or new
    if detach and name is None:
        done = checkout(
            repo, target or "HEAD", detach=True, force=force, precision=precision, progress=progress
        )
    elif detach:
        raise UsageError("-c makes a branch, --detach leaves all branches")
    elif name is not None:
        done = switch(
            repo,
            name,
            create=True,
            replace=again is not None,
            start=target,
            force=force,
            precision=precision,
            progress=progress,
        )
        note_ambiguous(session, name)
    elif target is None:
        raise UsageError("switch needs a branch", hint="`mvc branch` lists them")
    else:
        done = switch(repo, target, force=force, precision=precision, progress=progress)
    switched(session, done, as_json=as_json)
