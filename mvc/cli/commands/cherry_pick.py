"""`mvc cherry-pick`."""

from __future__ import annotations

from typing import Any

import click

from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.picking import pick_options, run
from mvc.cli.session import Session, pass_session
from mvc.cli.taking import WithTakes


@click.command(
    "cherry-pick",
    cls=WithTakes,
    epilog=examples(
        "mvc cherry-pick fix-branch",
        "mvc cherry-pick --scale 0.5 car-17",
        "mvc cherry-pick --continue --take ours model.safetensors:head.*",
        exit_status="1 when there are conflicts.",
    ),
)
@pick_options
@json_option
@click.argument("versions", metavar="[REV]...", nargs=-1, shell_complete=revisions)
@pass_session
@click.pass_context
def command(
    ctx: click.Context, session: Session, /, versions: tuple[str, ...], as_json: bool, **given: Any
) -> None:
    """Add what commits changed to the current version.

    REV is a commit or a range A..B; each makes a commit here. Tensors of floats become
    ours + X * (commit - its parent), rounded once; other files and tensors are merged
    three ways.
    """
    run(ctx, session, "cherry-pick", versions, dict(given), as_json=as_json)
