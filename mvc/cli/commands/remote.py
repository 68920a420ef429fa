"""`mvc remote`."""

from __future__ import annotations

import click

from mvc.base.escape import escaped
from mvc.cli.arguments import examples, json_option
from mvc.cli.complete import remotes as offered
from mvc.cli.session import Session, pass_session


@click.group(
    "remote",
    invoke_without_command=True,
    epilog=examples(
        "mvc remote -v",
        "mvc remote add origin ssh://models.example.org/srv/fleet",
        "mvc remote set-url origin https://models.example.org/fleet",
        "mvc remote rename origin hub",
    ),
)
@click.option("-v", "--verbose", is_flag=True, help="With their addresses.")
@json_option
@click.pass_context
def command(ctx: click.Context, verbose: bool, as_json: bool) -> None:
    """List, add, change and remove remotes.

    A remote is another repository that has a name here: a path, HOST:PATH, ssh://HOST/PATH or
    https://HOST/NAME. Without a sub-command, lists them.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx.ensure_object(Session), verbose=verbose, as_json=as_json)


@command.command("list")
@click.option("-v", "--verbose", is_flag=True, help="With their addresses.")
@json_option
@pass_session
def listing(session: Session, verbose: bool, as_json: bool) -> None:
    """List the remotes."""
    _list(session, verbose=verbose, as_json=as_json)


def _list(session: Session, *, verbose: bool, as_json: bool) -> None:
    from mvc.repo.remotes import remotes

    found = remotes(session.repo)
    if as_json:
        session.json(
            [
                {
                    "name": item.name,
                    "url": item.url,
                    "prefix": item.prefix,
                    "token_file": item.token_file,
                }
                for item in found
            ]
        )
        return
    width = max((len(item.name) for item in found), default=0)
    for item in found:
        pushed = f" (pushes to {item.prefix})" if item.prefix else ""
        about = f"{item.name:<{width}} {item.url}{pushed}" if verbose else item.name
        session.write(escaped(about))


@command.command("add")
@click.option("--prefix", default="", metavar="PREFIX", help="Push branches to PREFIX + name.")
@click.option("--token-file", metavar="FILE", help="Where the token is, for https.")
@click.argument("name")
@click.argument("url")
@pass_session
def add(session: Session, name: str, url: str, prefix: str, token_file: str | None) -> None:
    """Give another repository a name.

    A path is seen from the current folder.
    """
    from mvc.ops.remote import add

    found = add(
        session.repo, name, url, prefix=prefix, token_file=token_file, here=session.directory
    )
    session.say(f"remote {escaped(found.name)} is {escaped(found.url)}")


@command.command("set-url")
@click.argument("name", shell_complete=offered)
@click.argument("url")
@pass_session
def set_url(session: Session, name: str, url: str) -> None:
    """Change where a remote is."""
    from mvc.ops.remote import set_url

    found = set_url(session.repo, name, url, here=session.directory)
    session.say(f"remote {escaped(found.name)} is {escaped(found.url)}")


@command.command("rename")
@click.argument("old", shell_complete=offered)
@click.argument("new")
@pass_session
def rename(session: Session, old: str, new: str) -> None:
    """Give a remote another name."""
    from mvc.repo.remotes import rename

    rename(session.repo, old, new)
    session.say(f"remote {escaped(old)} is called {escaped(new)} now")


@command.command("remove")
@click.argument("name", shell_complete=offered)
@pass_session
def remove(session: Session, name: str) -> None:
    """Forget a remote and what was seen of it.

    Branches here and versions that they lead to stay.
    """
    from mvc.repo.remotes import remove

    followers = remove(session.repo, name)
    tail = f"; {', '.join(followers)} followed it" if followers else ""
    session.say(escaped(f"remote {name} is forgotten{tail}"))
