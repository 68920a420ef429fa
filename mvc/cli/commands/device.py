"""`mvc device`."""

from __future__ import annotations

import click

from mvc.base.errors import NotFoundError
from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.cli.arguments import examples, json_option
from mvc.cli.session import Session, pass_session


@click.group("device", epilog=examples("mvc device init cam-07 https://models.example.org/fleet"))
def command() -> None:
    """Set up a device of a fleet."""


@command.command(
    "init",
    epilog=examples(
        "mvc device init cam-07 fleet@models.example.org:fleet",
        "MVC_TOKEN=mvc_... mvc device init cam-07 https://models.example.org/fleet",
        "mvc device init cam-07 https://models.example.org/fleet --token-file /etc/mvc/token",
        exit_status="7 when the settings are written and the network failed.",
    ),
)
@click.option("--token-file", metavar="FILE", help="Where the token is; only its owner reads it.")
@click.option("--no-fetch", is_flag=True, help="Only write the settings.")
@json_option
@click.argument("name")
@click.argument("url")
@pass_session
def init(
    session: Session, name: str, url: str, token_file: str | None, no_fetch: bool, as_json: bool
) -> None:
    """Make this folder the repository of a device.

    Sets who commits, and the remote `origin` where branches are pushed to `devices/NAME/`. A token
    in MVC_TOKEN is kept in a file that only its owner can read. Then fetches; where there are no
    versions yet, the files become what the device had pushed before, or else the release `main`.
    """
    from mvc.cli.remoting import access, fetched_shape, traffic
    from mvc.ops.device import init

    try:
        repo = session.repo
    except NotFoundError:
        from mvc.ops.init import init as make

        make(session.directory, environment=session.environment())
        repo = session.repo
    done = init(
        repo,
        name,
        url,
        token_file=token_file,
        fetching=not no_fetch,
        access=access(session),
        progress=session.progress,
    )
    if as_json:
        began = done.began
        session.json(
            {
                "name": done.name,
                "url": done.url,
                "prefix": done.prefix,
                "token_file": done.token_file,
                "branch": repo.refs.head().branch,
                "commit": began.commit.hex() if began else None,
                "written": began.written if began else 0,
                "fetched": fetched_shape(done.fetched) if done.fetched else None,
            }
        )
        return
    session.say(f"device {escaped(done.name)} pushes to {escaped(done.prefix + '...')} of origin")
    if done.token_file is not None:
        session.say(f"its token is in {escaped(done.token_file)}")
    if done.fetched is not None and done.fetched.sent.parts:
        session.note(f"received {traffic(done.fetched.sent)}")
    if done.began is not None:
        files = counted(done.began.written, "file")
        at = f"{escaped(done.began.upstream)} at {short(done.began.commit)}"
        session.say(f"starts from {at}, {files} written")
    if done.left is not None:
        session.note(f"note: the release was not taken: {escaped(done.left)}")
