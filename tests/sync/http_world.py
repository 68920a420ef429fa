"""An HTTP server in this process, and requests to it as raw as a test wants them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.address import HttpAddress, parse
from mvc.sync.frames import frames
from mvc.sync.http_app import App, make_app
from mvc.sync.http_link import HttpLink, HttpSettings
from mvc.sync.http_server import HttpServer
from mvc.sync.link import Answer
from mvc.sync.messages import (
    Done,
    GiveReply,
    GiveRequest,
    PartRequest,
    RefsReply,
    RefsRequest,
    Request,
    encode_request,
)
from mvc.sync.served import Served
from mvc.sync.server_config import Limits, ServerConfig
from mvc.sync.tokens import Token, Tokens, parse_grants

TYPE = b"application/x-mvc"
STATE = ObjectId(b"s" * 32)
NAME = ObjectId(b"n" * 32)
REFS = RefsReply((), False, None, STATE, False, 1 << 20)
ALL = ("read:refs/", "append:refs/", "force:refs/")
MIB = 1 << 20


@dataclass
class Fake:
    """Answers as a service would, and remembers what it was asked."""

    who: str = ""
    asked: list[Request] = field(default_factory=list)
    received: int = 0
    act: Callable[[Request, Iterator[bytes]], Answer | None] = lambda request, body: None
    closed: int = 0

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        self.asked.append(request)
        special = self.act(request, body)
        if special is not None:
            return special
        if isinstance(request, PartRequest):
            for piece in body:
                self.received += len(piece)
            return Answer(Done(), iter(()))
        if isinstance(request, GiveRequest):
            size = len(request.objects) * MIB
            pieces = (bytes(MIB) for _ in request.objects)
            return Answer(GiveReply(NAME, size, 0), pieces)
        return Answer(REFS, iter(()))

    def close(self) -> None:
        self.closed += 1


@dataclass
class HttpWorld:
    """A root with a repository `fleet`, tokens, and a server that runs."""

    root: Path
    app: App
    server: HttpServer
    tokens: Tokens
    fake: Fake
    lines: list[str]

    def token(self, *grants: str, name: str = "ada", repository: str = "**", **more: int) -> str:
        held, server = parse_grants(grants)
        made = self.tokens.create(
            name, repositories=[repository], grants=held, server=server, **more
        )
        return made[1]

    @property
    def port(self) -> int:
        return int(self.server.address.rpartition(":")[2].strip("/"))

    def address(self, repository: str = "fleet") -> HttpAddress:
        found = parse(self.server.address + repository)
        assert isinstance(found, HttpAddress)
        return found

    def link(self, token: str | None, repository: str = "fleet", **settings: object) -> HttpLink:
        return HttpLink(self.address(repository), HttpSettings(token, **settings))  # type: ignore[arg-type]

    def raw(self, data: bytes, seconds: float = 20) -> bytes:
        """Send bytes as they are and return everything that comes until the end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as peer:
            peer.sendall(data)
            return received(peer)

    def post(
        self,
        path: bytes = b"/fleet/-/mvc/refs",
        token: str | None = None,
        body: bytes | None = None,
        method: bytes = b"POST",
        headers: bytes = b"",
    ) -> tuple[int, bytes]:
        """Return status and body of one request on a connection of its own."""
        data = request_body() if body is None else body
        if token is not None:
            headers += b"Authorization: Bearer %s\r\n" % token.encode()
        answer = self.raw(
            b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s"
            % (method, path, TYPE, len(data), headers, data)
        )
        head, _, rest = answer.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            rest = unchunked(rest)
        return int(head.split()[1]), rest

    def logged(self, **wanted: object) -> dict[str, object]:
        """Return the line about a request, which is written once it is over."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            for line in map(json.loads, list(self.lines)):
                if all(line.get(key) == value for key, value in wanted.items()):
                    found: dict[str, object] = line
                    return found
            time.sleep(0.01)
        raise AssertionError(f"nothing was logged with {wanted}")


def request_body(request: Request | None = None, body: tuple[bytes, ...] = ()) -> bytes:
    return b"".join(frames(encode_request(request or RefsRequest(())), body))


def received(peer: socket.socket) -> bytes:
    parts = []
    try:
        while part := peer.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        parts.append(b"")
    return b"".join(parts)


def unchunked(data: bytes) -> bytes:
    parts = []
    while data:
        size, _, data = data.partition(b"\r\n")
        parts.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return b"".join(parts)


@contextmanager
def running(
    root: Path,
    *,
    limits: Limits | None = None,
    config: ServerConfig | None = None,
    make: Callable[[Repository, Token], Fake] | None = None,
    prepare: Callable[[App], None] = lambda app: None,
) -> Iterator[HttpWorld]:
    """Run a server with a repository `fleet` and an asker who may be told how to act."""
    Repository.init(root / "fleet", bare=True).close()
    fake, lines, tokens = Fake(), list[str](), Tokens(root)
    config = config or ServerConfig(port=0)
    config = replace(config, limits=limits or config.limits)
    served = Served(root, make or (lambda repo, token: fake))
    app = make_app(config, served, tokens, lines.append)
    prepare(app)
    server = HttpServer(app, config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield HttpWorld(root, app, server, tokens, fake, lines)
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()
