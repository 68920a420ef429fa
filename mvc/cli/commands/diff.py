"""mvc diff: compare versions file by file and tensor by tensor."""

from __future__ import annotations

import posixpath
import shutil
import sys

import click

from mvc.cli.arguments import WithPaths, examples, files_meant, json_option, paths_after_dashes
from mvc.cli.session import Session, pass_session

EPILOG = examples(
    "mvc diff",
    "mvc diff HEAD~1 HEAD --stat",
    "mvc diff v1.0 main --html changes.html",
    "mvc diff v1.0..main -- model.safetensors:encoder.*",
    exit_status="with --exit-code 1 if anything differs, else 0.",
)


@click.command("diff", cls=WithPaths, epilog=EPILOG)
@click.argument("revisions", nargs=-1, metavar="[REV [REV]] [-- PATH[:TENSOR_GLOB]...]")
@click.option("--stat", is_flag=True, help="One line a tensor, with a bar.")
@click.option("--name-only", is_flag=True, help="Only the paths of files that differ.")
@click.option("--no-weights", is_flag=True, help="Only which tensors differ, not how far.")
@click.option("--html", metavar="FILE", help="Write a page with heat map and histograms.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything differs.")
@json_option
@click.pass_context
@pass_session
def command(
    session: Session,
    ctx: click.Context,
    revisions: tuple[str, ...],
    stat: bool,
    name_only: bool,
    no_weights: bool,
    html: str | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Compare versions file by file and tensor by tensor.

    Without a revision, HEAD with the working copy; with one, that version with the working copy;
    with two, or A..B, these versions. Bits decide what changed; norms are over all finite values.
    """
    from mvc.cli import diff_json, render_diff
    from mvc.cli.pages import check_target, write_diff
    from mvc.ops.diff import DiffRequest, diff

    if html is not None:
        check_target(session, html)
    paths = tuple(_from_root(session, text) for text in paths_after_dashes(ctx) or ())
    request = DiffRequest(revisions, paths, weights=not no_weights, names_only=name_only)
    with files_meant(session, "diff", revisions):
        result = diff(session.repo, request, session.progress)
    if html is not None:
        write_diff(session, html, result)
    if as_json:
        session.json(diff_json.as_json(result))
    elif html is not None:
        pass
    elif name_only:
        session.page(render_diff.name_lines(result))
    else:
        paper = render_diff.Paper(session.style, _columns(), _unicode())
        show = render_diff.stat_lines if stat else render_diff.lines
        session.page(show(result, paper))
    if exit_code and result.files:
        ctx.exit(1)


def _from_root(session: Session, text: str) -> str:
    """Return `PATH[:GLOB]`, seen from the folder the command runs in, as seen from the root."""
    root = session.repo.worktree
    if root is None or not session.directory.resolve().is_relative_to(root.resolve()):
        return text
    here = session.directory.resolve().relative_to(root.resolve()).as_posix()
    path, colon, glob = text.partition(":")
    return posixpath.normpath(posixpath.join(here, path)) + colon + glob


def _columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
