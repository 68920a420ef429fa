"""`mvc blame`."""

from __future__ import annotations

import click

from mvc.cli.arguments import WithPaths, examples, json_option, paths_after_dashes
from mvc.cli.session import Session, pass_session


@click.command(
    "blame",
    cls=WithPaths,
    epilog=examples(
        "mvc blame model.safetensors",
        "mvc blame 'v1.0:model.safetensors:encoder.layer.5.*'",
        "mvc blame --layers --no-weights",
    ),
)
@click.option("--layers", is_flag=True, help="One line a layer.")
@click.option("--no-weights", is_flag=True, help="Only who and when: no weight is read.")
@json_option
@click.argument("words", nargs=-1, metavar="[REV] [FILE[:TENSOR_GLOB]]...")
@click.pass_context
@pass_session
def command(
    session: Session,
    ctx: click.Context,
    words: tuple[str, ...],
    layers: bool,
    no_weights: bool,
    as_json: bool,
) -> None:
    """Show which version changed each tensor last.

    With it: the device or author, the day, the share of elements that this version changed, and
    the L2 norm of the change relative to what was there before. Without a FILE, of all files of
    the version. Follows files and tensors through renames and other formats.
    """
    from mvc.ops.blame import BlameRequest, blame

    here = "" if session.repo.worktree is None else session.inside(".")
    request = BlameRequest(words, paths_after_dashes(ctx) or (), not no_weights, here)
    found = blame(session.repo, request, session.progress)
    if as_json:
        from mvc.cli.blame_json import as_json as shape

        session.json(shape(found))
        return
    from mvc.cli.render_blame import lines

    session.page(lines(found, session.style, layers=layers))
