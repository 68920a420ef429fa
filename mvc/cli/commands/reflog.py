"""`mvc reflog`."""

from __future__ import annotations

import click

from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import SHORT, iso_time, local_time, short
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import branches
from mvc.cli.session import Session, pass_session
from mvc.cli.shapes import hexed


@click.command("reflog", epilog=examples("mvc reflog", "mvc reflog main -n 5"))
@click.option("-n", "--max-count", type=click.IntRange(0), metavar="N", help="At most N.")
@json_option
@click.argument("ref", default="HEAD", shell_complete=branches)
@pass_session
def command(session: Session, ref: str, max_count: int | None, as_json: bool) -> None:
    """Show where a branch or HEAD has been.

    The names on the left are revisions: `mvc switch -c saved 'HEAD@{3}'` brings back what a
    reset or a deleted branch left behind.
    """
    from mvc.ops.reflog import reflog

    steps = reflog(session.repo, ref)[:max_count]
    if as_json:
        session.json(
            [
                {
                    "selector": step.selector,
                    "old": hexed(step.change.old),
                    "new": hexed(step.change.new),
                    "author": step.change.author,
                    "time": iso_time(step.change.time),
                    "reason": step.change.reason,
                }
                for step in steps
            ]
        )
        return
    session.page(
        f"{session.style(_where(step.change.new), 'yellow')} {escaped(step.selector)} "
        f"{local_time(step.change.time)} {escaped(step.change.reason)}"
        for step in steps
    )


def _where(item: ObjectId | None) -> str:
    return short(item) if item else f"{'(none)':<{SHORT}}"
