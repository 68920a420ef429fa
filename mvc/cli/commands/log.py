"""`mvc log`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mvc.base.clock import system_clock
from mvc.cli.arguments import WithPaths, examples, json_option, paths_after_dashes
from mvc.cli.complete import revisions
from mvc.cli.render_log import Lines
from mvc.cli.session import Session, pass_session
from mvc.cli.wording import parse_time
from mvc.ops.log import LogRequest, decorations, log


@click.command(
    "log",
    cls=WithPaths,
    epilog=examples(
        "mvc log --oneline --graph --all",
        "mvc log main..car-17",
        "mvc log -n 5 -- text/encoder.safetensors",
        "mvc log -- 'text/encoder.safetensors:encoder.layer.5.*'",
    ),
)
@click.option("--oneline", is_flag=True, help="One line a commit.")
@click.option("--graph", is_flag=True, help="Draw how the commits follow from each other.")
@click.option("--all", "everything", is_flag=True, help="From all branches and tags.")
@click.option("-n", "--max-count", type=click.IntRange(0), metavar="N", help="At most N.")
@click.option("--author", metavar="TEXT", help="Only by authors with TEXT in their name.")
@click.option("--since", metavar="TIME", help="Only since 2025-11-21, or '2 weeks ago'.")
@json_option
@click.argument(
    "revision", nargs=-1, metavar="[REV | A..B]... [-- PATH...]", shell_complete=revisions
)
@click.pass_context
@pass_session
def command(
    session: Session,
    ctx: click.Context,
    revision: tuple[str, ...],
    oneline: bool,
    graph: bool,
    everything: bool,
    max_count: int | None,
    author: str | None,
    since: str | None,
    as_json: bool,
) -> None:
    """Show the history.

    After `--` only the commits that changed one of the PATHs: a file, a folder, a glob, or
    FILE:GLOB for tensors of a model file.
    """
    repo = session.repo
    request = LogRequest(
        revision,
        everything,
        tuple(session.inside(path) for path in paths_after_dashes(ctx) or ()),
        max_count,
        author,
        parse_time(since, system_clock()) if since else None,
        graph,
    )
    names = decorations(repo)
    if as_json:
        from mvc.cli.shapes import version

        session.json([version(item, names.get(item.id, ())) for item in log(repo, request)])
        return
    lines = Lines(session, names, oneline=oneline, graph=graph)

    def rendered() -> Iterator[str]:
        for item in log(repo, request):
            yield from lines.of(item)

    session.page(rendered())
