"""`mvc init`."""

from __future__ import annotations

from pathlib import Path

import click

from mvc.base.escape import escaped
from mvc.cli.arguments import examples
from mvc.cli.session import Session, pass_session


@click.command("init", epilog=examples("mvc init", "mvc init --bare fleet.mvc"))
@click.option("--bare", is_flag=True, help="No working copy: a place to push to.")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@pass_session
def command(session: Session, folder: Path, bare: bool) -> None:
    """Make a repository.

    Makes one in DIR, by default here; the folder is made if it does not exist. A repository
    that is there already stays as it is.
    """
    from mvc.ops.init import init

    done = init(session.path(folder), bare=bare, environment=session.environment())
    what = "bare repository" if done.bare else "repository"
    where = escaped(str(done.folder))
    session.say(f"{what} exists in {where}" if done.existed else f"empty {what} in {where}")
