"""`mvc reset`."""

from __future__ import annotations

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.base.wording import short
from mvc.cli.arguments import examples, files_meant, json_option
from mvc.cli.complete import revisions
from mvc.cli.session import Session, pass_session


@click.command("reset", epilog=examples("mvc reset HEAD~1", "mvc reset --hard v1.0"))
@click.option("--soft", is_flag=True, help="Keep the files as they are (the default).")
@click.option("--hard", is_flag=True, help="Also the files, dropping changes.")
@json_option
@click.argument("revision", default="HEAD", shell_complete=revisions)
@pass_session
def command(session: Session, revision: str, soft: bool, hard: bool, as_json: bool) -> None:
    """Move the current branch to another version.

    Where it was stays in `mvc reflog`, so `mvc reset 'HEAD@{1}'` takes it back.
    """
    if soft and hard:
        raise UsageError("--soft keeps the files, --hard does not: choose one")
    from mvc.ops.reset import reset

    with files_meant(session, "reset", (revision,), instead="mvc restore {here}"):
        done = reset(session.repo, revision, hard=hard, progress=session.progress)
    if as_json:
        session.json({"branch": done.branch, "commit": done.commit.hex()})
        return
    who = escaped(done.branch) if done.branch else "HEAD"
    session.say(f"{who} is now at {session.style(short(done.commit), 'yellow')}")
