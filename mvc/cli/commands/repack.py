"""`mvc repack`."""

from __future__ import annotations

import click

from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command(
    "repack",
    epilog=examples("mvc repack", "mvc repack --dry-run", "mvc repack --budget 3 --max-depth 16"),
)
@click.option(
    "--budget",
    type=float,
    metavar="X",
    help="No version costs more than X times a whole one to recover (repack.budget).",
)
@click.option("--max-depth", type=int, metavar="N", help="Differences in a row (repack.max_depth).")
@click.option("--all", "everything", is_flag=True, help="Plan again what was planned before.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be gained.")
@json_option
@pass_session
def command(
    session: Session,
    budget: float | None,
    max_depth: int | None,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Store versions against better bases.

    Looks at all versions together and decides which tensor is kept whole and which as a
    difference from which, so that few bytes are stored and every version is quick to recover.
    Versions and their ids do not change. May be interrupted at any time: run it again.
    """
    from mvc.cli.render_maintenance import repacked
    from mvc.ops.repack import RepackRequest, repack

    request = RepackRequest(budget, max_depth, dry_run=dry_run, everything=everything)
    repacked(session, repack(session.repo, request, session.progress), as_json=as_json)
