"""`mvc serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mvc.base.errors import UsageError
from mvc.base.escape import escaped
from mvc.cli.arguments import examples
from mvc.cli.session import Session, pass_session

if TYPE_CHECKING:
    from mvc.sync.answering import Served

STDIN, STDOUT = 0, 1
_FILE = click.Path(path_type=Path)


@click.command(
    "serve",
    epilog=examples(
        "mvc serve /srv/models",
        "mvc serve /srv/models --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem",
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
@click.option("--config", metavar="FILE", type=_FILE, help="Settings of HTTP (docs/server.md).")
@click.option("--host", metavar="HOST", help="Where to listen, by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="By default 8417.")
@click.option("--tls-cert", metavar="FILE", type=_FILE, help="A certificate: HTTPS only.")
@click.option("--tls-key", metavar="FILE", type=_FILE, help="The key of the certificate.")
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    metavar="ADDRESS",
    multiple=True,
    help="Believe X-Forwarded-For of this address. May be repeated.",
)
@click.option(
    "-v", "--verbose", is_flag=True, help="A line of JSON on stderr for each request, as HTTP has."
)
@pass_session
def command(
    session: Session,
    /,
    path: str | None,
    stdio: bool,
    root: Path | None,
    device: str | None,
    append_only: bool,
    read_only: bool,
    verbose: bool,
    **http: Any,
) -> None:
    """Let other machines fetch and push.

    `mvc serve DIR` answers over HTTP for the bare repositories in DIR; `mvc token create DIR` says
    to whom. Each request is a line of JSON on stderr. SIGTERM and Ctrl-C let it finish what runs.

    `mvc serve --stdio PATH` is what a client runs through ssh. As the forced command of a key in
    authorized_keys, with --root, it lets that key do nothing else.
    """
    given = [name for name, value in http.items() if value]
    if not stdio:
        if root is not None or device is not None or append_only or read_only:
            raise UsageError(
                "--root, --device, --append-only and --read-only are for --stdio",
                hint="over HTTP, tokens say who may do what: `mvc token create --help`",
            )
        _serve_http(session, path, http)
        return
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')} is for HTTP, not for --stdio")
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


def _serve_http(session: Session, path: str | None, given: dict[str, Any]) -> None:
    if path is None:
        raise UsageError(
            "say what to serve",
            hint="`mvc serve DIR` serves HTTP, `mvc serve --stdio PATH` is what ssh runs",
        )
    from mvc.ops.serve_http import Started, configured, serve

    files = {
        name: None if given[name] is None else session.path(given[name])
        for name in ("config", "tls_cert", "tls_key")
    }
    config = configured(
        files["config"],
        host=given["host"],
        port=given["port"],
        tls_cert=files["tls_cert"],
        tls_key=files["tls_key"],
        trusted_proxies=given["trusted_proxies"],
    )

    def started(found: Started) -> None:
        if not found.tokens:
            session.note(
                "note: there is no token yet, so nobody can ask for anything; "
                f"hint: mvc token create {escaped(path)} --name NAME --grant read:refs/"
            )
        session.write(f"serving {escaped(str(found.root))} at {found.address}")
        sys.stdout.flush()

    serve(
        session.path(path),
        config,
        started=started,
        log=_line,
        environment=session.environment(),
    )


def _line(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _log(served: Served) -> None:
    import json
    from dataclasses import asdict

    _line(json.dumps(asdict(served)))
