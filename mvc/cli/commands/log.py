"""`mvc log`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mvc.base.clock import system_clock
from mvc.cli.arguments import (
    WithPaths,
    examples,
    files_meant,
    json_option,
    paths_after_dashes,
)
from mvc.cli.complete import revisions
from mvc.cli.render_log import Lines
from mvc.cli.render_signature import Judge
from mvc.cli.session import Session, pass_session
from mvc.cli.times import parse_time
from mvc.ops.log import LogRequest, decorations, nearest, touched
from mvc.repo.touching import Touched

if TYPE_CHECKING:
    from mvc.cli.log_changes import Changes


class _Log(WithPaths):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take -5 for -n5, as git does."""
        end = args.index("--") if "--" in args else len(args)
        counts = [re.sub(r"\A-(?=[0-9]+\Z)", "-n", word) for word in args[:end]]
        return super().parse_args(ctx, counts + args[end:])


@click.command(
    "log",
    cls=_Log,
    epilog=examples(
        "mvc log --oneline --graph --all",
        "mvc log main..car-17",
        "mvc log -n 5 -- text/encoder.safetensors",
        "mvc log -- 'text/encoder.safetensors:encoder.layer.5.*'",
        "mvc log --stat --follow -- 'model.safetensors:head.*'",
    ),
)
@click.option("--oneline", is_flag=True, help="One line a commit.")
@click.option("--graph", is_flag=True, help="Draw how the commits follow from each other.")
@click.option("--all", "everything", is_flag=True, help="From all branches and tags.")
@click.option("-n", "--max-count", type=click.IntRange(0), metavar="N", help="At most N; also -N.")
@click.option("--author", metavar="TEXT", help="Only by authors with TEXT in their name.")
@click.option("--since", metavar="TIME", help="Only since 2025-11-21, yesterday, '2 weeks ago'.")
@click.option("--stat", is_flag=True, help="With what each changed, one line a layer or tensor.")
@click.option("-p", "--patch", is_flag=True, help="With what each changed, as mvc diff shows it.")
@click.option("--no-weights", is_flag=True, help="With --stat, -p: what changed, not how far.")
@click.option("--follow", is_flag=True, help="Follow files through renames and other formats.")
@click.option("--show-signature", is_flag=True, help="Verify signatures, as verify-commit does.")
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
    stat: bool,
    patch: bool,
    no_weights: bool,
    follow: bool,
    show_signature: bool,
    as_json: bool,
) -> None:
    """Show the history.

    After `--` only the commits that changed one of the PATHs: a file, a folder, a glob, or
    FILE:GLOB for tensors of a model file. What --stat and -p show is against the first parent.
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
        follow,
    )
    names = decorations(repo)
    judge = _judge(session) if show_signature else None
    changes = _changes(session, patch, no_weights) if stat or patch else None
    if as_json:
        from mvc.cli.shapes import version

        def shape(item: Touched) -> dict[str, object]:
            about = version(item.version, names.get(item.version.id, ()), judge)
            return {**about, "changes": changes.json(item)} if changes else about

        with files_meant(session, "log", revision):
            found = [shape(item) for item in touched(repo, request)]
        session.json(found)
        return

    def rendered() -> Iterator[str]:
        with files_meant(session, "log", revision):
            # Of a part of history, lines lead to what is shown next.
            part = graph and (request.filters or request.author or request.since)
            near = nearest(repo, request) if part else None
            lines = Lines(session, names, oneline=oneline, graph=graph, near=near, judge=judge)
            for item in touched(repo, request):
                yield from lines.of(item.version, changes.lines(item) if changes else [])

    session.page(rendered())


def _changes(session: Session, whole: bool, no_weights: bool) -> Changes:
    from mvc.cli.log_changes import Changes

    return Changes(session, whole=whole, weights=not no_weights)


def _judge(session: Session) -> Judge:
    from mvc.repo.signing import verify
    from mvc.repo.trust import Trust

    trust = Trust.of(session.repo)
    return lambda commit: verify(commit, trust)
