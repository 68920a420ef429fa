"""The HTTP server as an ASGI application: one edge, one layer of access, three routes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from secrets import token_hex
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from mvc.base.clock import system_clock
from mvc.sync.http_access import HEALTH, PASS, Access
from mvc.sync.http_exchange import MAX_BODY, Exchanges, Record
from mvc.sync.http_refusal import Refused, body_of
from mvc.sync.messages import VERBS
from mvc.sync.metrics import TYPE, Metrics
from mvc.sync.quota_file import QuotaFile
from mvc.sync.quotas import Quotas
from mvc.sync.served import Served
from mvc.sync.server_config import ServerConfig
from mvc.sync.tokens import FOLDER, Tokens

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

RECORD = "mvc.record"
DRAIN_SECONDS = 120.0


@dataclass(slots=True)
class App:
    """The application. `log` takes one line of JSON for each request."""

    access: Access
    exchanges: Exchanges
    log: Callable[[str], None]
    metrics: Metrics = field(default_factory=Metrics)
    routes: Router = field(init=False)

    def __post_init__(self) -> None:
        self.routes = Router(
            [
                Route("/healthz", self._health, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/{repository:path}/-/mvc/{verb}", self.exchanges, methods=["POST"]),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whatever it is."""
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is spoken here")
        record = Record(token_hex(8))
        began = time.monotonic()
        watched = _Watched(record, receive, send)
        scope = {**scope, RECORD: record}
        try:
            await self._pass(scope, record, watched)
        except Refused as refused:
            record.code = refused.refusal.error
            record.who = record.who or refused.who
            if not watched.started:
                await watched.refuse(refused)
        except Exception as error:  # noqa: BLE001 - the connection ends, the server goes on
            record.failure, record.code = error, "internal"
            if not watched.started:
                await watched.refuse(_failed(record))
        finally:
            self._tell(scope, record, time.monotonic() - began)

    async def _pass(self, scope: Scope, record: Record, watched: _Watched) -> None:
        asker = self.access.admit(scope)
        if asker is not None:
            scope[PASS] = asker
            record.who = asker.token.who
            if asker.target is not None:
                record.repository = asker.target.repository
                record.verb = asker.target.verb if asker.target.verb in VERBS else "other"
        await self.routes(scope, watched.receive, watched.send)

    async def _health(self, request: Request) -> Response:
        stopping = self.exchanges.draining
        return PlainTextResponse(
            "stopping\n" if stopping else "ok\n",
            503 if stopping else 200,
            headers={"cache-control": "no-store"},
        )

    async def _metrics(self, request: Request) -> Response:
        quotas = self.access.quotas
        gauges = {"requests_running": quotas.running, "part_bytes_arriving": quotas.arriving}
        return Response(self.metrics.text(gauges), media_type=TYPE)

    def _tell(self, scope: Scope, record: Record, seconds: float) -> None:
        self.metrics.answered(
            record.verb, record.status, record.code, seconds, record.came, record.went
        )
        if scope["raw_path"] == HEALTH and record.status == HTTPStatus.OK:
            return
        client = scope.get("client")
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": record.number,
            "client": client[0] if client else None,
            "method": scope["method"][:20],
            "path": scope["raw_path"][:500].decode("latin-1"),
            "repository": record.repository,
            "who": record.who,
            "status": record.status,
            "code": record.code,
            "in": record.came,
            "out": record.went,
            "ms": round(seconds * 1000, 1),
        }
        if record.failure is not None:
            line["failure"] = "".join(format_exception(record.failure))[-4000:]
        self.log(json.dumps(line))


class _Watched:
    """A request's two directions, with what is logged of them."""

    def __init__(self, record: Record, receive: Receive, send: Send) -> None:
        self._record = record
        self._receive = receive
        self._send = send
        self._more = True
        self.started = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._record.came += len(message.get("body", b""))
            self._more = message.get("more_body", False)
        else:
            self._more = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._record.status, self.started = message["status"], True
        else:
            self._record.went += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Answer a request that nobody has read; read the rest of it, since most clients write all.

        The answer ends only then, because a connection that is closed while bytes still come may
        take the answer with it.
        """
        body = body_of(refused.refusal)
        start = {"status": refused.status, "headers": refused.headers()}
        await self.send({"type": "http.response.start", **start})
        await self.send({"type": "http.response.body", "body": body, "more_body": True})
        if not refused.final:
            await self._drain()
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._more and self._record.came <= MAX_BODY:
                    await self.receive()
        except TimeoutError:
            return


def _failed(record: Record) -> Refused:
    text = f"the server has failed; its log says why in request {record.number}"
    return Refused("internal", text)


def make_app(
    config: ServerConfig,
    served: Served,
    tokens: Tokens,
    log: Callable[[str], None],
    *,
    clock: Callable[[], int] = system_clock,
    seconds: Callable[[], float] = time.monotonic,
) -> App:
    """Return the application for the repositories of `served`."""
    kept = QuotaFile(served.root / FOLDER)
    quotas = Quotas(
        config.limits, config.space, seconds, served.lying, kept, lambda: clock() / 1_000_000
    )
    access = Access(tokens, quotas, config.allowed_hosts(), clock)
    return App(access, Exchanges(served, tokens, quotas, config.limits), log)
