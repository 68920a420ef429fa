"""Runs the application: sockets, TLS, deadlines for connections, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mvc.base.errors import UsageError
from mvc.sync.http_app import App
from mvc.sync.server_config import Limits, ServerConfig

BACKLOG = 512


def listen(config: ServerConfig) -> socket.socket:
    """Return a socket that takes connections, or raise UsageError."""
    try:
        found = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, proto, _, address = found[0]
        opened = socket.socket(family, kind, proto)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {config.host} port {config.port}: {error.strerror or error}",
            hint="choose another --host or --port",
        ) from error
    return opened


class HttpServer:
    """A server that listens from the start and answers while it runs.

    Raises UsageError where it cannot listen, or where the certificate cannot be used.
    """

    def __init__(self, app: App, config: ServerConfig) -> None:
        self._app = app
        self._config = config
        self._server = _Server(_settings(app, config), app)
        self._socket = listen(config)

    @property
    def address(self) -> str:
        """The URL of the root."""
        scheme = "https" if self._config.tls_cert else "http"
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"{scheme}://{host}:{self._socket.getsockname()[1]}/"

    def run(self) -> None:
        """Answer until SIGTERM, Ctrl-C or `stop`, then finish what runs."""
        with suppress(KeyboardInterrupt):
            # The signal that ended it is raised again once everything is over.
            self._server.run(sockets=[self._socket])
        pool = self._app.exchanges.pool
        pool.shutdown(wait=not self._server.force_exit, cancel_futures=True)
        self._app.exchanges.served.close()
        self._app.exchanges.quotas.close()

    def stop(self) -> None:
        """Let `run` come to its end; from any thread."""
        self._server.should_exit = True


def _settings(app: App, config: ServerConfig) -> uvicorn.Config:
    limits = config.limits
    settings = uvicorn.Config(
        app,
        http=type("Connection", (_Connection,), {"limits": limits}),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=list(config.trusted_proxies),
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=limits.shutdown_seconds,
        h11_max_incomplete_event_size=limits.header_bytes,
        ssl_certfile=config.tls_cert,
        ssl_keyfile=None if config.tls_key is None else str(config.tls_key),
    )
    log = logging.getLogger("uvicorn.error")
    log.handlers = [_Lines(app.log)]
    log.propagate = False
    log.setLevel(logging.WARNING)
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"the certificate or its key cannot be used: {error}") from error
    return settings


class _Server(uvicorn.Server):
    """Tells the application to take no more before it waits for what runs."""

    def __init__(self, settings: uvicorn.Config, app: App) -> None:
        super().__init__(settings)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.exchanges.draining = True
        await super().shutdown(sockets)


class _Lines(logging.Handler):
    """What the HTTP library remarks, as lines of JSON."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        import json

        self._log(json.dumps({"server": record.getMessage()[:500].strip()}))


class _Connection(H11Protocol):
    """A connection that ends when a request does not come, or a reply is not taken."""

    limits: ClassVar[Limits]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._since: float | None = None
        self._closing = 0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def awaited(self) -> float | None:
        """Since when the head of a request has been awaited, None while it is not."""
        return None if self.answering else self._since

    @property
    def answering(self) -> bool:
        """Tell whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._check()
        if len(self.connections) > self.limits.connections:
            _drop_one(self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._since is None:
            self._since = self.loop.time()
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._since = None
        super().on_response_complete()

    def _check(self) -> None:
        since = self.awaited
        late = since is not None and self.loop.time() - since > self.limits.header_seconds
        self._closing += self.transport.is_closing()
        if late or self._closing > self.limits.idle_seconds:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(1.0, self._check)


def _drop_one(connections: Any) -> None:
    """Abort the connection whose request has been awaited longest: whoever works goes on."""
    waiting = [item for item in connections if not item.answering]
    if waiting:
        # Those between two requests come last.
        min(waiting, key=lambda item: item.awaited or math.inf).transport.abort()
