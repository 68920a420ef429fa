"""`mvc gc`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command(
    "gc", epilog=examples("mvc gc", "mvc gc --dry-run", "mvc gc --reflog 30 --prune now")
)
@click.option(
    "--grace", type=float, metavar="DAYS", help="How long garbage is kept (gc.grace_days)."
)
@click.option(
    "--prune", type=click.Choice(["now"]), help="Keep no garbage at all, as with --grace 0."
)
@click.option(
    "--reflog", type=float, metavar="DAYS", help="How long reflogs count (gc.reflog_days)."
)
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would be done.")
@json_option
@pass_session
def command(
    session: Session,
    grace: float | None,
    prune: str | None,
    reflog: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Merge small packs and drop what nothing reaches.

    What no branch, tag or reflog reaches goes after a time of grace. Safe beside other commands,
    which it does not wait for long: what is in use then goes with the next gc.
    """
    from mvc.cli.render_maintenance import collected
    from mvc.ops.gc import GcRequest, gc

    if grace is not None and prune is not None:
        raise UsageError("--grace and --prune contradict each other", hint="give one of them")
    request = GcRequest(0.0 if prune else grace, reflog, dry_run)
    collected(session, gc(session.repo, request, session.progress), as_json=as_json)
