"""Serve the bare repositories below a folder over HTTP."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from mvc.base import fileio
from mvc.base.errors import NotFoundError, UsageError
from mvc.repo.repository import Environment, Repository

if TYPE_CHECKING:
    from mvc.sync.served import Answering, Make
    from mvc.sync.server_config import ServerConfig
    from mvc.sync.tokens import Token

QUEUED_LINES = 10_000
# Long enough for a turn of an interpreter's thread, short enough for fifty of them.
SWITCH_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Started:
    """Where the server answers, and how many repositories and tokens there are."""

    address: str
    root: Path
    repositories: int
    tokens: int


def configured(
    file: Path | None,
    *,
    host: str | None = None,
    port: int | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    trusted_proxies: tuple[str, ...] = (),
) -> ServerConfig:
    """Return the settings of a file with what the command line says; raises UsageError."""
    from mvc.sync.server_config import ServerConfig, checked, read_config

    config = ServerConfig() if file is None else read_config(file)
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "trusted_proxies": trusted_proxies or None,
    }
    return checked(
        replace(config, **{key: item for key, item in given.items() if item is not None})
    )


def serve(
    root: Path,
    config: ServerConfig,
    *,
    started: Callable[[Started], None],
    log: Callable[[str], None],
    environment: Environment | None = None,
) -> None:
    """Answer requests until told to stop by SIGTERM or Ctrl-C; what runs is finished.

    `log` takes a line of JSON for each request, in a thread of its own. Raises NotFoundError and
    UsageError.
    """
    if not fileio.is_dir(root):
        raise NotFoundError(f"{root} is not a folder", hint=f"mkdir {root}")
    try:
        from mvc.sync.http_app import make_app
        from mvc.sync.http_server import HttpServer
    except ImportError as error:
        raise UsageError(
            "serving HTTP needs packages that are not installed",
            hint="pip install 'mvc[server]'",
        ) from error
    from mvc.sync.served import Served
    from mvc.sync.tokens import Tokens

    tokens, served = Tokens(root), Served(root, _services(config), environment)
    found = Started("", served.root, sum(1 for _ in served.names()), len(tokens.all()))
    _more_files()
    sys.setswitchinterval(SWITCH_SECONDS)
    with _written_elsewhere(log) as line:
        server = HttpServer(make_app(config, served, tokens, line), config)
        started(replace(found, address=server.address))
        server.run()


def _services(config: ServerConfig) -> Make:
    from mvc.sync.service import Bounds, Service

    space = config.space
    bounds = Bounds(space.part_bytes, space.quarantine_bytes_per_token, space.reserve_bytes)

    def make(repo: Repository, token: Token) -> Answering:
        return Service(repo, token.held(), token.who, bounds)

    return make


def _more_files() -> None:
    """Let this process have as many open files as it may."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _written_elsewhere(log: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Write lines in a thread, since whoever reads them may be slow; some are lost rather."""
    lines: queue.Queue[str | None] = queue.Queue(QUEUED_LINES)

    def write() -> None:
        while (line := lines.get()) is not None:
            log(line)

    def put(line: str) -> None:
        try:
            lines.put_nowait(line)
        except queue.Full:
            return

    writer = Thread(target=write, name="mvc-log", daemon=True)
    writer.start()
    try:
        yield put
    finally:
        lines.put(None)
        writer.join(timeout=5)
