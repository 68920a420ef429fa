"""`mvc rm`."""

from __future__ import annotations

import click

from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.command(
    "rm",
    epilog=examples(
        "mvc rm old.onnx",
        "mvc rm --cached notes.txt",
        exit_status="1 when a file has changes that no version holds.",
    ),
)
@click.option("--cached", is_flag=True, help="Keep the files, only stop tracking them.")
@click.option("-r", "recursive", is_flag=True, help="Take folders with all files below them.")
@click.option("-f", "--force", is_flag=True, help="Also files with changes not committed.")
@json_option
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@pass_session
def command(
    session: Session,
    paths: tuple[str, ...],
    cached: bool,
    recursive: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Remove files and stop tracking them.

    The next commit does not have them; earlier versions keep them.
    """
    from mvc.ops.rm import remove

    given = [session.path(path) for path in paths]
    done = remove(session.repo, given, cached=cached, force=force, recursive=recursive)
    if as_json:
        session.json({"removed": list(done.removed)})
        return
    for path in done.removed:
        session.say(f"{'no longer tracking' if cached else 'removed'} {escaped(path)}")
