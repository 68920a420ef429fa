"""`mvc stats`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import examples, files_meant, json_option
from mvc.cli.complete import revisions as offered
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.repack import RepackResult

NEWEST = 10


@click.command(
    "stats",
    epilog=examples(
        "mvc stats",
        "mvc stats main..car-17",
        "mvc stats --tensors HEAD~1",
        "mvc stats HEAD:text/encoder.safetensors",
    ),
)
@click.option("--commits", "all_commits", is_flag=True, help="List all versions.")
@click.option("-n", "--max-count", type=click.IntRange(0), metavar="N", help="List the N newest.")
@click.option("--tensors", is_flag=True, help="The tensors of one version (default: HEAD).")
@click.option(
    "--repack", "with_repack", is_flag=True, help="Also estimate what a repack would save."
)
@json_option
@click.argument("revision", nargs=-1, metavar="[REV | A..B | REV:FILE]...", shell_complete=offered)
@pass_session
def command(
    session: Session,
    revision: tuple[str, ...],
    all_commits: bool,
    max_count: int | None,
    tensors: bool,
    with_repack: bool,
    as_json: bool,
) -> None:
    """Show what the repository takes, and why.

    The bytes of all versions' files and those stored for them: by cause, by deltas in a row, and
    for the newest 10 versions. With revisions, of what they reach. An object counts for the oldest
    version that has it. REV:FILE shows the tensors of a file. No weights are decoded, but for the
    samples of --repack.
    """
    with files_meant(session, "stats", revision, instead="mvc stats HEAD:{top}"):
        if tensors or any(":" in word for word in revision):
            _tensors(session, revision, as_json=as_json)
        else:
            limit = None if all_commits else NEWEST if max_count is None else max_count
            _stats(session, revision, limit, with_repack=with_repack, as_json=as_json)


def _stats(
    session: Session,
    revision: tuple[str, ...],
    limit: int | None,
    *,
    with_repack: bool,
    as_json: bool,
) -> None:
    from mvc.ops.stats import StatsRequest, stats

    found = stats(session.repo, StatsRequest(revision), session.progress)
    estimate = _estimate(session) if with_repack else None
    if as_json:
        from mvc.cli.stats_json import of_stats

        session.json(of_stats(found, limit, estimate))
        return
    from mvc.cli.render_stats import Ground, lines

    ground = Ground(session.style, *_terminal())
    session.page(lines(found, ground, limit, estimate))


def _estimate(session: Session) -> RepackResult:
    from mvc.ops.repack import RepackRequest, repack

    return repack(session.repo, RepackRequest(dry_run=True), session.progress)


def _tensors(session: Session, revision: tuple[str, ...], *, as_json: bool) -> None:
    from mvc.ops.tensor_stats import tensor_stats

    if len(revision) > 1:
        raise UsageError("tensors are those of one version", hint="write: mvc stats --tensors REV")
    found = tensor_stats(session.repo, *revision)
    if as_json:
        from mvc.cli.stats_json import of_tensors

        session.json(of_tensors(found))
        return
    from mvc.cli.render_stats import Ground, tensor_lines

    ground = Ground(session.style, *_terminal())
    session.page(tensor_lines(found, ground))


def _terminal() -> tuple[int, bool]:
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return shutil.get_terminal_size((80, 24)).columns, unicode
