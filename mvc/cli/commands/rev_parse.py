"""`mvc rev-parse`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.base.wording import short as shortened
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command(
    "rev-parse",
    epilog=examples(
        "mvc rev-parse HEAD~1 v1.0",
        "mvc rev-parse main:model.onnx",
        "mvc rev-parse --abbrev-ref HEAD",
        exit_status="3 when there is no such revision.",
    ),
)
@click.option("--short", is_flag=True, help="Abbreviate the ids.")
@click.option("--show-toplevel", is_flag=True, help="Print the folder of the working copy.")
@click.option("--mvc-dir", is_flag=True, help="Print the folder of the repository.")
@click.option("--abbrev-ref", is_flag=True, help="Print names: of HEAD the current branch.")
@json_option
@click.argument("revision", nargs=-1, shell_complete=revisions)
@pass_session
def command(
    session: Session,
    revision: tuple[str, ...],
    short: bool,
    show_toplevel: bool,
    mvc_dir: bool,
    abbrev_ref: bool,
    as_json: bool,
) -> None:
    """Turn revisions into ids.

    `REV:PATH` gives the id of a file or folder.
    """
    from mvc.repo.revisions import find, resolve

    repo = session.repo
    found: list[str] = []
    if show_toplevel:
        found.append(str(repo.root))
    if mvc_dir:
        found.append(str(repo.folder))
    for spec in revision:
        if abbrev_ref and spec in ("HEAD", "@"):
            found.append(repo.refs.head().branch or "HEAD")
            continue
        item = find(repo, spec).entry.id if ":" in spec else resolve(repo, spec)
        found.append(spec if abbrev_ref else shortened(item) if short else item.hex())
    if not found:
        raise UsageError("rev-parse needs a revision", hint="mvc rev-parse HEAD")
    if as_json:
        session.json(found)
        return
    for line in found:
        session.write(line)
