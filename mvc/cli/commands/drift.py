"""`mvc drift`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, cast

import click

from mvc.cli.arguments import WithPaths, examples, files_meant, json_option, paths_after_dashes
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.drift import Metric

METRICS = ("relative", "l2", "cosine", "changed")


@click.command(
    "drift",
    cls=WithPaths,
    epilog=examples(
        "mvc drift",
        "mvc drift 'devices/*' --base v1.0",
        "mvc drift 'origin/devices/*' --html fleet.html",
        "mvc drift car-17 car-18 --metric cosine -- 'model.pt:encoder.*'",
    ),
)
@click.option("--base", metavar="REV", help="Measure from REV (default: what all started from).")
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default=METRICS[0],
    help="What distance is: L2 relative to the base (default), L2, 1 - cosine, share of elements.",
)
@click.option("--sort", type=click.Choice(["distance", "name"]), default="distance", help="Order.")
@click.option("--html", metavar="FILE", help="Write a page with a heat map of layers and versions.")
@json_option
@click.argument("refs", nargs=-1, metavar="[REV | 'PATTERN']...", shell_complete=revisions)
@click.pass_context
@pass_session
def command(
    session: Session,
    ctx: click.Context,
    refs: tuple[str, ...],
    base: str | None,
    metric: str,
    sort: str,
    html: str | None,
    as_json: bool,
) -> None:
    """Show how far versions have drifted from a base, layer by layer.

    Without a REV, the branches devices/*. Distances are over the tensors of a layer that any of
    the versions changed; what is equal in all of them is not read. Versions far above the median
    are named.
    """
    from mvc.cli.pages import check_target, write_drift
    from mvc.ops.drift import DriftRequest, drift

    if html is not None:
        check_target(session, html, as_json=as_json)
    paths = tuple(session.inside(path) for path in paths_after_dashes(ctx) or ())
    with files_meant(session, "drift", refs):
        found = drift(session.repo, DriftRequest(refs, base, paths), session.progress)
    chosen = cast("Metric", metric)
    if html is not None:
        write_drift(session, html, found, chosen)
    if as_json:
        from mvc.cli.drift_json import of_drift

        session.json(of_drift(found, chosen))
    elif html is None:
        from mvc.cli.render_drift import Sheet, lines

        unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        sheet = Sheet(session.style, shutil.get_terminal_size((80, 24)).columns, unicode)
        session.page(lines(found, chosen, sheet, by_name=sort == "name"))
