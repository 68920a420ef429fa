"""`mvc export`."""

from __future__ import annotations

from pathlib import Path

import click

from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.base.wording import size as sized
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import revisions
from mvc.cli.precision import note_reduced, precision_option
from mvc.cli.session import Session, pass_session


@click.command(
    "export",
    epilog=examples(
        "mvc export v1.0 ../release",
        "mvc export HEAD:text out",
        "mvc export --precision 16 HEAD small",
    ),
)
@precision_option
@json_option
@click.argument("revision", metavar="REV", shell_complete=revisions)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@pass_session
def command(
    session: Session, revision: str, folder: Path, precision: int | None, as_json: bool
) -> None:
    """Write the files of a version into a new folder.

    Works in bare repositories too. Every file is verified against its SHA-256. With --precision 16,
    float words come with their low bits zero; every word is verified then, too, but such a file
    has another SHA-256 than the one committed.
    """
    from mvc.ops.export import export

    done = export(
        session.repo, revision, session.path(folder), session.progress, precision=precision
    )
    if as_json:
        session.json(
            {
                "commit": done.commit.hex(),
                "files": done.files,
                "bytes": done.bytes,
                "reduced": list(done.reduced),
            }
        )
        return
    what = f"{counted(done.files, 'file')} ({sized(done.bytes)}) of {short(done.commit)}"
    session.say(f"{what} in {escaped(str(folder))}")
    note_reduced(session, done.reduced, here=False)
