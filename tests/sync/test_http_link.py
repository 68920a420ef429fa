"""A client of ours, and servers that are none."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mvc.base.errors import FormatError, LimitError, MvcError, NetworkError, NotAllowedError
from mvc.sync.address import HttpAddress
from mvc.sync.frames import WAITING, frames
from mvc.sync.http_link import HttpLink, HttpSettings
from mvc.sync.limits import MAX_WAITS
from mvc.sync.link import FutileError, LaterError
from mvc.sync.messages import PlanReply, PlanRequest, RefsRequest, Refusal, encode_reply
from tests.sync.http_world import REFS

GOOD = b"".join(frames(encode_reply(REFS)))
REQUEST = RefsRequest(("refs/",))
BUSY = Refusal("busy", "too much at once", None, again=True)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-mvc\r\n"


def request_of(peer: socket.socket) -> bytes:
    """Return a short request, whole: what is not read would take the answer with it."""
    data = peer.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]) and (more := peer.recv(1 << 16)):
        body += more
        data += more
    return data


@contextmanager
def saying(
    answer: bytes | Callable[[socket.socket], None], host: str = "127.0.0.1", **settings: object
) -> Iterator[tuple[HttpLink, list[bytes]]]:
    """Run a server that says the same to everybody, and a client of it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                with peer:
                    heard.append(request_of(peer))
                    try:
                        if callable(answer):
                            answer(peer)
                        else:
                            peer.sendall(answer)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = HttpAddress("http", host, "/fleet", listening.getsockname()[1])
        link = HttpLink(address, HttpSettings("secret", **settings))  # type: ignore[arg-type]
        try:
            yield link, heard
        finally:
            link.close()
            listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def sized(body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body) + end


@pytest.mark.parametrize("answer", [sized(GOOD), chunked(GOOD), sized(WAITING * 5 + GOOD)])
def test_what_is_a_reply_is_one(answer: bytes) -> None:
    with saying(answer) as (link, _):
        for _ in range(3):
            assert link.ask(RefsRequest(())).reply == REFS


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", [b"text/html", b"application/x-mvc"])
def test_a_redirect_is_not_followed(status: int, kind: bytes) -> None:
    with saying(sized(b"x")) as (elsewhere, heard):
        where = str(elsewhere._address).encode()
        head = b"HTTP/1.1 %d Moved\r\nContent-Type: %s\r\nLocation: %s\r\n" % (status, kind, where)
        with saying(sized(b"", head)) as (link, _), pytest.raises(FutileError, match="a redirect"):
            link.ask(RefsRequest(()))
        assert heard == []


@pytest.mark.parametrize(
    ("head", "raised"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", FutileError),
        (b"HTTP/1.1 200 OK\r\n", FutileError),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n", FutileError),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-mvc; charset=x\r\n", FutileError),
        (HEAD + b"Content-Encoding: gzip\r\n", FutileError),
        (b"HTTP/1.1 204 No\r\nContent-Type: application/x-mvc\r\n", FutileError),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n", NetworkError),
        (b"HTTP/1.1 503 Away\r\nContent-Type: text/html\r\n", NetworkError),
    ],
)
def test_what_is_no_reply_of_mvc_is_told_in_one_line(head: bytes, raised: type[Exception]) -> None:
    with saying(sized(b"<html>\x1b[31mlog in</html>", head)) as (link, _):
        with pytest.raises(NetworkError, match="not as an mvc server") as caught:
            link.ask(RefsRequest(()))
        assert type(caught.value) is raised
        assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200",
        b"\0" * 100,
        HEAD + b"\r\n" + GOOD[:-1],
        HEAD + b"Content-Length: 1000\r\n\r\n" + GOOD[:20],
        HEAD + b"Content-Length: 1000\r\n\r\n" + GOOD,
        chunked(GOOD, b""),
        chunked(GOOD[:-5]),
        sized(b""),
        sized(GOOD[:9]),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + GOOD,
        HEAD + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_an_error_of_the_network(answer: bytes) -> None:
    with saying(answer) as (link, _), pytest.raises(NetworkError) as caught:
        link.ask(RefsRequest(()))
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        GOOD + b"x",
        GOOD + GOOD,
        WAITING * (MAX_WAITS + 1) + GOOD,
        b"\x01\xff\xff\xff\xff",
        b"\x02\x01\0\0\0x",
        b"\x01\x01\0\0\0\xc0\x03\0\0\0\0",
        b"".join(frames(encode_reply(Refusal("auth", "no", None, False)), [b"x"])),
    ],
)
def test_a_reply_against_the_protocol_is_refused(body: bytes) -> None:
    with saying(sized(body)) as (link, _), pytest.raises(MvcError) as caught:
        link.ask(RefsRequest(()))
    assert isinstance(caught.value, FormatError | LimitError)


def test_an_endless_message_takes_no_memory() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(HEAD + b"\r\n\x01\xff\xff\x7f\0")
        while True:
            peer.sendall(bytes(1 << 16))

    with saying(endless) as (link, _), pytest.raises((FormatError, NetworkError)):
        link.ask(RefsRequest(()))


def test_a_server_that_says_nothing_is_given_up() -> None:
    gone = threading.Event()
    with saying(lambda peer: gone.wait(20) and None, idle_seconds=0.2) as (link, _):
        with pytest.raises(NetworkError, match="does not answer"):
            link.ask(RefsRequest(()))
        gone.set()


def test_a_server_that_drips_is_given_up() -> None:
    def drip(peer: socket.socket) -> None:
        message = frames(encode_reply(PlanReply(1, 1, ())), [bytes(500)])
        data = b"".join(message)
        peer.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data[:200])
        for at in range(200, len(data)):
            peer.sendall(data[at : at + 1])
            time.sleep(0.005)

    for rate in (5000.0, 0.0):
        slow = {"least_rate": rate, "slow_seconds": 0.2}
        with saying(drip, **slow) as (link, _):
            if rate:
                with pytest.raises(NetworkError, match="too slow"):
                    b"".join(link.ask(PlanRequest((), ())).body)
            else:
                assert b"".join(link.ask(PlanRequest((), ())).body) == bytes(500)


def test_what_a_server_says_is_shown_without_what_a_terminal_obeys() -> None:
    refusal = Refusal("not-allowed", "no\x1b[2J\r\nroot#", "try\x07", False)
    with saying(sized(b"".join(frames(encode_reply(refusal))))) as (link, _):
        with pytest.raises(MvcError) as caught:
            link.ask(RefsRequest(()))
        assert caught.value.message.isprintable()
        assert (caught.value.hint or "").isprintable()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    link = HttpLink(HttpAddress("http", "127.0.0.1", "/x", port))
    with pytest.raises(NetworkError, match=f"cannot reach http://127.0.0.1:{port}"):
        link.ask(RefsRequest(()))


def test_a_proxy_is_asked_for_other_machines_only() -> None:
    with saying(sized(GOOD)) as (proxy, heard):
        proxies = {
            "http": str(proxy._address).removesuffix("/fleet"),
            "no": "a.example, .b.example",
        }
        address = HttpAddress("http", "models.example", "/fleet")
        link = HttpLink(address, HttpSettings(proxies=proxies))
        assert link.ask(RefsRequest(())).reply == REFS
        link.close()
        assert heard[0].startswith(b"POST http://models.example:80/fleet/-/mvc/refs HTTP/1.1\r\n")
        for host in ("127.0.0.1", "a.example", "x.b.example", "localhost"):
            settings = HttpSettings(proxies=proxies)
            assert HttpLink(HttpAddress("http", host, "/f"), settings)._proxy() is None


@pytest.mark.parametrize("head", [b"Retry-After: 7", b"retry-after:7"])
@pytest.mark.parametrize("body", [b"<html>", b"".join(frames(encode_reply(BUSY)))])
def test_a_server_says_when_to_come_again(head: bytes, body: bytes) -> None:
    kind = b"text/html" if body.startswith(b"<") else b"application/x-mvc"
    start = b"HTTP/1.1 503 Busy\r\nContent-Type: " + kind + b"\r\n" + head + b"\r\n"
    with saying(sized(body, start)) as (link, _), pytest.raises(LaterError) as caught:
        link.ask(REQUEST)
    assert caught.value.after == 7


@pytest.mark.parametrize("after", [b"soon", b"-1", b"Wed, 21 Oct 2026 07:28:00 GMT", b"9" * 40])
def test_another_moment_to_come_again_is_passed_over(after: bytes) -> None:
    start = b"HTTP/1.1 503 Busy\r\nContent-Type: text/html\r\nRetry-After: " + after + b"\r\n"
    with saying(sized(b"<html>", start)) as (link, _), pytest.raises(NetworkError) as caught:
        link.ask(REQUEST)
    assert not isinstance(caught.value, LaterError)


def test_a_refusal_for_good_is_none_to_come_again_for() -> None:
    body = b"".join(frames(encode_reply(Refusal("quota", "used up", None, again=False))))
    start = b"HTTP/1.1 429 Too Many\r\nContent-Type: application/x-mvc\r\nRetry-After: 7\r\n"
    with saying(sized(body, start)) as (link, _), pytest.raises(NotAllowedError):
        link.ask(REQUEST)
