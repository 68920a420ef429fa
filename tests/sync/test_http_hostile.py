"""Requests as nobody who means well sends them: refused or cut off, and the server goes on."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mvc.base.errors import NetworkError
from mvc.sync.frames import BODY, END, MESSAGE, WAITING
from mvc.sync.http_link import HttpLink
from mvc.sync.limits import MAX_MESSAGE, MAX_PIECE, MAX_WAITS
from mvc.sync.link import Answer
from mvc.sync.messages import PartRequest, RefsRequest, Request, encode_request
from mvc.sync.server_config import Limits
from tests.sync.http_world import (
    ALL,
    MIB,
    NAME,
    REFS,
    TYPE,
    HttpWorld,
    received,
    request_body,
    running,
)
from tests.sync.test_http_access import refusal

LIMITS = Limits(
    requests=4,
    requests_per_token=3,
    connections=40,
    header_bytes=8192,
    header_seconds=2,
    idle_seconds=2,
    total_seconds=5,
)
BUSY = 503


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpWorld]:
    def prepare(app: object) -> None:
        app.exchanges.place_seconds = 0.1  # type: ignore[attr-defined]

    with running(tmp_path_factory.mktemp("root"), limits=LIMITS, prepare=prepare) as found:
        yield found


@pytest.fixture(scope="module")
def token(world: HttpWorld) -> str:
    return world.token(*ALL)


@pytest.fixture(autouse=True)
def still_well(world: HttpWorld, token: str) -> Iterator[None]:
    world.fake.act = lambda request, body: None
    yield
    world.fake.act = lambda request, body: None
    until = time.monotonic() + 20
    while (status := world.post(token=token)[0]) == BUSY and time.monotonic() < until:
        time.sleep(0.02)
    assert status == 200
    while world.app.access.quotas.running and time.monotonic() < until:
        time.sleep(0.02)
    assert world.app.access.quotas.running == 0
    assert not [line for line in world.lines if "Traceback" in line]


def head(token: str, *lines: bytes, verb: bytes = b"refs") -> bytes:
    first = b"POST /fleet/-/mvc/%s HTTP/1.1" % verb
    own = (b"Host: localhost", b"Authorization: Bearer " + token.encode(), b"Content-Type: " + TYPE)
    return b"\r\n".join((first, *own, *lines)) + b"\r\n\r\n"


def frame(kind: int, content: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<BI", kind, len(content) if length is None else length) + content


REQUEST = frame(MESSAGE, encode_request(RefsRequest(())))
PART = frame(MESSAGE, encode_request(PartRequest(NAME, 4, 0)))


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: -5",),
        (b"Content-Length: +5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 5, 6",),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 99999999999999999999999",),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: xchunked",),
        (b"Content-Length: 5", b"Content-Encoding: gzip"),
        (b"Content-Length: 5", b"Content-Type: application/x-mvc"),
        (b"Content-Length : 5",),
        (b"X: a\0b", b"Content-Length: 5"),
        (b"X: " + b"a" * 20_000,),
        tuple(b"X-%d: a" % number for number in range(2000)),
    ],
)
def test_a_head_that_contradicts_itself_is_refused(
    world: HttpWorld, token: str, lines: tuple[bytes, ...]
) -> None:
    before = len(world.fake.asked)
    answer = world.raw(head(token, b"Connection: close", *lines) + b"5\r\nhello\r\n0\r\n\r\n")
    assert not answer or answer.split()[1] in (b"400", b"413", b"431", b"501")
    assert len(world.fake.asked) == before


@pytest.mark.parametrize("kind", [b"text/plain", b"multipart/form-data; boundary=x", b""])
def test_bodies_of_another_type_are_not_looked_at(
    world: HttpWorld, token: str, kind: bytes
) -> None:
    body = request_body()
    data = head(token, b"Connection: close", b"Content-Length: %d" % len(body)) + body
    answer = world.raw(data.replace(b"Content-Type: " + TYPE, b"Content-Type: " + kind))
    assert answer.split()[1] == b"400"


def test_no_length_means_no_body(world: HttpWorld, token: str) -> None:
    answer = world.raw(head(token, b"Connection: close") + request_body())
    assert answer.split()[1] == b"400"


@pytest.mark.parametrize(
    "chunk", [b"-5\r\nhello", b"+5\r\nhello", b"0x5\r\nhello", b"zz\r\n", b"5" * 40]
)
def test_malformed_chunks_end_the_request(world: HttpWorld, token: str, chunk: bytes) -> None:
    before = len(world.fake.asked)
    data = head(token, b"Transfer-Encoding: chunked") + chunk + b"\r\n0\r\n\r\n"
    world.raw(data)
    assert len(world.fake.asked) == before


def test_a_length_above_the_limit_is_refused_at_once(world: HttpWorld, token: str) -> None:
    answer = world.raw(head(token, b"Content-Length: %d" % (1 << 32)))
    assert answer.split()[1] == b"413"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "usage"),
        (b"\1", "format"),
        (REQUEST, "format"),
        (REQUEST[:-1], "format"),
        (REQUEST + frame(END) + b"x", "format"),
        (REQUEST + frame(END) + REQUEST + frame(END), "format"),
        (REQUEST + frame(BODY, b"x") + frame(END), "usage"),
        (REQUEST + frame(BODY) + frame(END), "format"),
        (REQUEST + REQUEST, "format"),
        (frame(END), "format"),
        (frame(BODY, b"x"), "format"),
        (frame(9, b"x"), "format"),
        (frame(MESSAGE, length=MAX_MESSAGE + 1), "limit"),
        (frame(MESSAGE, length=0xFFFFFFFF), "limit"),
        (frame(MESSAGE), "format"),
        (frame(MESSAGE, b"\xdf\xff\xff\xff\xff"), "format"),
        (frame(MESSAGE, b"\xc0") + frame(END), "format"),
        (WAITING * (MAX_WAITS + 1) + REQUEST + frame(END), "format"),
        (REQUEST.replace(b"refs", b"push") + frame(END), "format"),
        (REQUEST.replace(b"\xa3mvc\x01", b"\xa3mvc\x02") + frame(END), "version"),
        (frame(MESSAGE, encode_request(PartRequest(NAME, 1, 0))) + frame(END), "usage"),
    ],
)
def test_frames_out_of_order_are_refused(
    world: HttpWorld, token: str, body: bytes, code: str
) -> None:
    before = len(world.fake.asked)
    told = refusal(world.post(token=token, body=body)[1])
    assert told.error == code
    assert not told.again
    assert len(world.fake.asked) == before


@pytest.mark.parametrize(
    "body",
    [
        PART + frame(BODY, b"12"),
        PART + frame(BODY, length=MAX_PIECE + 1),
        PART + frame(BODY, b"1234") + frame(END) + b"x",
        PART + frame(BODY, b"1234") + PART,
        PART + frame(BODY, b"1234") + frame(BODY),
    ],
)
def test_a_body_that_is_not_framed_well_is_refused(
    world: HttpWorld, token: str, body: bytes
) -> None:
    told = refusal(world.post(b"/fleet/-/mvc/part", token, body)[1])
    assert told.error in ("format", "limit")


def test_a_silent_client_is_cut_off(world: HttpWorld, token: str) -> None:
    peers = []
    for sent in (
        b"",
        b"POST /fl",
        head(token, b"Content-Length: 100")[:-2],
        head(token, b"Content-Length: 100"),
        head(token, b"Content-Length: 100") + REQUEST[:10],
        head(token, b"Transfer-Encoding: chunked", verb=b"part") + b"fff\r\n" + PART,
    ):
        peers.append(socket.create_connection(("127.0.0.1", world.port), timeout=30))
        peers[-1].sendall(sent)
    for peer in peers:
        with peer:
            answer = received(peer)
        assert not answer or answer.split()[1] in (b"408", b"503")


def drip(peer: socket.socket, stop: threading.Event) -> None:
    try:
        while not stop.wait(0.2):
            peer.sendall(b"1\r\n\x01\r\n")
    except OSError:
        return


@pytest.mark.parametrize("within", ["head", "body"])
def test_a_client_that_drips_is_cut_off(world: HttpWorld, token: str, within: str) -> None:
    start = head(token, b"Transfer-Encoding: chunked", verb=b"part")
    start = start[:-2] + b"X: " if within == "head" else start
    stop = threading.Event()
    with socket.create_connection(("127.0.0.1", world.port), timeout=30) as peer:
        peer.sendall(start)
        if within == "body":
            peer.sendall(b"%x\r\n%s\r\n" % (len(PART), PART))
            endless = frame(BODY, length=MAX_PIECE)
            peer.sendall(b"%x\r\n%s\r\n" % (len(endless), endless))
        thread = threading.Thread(target=drip, args=(peer, stop))
        thread.start()
        try:
            received(peer)
        finally:
            stop.set()
            thread.join()


def test_a_client_slower_than_is_asked_for_is_cut_off(tmp_path: Path) -> None:
    limits = Limits(idle_seconds=20, total_seconds=60, least_rate=2000, slow_seconds=1)
    with running(tmp_path, limits=limits) as world:
        key, stop = world.token(*ALL), threading.Event()
        with socket.create_connection(("127.0.0.1", world.port), timeout=30) as peer:
            peer.sendall(head(key, b"Transfer-Encoding: chunked", verb=b"part"))
            peer.sendall(b"%x\r\n%s\r\n" % (len(PART), PART))
            thread = threading.Thread(target=drip, args=(peer, stop))
            thread.start()
            begun = time.monotonic()
            try:
                received(peer)
            finally:
                stop.set()
                thread.join()
        assert time.monotonic() - begun < 20


def test_a_client_that_does_not_read_its_reply_is_cut_off(world: HttpWorld, token: str) -> None:
    from mvc.sync.messages import GiveReply
    from tests.sync.test_http import give

    sent = [0]
    over = threading.Event()

    def act(request: Request, body: Iterator[bytes]) -> Answer:
        def pieces() -> Iterator[bytes]:
            try:
                for _ in range(10_000):
                    sent[0] += MIB
                    yield bytes(MIB)
            finally:
                over.set()

        return Answer(GiveReply(NAME, 1 << 40, 0), pieces())

    world.fake.act = act
    body = request_body(give(1))
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", world.port))
        peer.sendall(head(token, b"Content-Length: %d" % len(body), verb=b"give") + body)
        assert over.wait(30)
        # What was made is what fits into queues and sockets.
        assert sent[0] < 32 * MIB


def test_more_at_once_than_allowed_is_told_to_come_again(world: HttpWorld, token: str) -> None:
    go = threading.Event()
    begun = threading.Semaphore(0)

    def act(request: Request, body: Iterator[bytes]) -> None:
        begun.release()
        go.wait(30)

    world.fake.act = act
    waiting = [threading.Thread(target=world.post, kwargs={"token": token}) for _ in range(3)]
    for thread in waiting:
        thread.start()
    for _ in waiting:
        assert begun.acquire(timeout=20)
    try:
        body = request_body()
        answer = world.raw(
            head(token, b"Connection: close", b"Content-Length: %d" % len(body)) + body
        )
        assert answer.split()[1] == b"503"
        assert b"\r\nretry-after: 1\r\n" in answer
        link = world.link(token)
        with pytest.raises(NetworkError, match="too many requests"):
            link.ask(RefsRequest(()))
        # One that is large: the refusal arrives although nobody wanted the body.
        with pytest.raises(NetworkError, match="too many requests"):
            link.ask(PartRequest(NAME, 8 * MIB, 0), [bytes(8 * MIB)])
        link.close()
        # Somebody else still gets a place.
        other = world.token(*ALL, name="other")
        waiting.append(threading.Thread(target=world.post, kwargs={"token": other}))
        waiting[-1].start()
        assert begun.acquire(timeout=20)
        assert world.post(b"/healthz", method=b"GET")[0] == 200
    finally:
        go.set()
        for waiter in waiting:
            waiter.join(20)


def test_idle_connections_give_way_to_those_that_work(world: HttpWorld, token: str) -> None:
    idle = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(120)]
    try:
        for _ in range(5):
            assert world.post(b"/healthz", method=b"GET")[0] == 200
            assert world.post(token=token)[0] == 200
    finally:
        for peer in idle:
            peer.close()


def test_clients_that_vanish_leave_nothing_behind(world: HttpWorld, token: str) -> None:
    body = PART + frame(BODY, b"12")
    for cut in range(0, len(body), 3):
        peer = socket.create_connection(("127.0.0.1", world.port))
        peer.sendall(head(token, b"Content-Length: 100000", verb=b"part") + body[:cut])
        if cut % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


def test_pipelined_requests_are_answered_in_order(world: HttpWorld, token: str) -> None:
    body = request_body()
    one = head(token, b"Content-Length: %d" % len(body)) + body
    last = head(token, b"Connection: close", b"Content-Length: %d" % len(body)) + body
    answer = world.raw(one * 5 + last)
    assert answer.count(b"HTTP/1.1 200") == 6


def test_a_websocket_is_not_spoken_here(world: HttpWorld, token: str) -> None:
    answer = world.raw(
        head(token, b"Connection: Upgrade, close", b"Upgrade: websocket", b"Content-Length: 0")
    )
    assert answer.split()[1] == b"400"


def ask_until_refused(link: HttpLink) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        link.ask(RefsRequest(()))


def test_a_server_that_stops_finishes_what_runs_and_takes_no_more(tmp_path: Path) -> None:
    go, begun = threading.Event(), threading.Event()

    def act(request: Request, body: Iterator[bytes]) -> None:
        if not begun.is_set():
            begun.set()
            go.wait(30)

    answers: list[object] = []
    with running(tmp_path) as world:
        token = world.token(*ALL)
        kept = world.link(token)
        kept.ask(RefsRequest(()))
        world.fake.act = act
        link = world.link(token)
        thread = threading.Thread(target=lambda: answers.append(link.ask(RefsRequest(())).reply))
        thread.start()
        assert begun.wait(20)
        world.server.stop()
        with pytest.raises(NetworkError):
            ask_until_refused(kept)
        go.set()
        thread.join(20)
        kept.close()
        link.close()
    assert answers == [REFS]
