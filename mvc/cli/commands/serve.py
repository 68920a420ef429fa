"""`mvc serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvc.base.errors import UsageError
from mvc.cli.arguments import examples
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.sync.answering import Served

STDIN, STDOUT = 0, 1


@click.command(
    "serve",
    epilog=examples(
        "mvc serve --stdio fleet",
        "mvc serve --stdio --root /srv/models --device cam-07 --append-only",
    ),
)
@click.argument("path", metavar="[PATH]", required=False)
@click.option("--stdio", is_flag=True, help="Answer on standard input and output, as ssh runs it.")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Serve repositories in DIR alone; the path comes from SSH_ORIGINAL_COMMAND.",
)
@click.option("--device", metavar="NAME", help="Who asks: reaches the branches devices/NAME/ only.")
@click.option("--append-only", is_flag=True, help="No branch goes back, none is deleted.")
@click.option("--read-only", is_flag=True, help="Nothing is received.")
@click.option("-v", "--verbose", is_flag=True, help="A line of JSON on stderr for each request.")
@pass_session
def command(
    session: Session,
    path: str | None,
    stdio: bool,
    root: Path | None,
    device: str | None,
    append_only: bool,
    read_only: bool,
    verbose: bool,
) -> None:
    """Let other machines fetch and push.

    `mvc serve --stdio PATH` is what a client runs through ssh. As the forced command of a key in
    authorized_keys, with --root, it lets that key do nothing else.
    """
    if not stdio:
        raise UsageError("say how to serve", hint="`mvc serve --stdio PATH` is what ssh runs")
    from mvc.ops.serve_stdio import ServeRequest, serve_stdio

    original = os.environ.get("SSH_ORIGINAL_COMMAND")
    request = ServeRequest(path, original, root, device, append_only, read_only)
    serve_stdio(
        request,
        session.directory,
        STDIN,
        STDOUT,
        environment=session.environment(),
        log=_log if verbose else lambda _: None,
    )


def _log(served: Served) -> None:
    import json
    from dataclasses import asdict

    sys.stderr.write(json.dumps(asdict(served)) + "\n")
    sys.stderr.flush()
