"""One request to a repository over HTTP: the loop moves bytes, a thread answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mvc.base.errors import FormatError, LimitError, MvcError, UsageError
from mvc.sync.frames import WAITING, frames, read_message
from mvc.sync.http_access import PASS, Pass
from mvc.sync.http_body import GoneError, Inflow, Outflow, cut_off
from mvc.sync.http_refusal import STATUSES, TYPE, Refused, reply_headers
from mvc.sync.limits import MAX_MESSAGE, MAX_PART, WAIT_SECONDS
from mvc.sync.link import refusal
from mvc.sync.messages import PartRequest, Refusal, Request, decode_request, encode_reply
from mvc.sync.pace import Pace, SlowError
from mvc.sync.quotas import ExhaustedError, Quotas
from mvc.sync.served import Served
from mvc.sync.server_config import Limits
from mvc.sync.tokens import Token, Tokens

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MAX_BODY = MAX_PART + MAX_MESSAGE + (1 << 20)
"""Of a request, with its frames."""
PLACE_SECONDS = 5.0
PLACE_PAUSE = 0.25


@dataclass(slots=True)
class Record:
    """What is logged and counted of a request."""

    number: str
    who: str | None = None
    verb: str = "other"
    repository: str | None = None
    status: int = 0
    code: str | None = None
    came: int = 0
    went: int = 0
    failure: BaseException | None = None


@dataclass(slots=True)
class Exchanges:
    """Answers requests in threads of a pool, a bounded number at a time."""

    served: Served
    tokens: Tokens
    quotas: Quotas
    limits: Limits
    wait_seconds: float = WAIT_SECONDS
    place_seconds: float = PLACE_SECONDS
    draining: bool = False
    pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.limits.requests, "mvc-request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that was let in."""
        asker: Pass = scope[PASS]
        record: Record = scope["mvc.record"]
        _check_headers(scope)
        if self.draining:
            raise Refused("busy", "the server is about to stop", after=2)
        await self._enter(asker.token)
        loop = asyncio.get_running_loop()
        came, goes = Inflow(loop), Outflow(loop)
        work = _Work(self, asker, record, came, goes)
        # The place is free again when the thread has ended, however long nobody waits for it.
        loop.run_in_executor(self.pool, work.run)
        feed = asyncio.create_task(self._feed(receive, came, goes, asker.token))
        try:
            async with asyncio.timeout(self.limits.total_seconds):
                started = await self._reply(send, came, goes, asker.token)
                # Most clients read no reply before they have sent everything.
                came.discard()
                await came.over.wait()
            if goes.complete:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            elif not started:
                raise Refused("usage", "the request did not come to its end", status=408)
        except TimeoutError:
            record.code = record.code or "cut-off"
        finally:
            came.end(cut_off("it took too long"))
            goes.abandon()
            feed.cancel()
            await asyncio.wait([feed])

    async def _enter(self, token: Token) -> None:
        """Wait a moment for a place: to send a body twice would cost the client more."""
        until = time.monotonic() + self.place_seconds
        while True:
            try:
                return self.quotas.enter(token)
            except ExhaustedError as error:
                if time.monotonic() >= until:
                    raise Refused(error.code, error.message, after=error.after) from error
            await asyncio.sleep(PLACE_PAUSE)

    async def _feed(self, receive: Receive, came: Inflow, goes: Outflow, token: Token) -> None:
        """Pass the body on to the thread, then watch for the client to go away."""
        error = await self._body(receive, came, token)
        came.end(error)
        came.over.set()
        if error is None:
            while (await receive())["type"] == "http.request":
                pass
        if not isinstance(error, LimitError):
            goes.abandon()

    async def _body(self, receive: Receive, came: Inflow, token: Token) -> Exception | None:
        """Pass the body on; return why it is not whole, if it is not."""
        total, pace = 0, self._pace()
        while True:
            begun = time.monotonic()
            try:
                async with asyncio.timeout(self.limits.idle_seconds):
                    message = await receive()
                pace.note(time.monotonic() - begun, len(message.get("body", b"")))
            except TimeoutError:
                return cut_off("the client fell silent")
            except SlowError:
                return cut_off("the client is too slow")
            if message["type"] != "http.request":
                return cut_off("the client went away")
            piece = message.get("body", b"")
            total += len(piece)
            self.quotas.moved(token, len(piece))
            if total > MAX_BODY:
                return LimitError("a request is too long")
            await came.put(piece)
            if not message.get("more_body", False):
                return None

    async def _reply(self, send: Send, came: Inflow, goes: Outflow, token: Token) -> bool:
        """Send what the thread answers, and that it is at work while it does not.

        Return whether anything was sent.
        """
        started, pace = False, self._pace()
        while True:
            piece: bytes | None = b""
            try:
                async with asyncio.timeout(None if started and goes.status else self.wait_seconds):
                    piece = await goes.get()
            except TimeoutError:
                if not came.ended:
                    continue
                piece = WAITING
            if not started and piece is not None:
                started = True
                start = {"status": goes.status or 200, "headers": reply_headers()}
                await send({"type": "http.response.start", **start})
            if piece is None:
                return started
            self.quotas.moved(token, len(piece))
            begun = time.monotonic()
            async with asyncio.timeout(self.limits.idle_seconds):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            try:
                pace.note(time.monotonic() - begun, len(piece))
            except SlowError as error:
                raise TimeoutError from error

    def _pace(self) -> Pace:
        return Pace(self.limits.least_rate, self.limits.slow_seconds)


@dataclass(slots=True)
class _Work:
    """What the thread does."""

    exchanges: Exchanges
    asker: Pass
    record: Record
    came: Inflow
    goes: Outflow

    def run(self) -> None:
        """Answer, whatever happens."""
        try:
            self._answer()
        except GoneError:
            self.record.code = self.record.code or "cut-off"
        except ExhaustedError as error:
            self._refuse(Refusal(error.code, error.message, None, error.code == "busy"))
        except MvcError as error:
            if self.came.failed:
                self.record.code = "cut-off"
            else:
                self._refuse(self._told(error))
        except BaseException as error:  # noqa: BLE001 - nothing may end a thread in silence
            self.record.failure = error
            self._refuse(self._internal())
        finally:
            self.goes.end()
            self.exchanges.quotas.leave(self.asker.token)

    def _answer(self) -> None:
        target = self.asker.target
        if target is None:
            raise UsageError("a request names a repository")
        request, body = self._request()
        if target.verb != request.VERB:
            raise UsageError("a request has another verb than its address")
        with self.exchanges.served.serving(target.repository, self.asker.token) as server:
            if isinstance(request, PartRequest):
                with self.exchanges.quotas.room(request.head + request.tail):
                    answer = server.answer(request, body)
            else:
                answer = server.answer(request, body)
            with closing(self._allowed(answer.body)) as body:
                reply = frames(encode_reply(answer.reply), body)
                self.goes.start(200)
                self.goes.send(reply)

    def _request(self) -> tuple[Request, Iterator[bytes]]:
        try:
            message, body = read_message(self.came.read)
        except EOFError:
            raise UsageError("a request has no message") from None
        request = decode_request(message)
        body = self._allowed(self._whole(body))
        if not isinstance(request, PartRequest) and next(body, None) is not None:
            raise UsageError(f"{request.VERB} takes no body")
        return request, body

    def _whole(self, body: Iterator[bytes]) -> Iterator[bytes]:
        yield from body
        if self.came.read(1):
            raise FormatError("a request goes on behind its end")

    def _allowed(self, pieces: Iterator[bytes]) -> Generator[bytes, None, None]:
        """Pass pieces on while the token holds: to revoke it bites in the middle, too."""
        try:
            for piece in pieces:
                self._check_token()
                yield piece
        finally:
            if (close := getattr(pieces, "close", None)) is not None:
                close()

    def _check_token(self) -> None:
        if not self.exchanges.tokens.valid(self.asker.token):
            raise ExhaustedError("auth", "the token was revoked, or has expired", 1)

    def _told(self, error: MvcError) -> Refusal:
        """Return what the client may know of an error: nothing about files of the server."""
        found = refusal(error)
        if found.error in ("internal", "storage"):
            self.record.failure = error
            return self._internal(found.error)
        root = str(self.exchanges.served.root)
        if root in found.message or (found.hint and root in found.hint):
            self.record.failure = error
            return Refusal(found.error, "the server has refused", None, found.again)
        return found

    def _internal(self, code: str = "internal") -> Refusal:
        what = "the server's disk has refused" if code == "storage" else "the server has failed"
        text = f"{what}; its log says why in request {self.record.number}"
        return Refusal(code, text, None, True)

    def _refuse(self, found: Refusal) -> None:
        """Answer with a refusal, unless a reply has begun: then the client sees it cut off."""
        self.record.code = found.error
        if self.goes.status is not None:
            return
        with suppress(GoneError):
            self.goes.start(STATUSES.get(found.error, 200))
            self.goes.send(frames(encode_reply(found)))


def _check_headers(scope: Scope) -> None:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _ONCE and name in headers:
            raise Refused("usage", f"there are several {name.decode()} headers")
        headers[name] = value
    if headers.get(b"content-type", b"").lower() != TYPE.encode():
        raise Refused("usage", f"the type of a request is {TYPE}")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refused("usage", "a request is not compressed")
    length = headers.get(b"content-length")
    if length is not None and b"transfer-encoding" in headers:
        raise Refused("usage", "a request has two lengths")
    if length is not None and (not length.isdigit() or len(length) > MAX_DIGITS):
        raise Refused("usage", "the length of a request is malformed")
    if length is not None and int(length) > MAX_BODY:
        raise Refused("limit", "a request is too long")


MAX_DIGITS = 15
_ONCE = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
