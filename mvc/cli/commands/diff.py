"""mvc diff: compare versions file by file and tensor by tensor."""

from __future__ import annotations

import posixpath
import shutil
import sys
from typing import TYPE_CHECKING

import click

from mvc.base.errors import NotFoundError, UsageError
from mvc.cli.arguments import WithPaths, examples, files_meant, json_option, paths_after_dashes
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.ops.diff import DiffRequest, DiffResult

WORDS = 10
"""Elements of a tensor that --words shows."""

EPILOG = examples(
    "mvc diff",
    "mvc diff HEAD~1 HEAD --stat",
    "mvc diff v1.0 --tensor '*.bias' --top 10 --sort max --words",
    "mvc diff v1.0 main --html changes.html",
    "mvc diff v1.0:model.pt model.safetensors",
    "mvc diff --no-index old.onnx new.onnx",
    "mvc diff v1.0..main -- model.safetensors:encoder.*",
    exit_status="with --exit-code 1 if anything differs, else 0.",
)


class _Diff(WithPaths):
    """Takes `--words` with a number or without one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Say how many, where it is not said."""
        end = args.index("--") if "--" in args else len(args)
        for at, text in enumerate(args[:end]):
            following = args[at + 1] if at + 1 < end else ""
            if text == "--words" and not (following.isascii() and following.isdigit()):
                args[at] = f"--words={WORDS}"
        return super().parse_args(ctx, args)


@click.command("diff", cls=_Diff, epilog=EPILOG)
@click.argument("revisions", nargs=-1, metavar="[REV [REV]] [-- PATH[:TENSOR_GLOB]...]")
@click.option("--stat", is_flag=True, help="One line a layer, with a bar.")
@click.option("--name-only", is_flag=True, help="Only the paths of files that differ.")
@click.option("--no-weights", is_flag=True, help="Only which tensors differ, not how far.")
@click.option(
    "--tensor",
    "tensors",
    multiple=True,
    metavar="GLOB",
    help="Only tensors with such names; may be repeated.",
)
@click.option(
    "--sort",
    metavar="KEY",
    help="name, l2, relative, changed, max, cosine or bytes; -KEY reverses.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the N that changed most, of each file.",
)
@click.option(
    "--words",
    type=click.IntRange(min=1),
    metavar="[N]",
    help=f"Elements of each tensor, old and new: the N ({WORDS}) largest changes.",
)
@click.option("--first", is_flag=True, help="With --words: the first that differ.")
@click.option("--rank", is_flag=True, help="Effective rank of each change; takes longer.")
@click.option("--html", metavar="FILE", help="Write a page with heat map and histograms.")
@click.option("--no-index", is_flag=True, help="Two files or folders, in no repository.")
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
    tensors: tuple[str, ...],
    sort: str | None,
    top: int | None,
    words: int | None,
    first: bool,
    rank: bool,
    html: str | None,
    no_index: bool,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Compare versions file by file and tensor by tensor.

    Without a revision, HEAD with the working copy; with one, that version with the working copy;
    with two, or A..B, these versions. REV:PATH names one file, to be compared with another one,
    stored or on disk. Bits decide what changed; norms are over all finite values.
    """
    from mvc.cli import diff_json, render_diff
    from mvc.cli.pages import check_target, write_diff
    from mvc.cli.paper import Paper
    from mvc.diff.order import Order
    from mvc.ops.diff import DiffRequest, diff

    order = Order.parse(sort, top)
    unmeasured = no_weights or name_only
    if unmeasured and (rank or order.key not in ("name", "bytes")):
        raise UsageError("without weights there is no such number", hint="leave out --no-weights")
    if words and (stat or name_only):
        raise UsageError("--words shows elements of tensors", hint="leave out --stat, --name-only")
    if first and not words:
        raise UsageError("--first says which elements --words shows", hint="add --words")
    if html is not None:
        check_target(session, html, as_json=as_json)
    paths = tuple(paths_after_dashes(ctx) or ())
    if not no_index:
        _check_inside(session, revisions)
        paths = tuple(_from_root(session, text) for text in paths)
    request = DiffRequest(
        revisions,
        paths,
        weights=not no_weights and not name_only,
        names_only=name_only,
        tensors=tensors,
        rank=rank,
        elements=words or 0,
        first=first,
        folder=session.directory,
    )
    if no_index:
        result = _outside(session, request)
    else:
        with files_meant(session, "diff", revisions):
            result = diff(session.repo, request, session.progress)
    if html is not None:
        write_diff(session, html, result)
    if as_json:
        session.json(diff_json.as_json(result, order))
    elif html is not None:
        pass
    elif name_only:
        session.page(render_diff.name_lines(result))
    else:
        paper = Paper(session.style, _columns(), _unicode())
        show = render_diff.stat_lines if stat else render_diff.lines
        session.page(show(result, paper, order))
    if exit_code and result.files:
        ctx.exit(1)


def _check_inside(session: Session, names: tuple[str, ...]) -> None:
    """Where two files are named and there is no repository, say how to compare them."""
    from mvc.base import fileio

    try:
        _ = session.repo
    except NotFoundError as error:
        if len(names) == 2 and all(fileio.lexists(session.path(name)) for name in names):
            raise NotFoundError(
                error.message, hint=f"two files without one: mvc diff --no-index {' '.join(names)}"
            ) from error
        raise


def _outside(session: Session, request: DiffRequest) -> DiffResult:
    """Compare two paths, without looking for a repository around them."""
    from pathlib import Path

    from mvc.ops.diff_files import diff_files

    if len(request.revisions) != 2:
        raise UsageError("--no-index takes two files or folders", hint="mvc diff --no-index A B")
    old, new = map(Path, request.revisions)
    return diff_files(old, new, request, session.progress)


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
