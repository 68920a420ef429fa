from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import MissingObjectError, MvcError, NotFoundError, StorageError
from mvc.base.ids import ObjectId
from mvc.objects import canonical
from mvc.sync.answering import Patience, Served, answer_all
from mvc.sync.frames import END, MESSAGE, WAITING, frames, read_message
from mvc.sync.limits import MAX_MESSAGE, MAX_PIECE
from mvc.sync.link import Answer
from mvc.sync.messages import (
    Done,
    GiveReply,
    GiveRequest,
    MissingReply,
    PartRequest,
    RefsRequest,
    Refusal,
    Reply,
    Request,
    decode_reply,
    encode_request,
)

REFS = RefsRequest(("refs/",))
PART = PartRequest(ObjectId(bytes(32)), 5, 0)
QUICK = Patience(within=0.5, between=0.5, sign=10)
Exchange = tuple[Reply | Refusal, bytes]


class Fake:
    """Answers as it is told to, and remembers what it was asked."""

    def __init__(self, *raised: Exception) -> None:
        self.asked: list[tuple[Request, bytes]] = []
        self._raised = list(raised)
        self.closed = False

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        if self._raised:
            raise self._raised.pop(0)
        self.asked.append((request, b"".join(body)))
        if isinstance(request, GiveRequest):
            return Answer(GiveReply(ObjectId(bytes(32)), 6, 0), self._given())
        return Answer(Done() if isinstance(request, PartRequest) else MissingReply(()), iter(()))

    def _given(self) -> Iterator[bytes]:
        try:
            yield b"abc"
            yield b"def"
        finally:
            self.closed = True


def talk(
    server: Fake, sent: bytes | Iterable[bytes], *, end: bool = True
) -> tuple[bytes, list[Served]]:
    """Send bytes and return what came back until the server ended, and what it logged."""
    reading, feeding = os.pipe()
    coming, writing = os.pipe()
    logged: list[Served] = []

    def feed() -> None:
        # A server that has ended reads no more.
        with suppress(BrokenPipeError):
            for piece in [sent] if isinstance(sent, bytes) else sent:
                view = memoryview(piece)
                while view:
                    view = view[os.write(feeding, view) :]
        if end:
            os.close(feeding)

    def serve() -> None:
        answer_all(server, reading, writing, patience=QUICK, log=logged.append)
        os.close(reading)
        os.close(writing)

    threads = [threading.Thread(target=work) for work in (feed, serve)]
    for thread in threads:
        thread.start()
    parts = []
    while part := os.read(coming, 1 << 16):
        parts.append(part)
    for thread in threads:
        thread.join()
    os.close(coming)
    if not end:
        os.close(feeding)
    return b"".join(parts), logged


def request(asked: Request, body: Iterable[bytes] = ()) -> bytes:
    return b"".join(frames(encode_request(asked), body))


def replies(came: bytes, *kinds: type[Request]) -> list[Exchange]:
    """Take the answers to requests of these kinds apart; nothing may follow them."""
    at = 0

    def read(most: int) -> bytes:
        nonlocal at
        found = came[at : at + most]
        at += len(found)
        return found

    found = []
    for kind in kinds:
        message, body = read_message(read)
        found.append((decode_reply(message, kind), b"".join(body)))
    assert at == len(came)
    return found


def refused(came: bytes, kind: type[Request] = RefsRequest) -> Refusal:
    [(reply, body)] = replies(came, kind)
    assert isinstance(reply, Refusal)
    assert body == b""
    return reply


def test_requests_follow_one_another_until_the_input_ends() -> None:
    server = Fake()
    give = GiveRequest((), ())
    sent = request(PART, [b"ab", b"cde"]) + request(give) + request(PART)
    came, logged = talk(server, sent)
    assert [body for _, body in replies(came, PartRequest, GiveRequest, PartRequest)] == [
        b"",
        b"abcdef",
        b"",
    ]
    assert [body for _, body in server.asked] == [b"abcde", b"", b""]
    assert [(item.verb, item.code, item.received) for item in logged] == [
        ("part", "ok", 5),
        ("give", "ok", 0),
        ("part", "ok", 0),
    ]
    assert sum(item.sent for item in logged) == len(came)


def test_nothing_is_said_where_nothing_was_asked() -> None:
    assert talk(Fake(), b"") == (b"", [])


@pytest.mark.parametrize(
    ("error", "code", "again"),
    [
        (NotFoundError("no such thing", hint="look"), "not-found", False),
        (MissingObjectError("it lacks"), "missing-object", True),
        (StorageError("full"), "storage", True),
    ],
)
def test_an_error_is_a_refusal_and_the_next_request_is_answered(
    error: MvcError, code: str, again: bool
) -> None:
    came, logged = talk(Fake(error), request(PART, [b"abcde"]) + request(PART))
    (first, _), (second, _) = replies(came, PartRequest, PartRequest)
    assert first == Refusal(code, error.message, error.hint, again)
    assert second == Done()
    assert [item.code for item in logged] == [code, "ok"]


def test_what_was_not_foreseen_is_told_without_details() -> None:
    came, logged = talk(Fake(RuntimeError("a secret")), request(REFS) + request(PART))
    (first, _), (second, _) = replies(came, RefsRequest, PartRequest)
    assert first == Refusal("internal", "the server has failed", None, again=True)
    assert second == Done()
    assert [item.code for item in logged] == ["internal", "ok"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "usage"),
        (b"\xc1", "usage"),
        (canonical.encode({"mvc": 1, "verb": "refs"}), "usage"),
        (canonical.encode({"mvc": 1, "verb": "drop"}), "usage"),
        (canonical.encode({"mvc": 2, "verb": "refs"}), "version"),
        (canonical.encode({"verb": "refs"}), "version"),
    ],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(message: bytes, code: str) -> None:
    server = Fake()
    came, _ = talk(server, b"".join(frames(message)) + request(PART))
    assert refused(came).error == code
    assert refused(came).again is False
    assert server.asked == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<BI", END, 0),
        struct.pack("<BI", MESSAGE, MAX_MESSAGE + 1),
        struct.pack("<BI", MESSAGE, 0xFFFFFFFF),
        b"\x02\x01\0\0\0x",
    ],
)
def test_a_stream_of_other_frames_is_refused_before_anything_is_read(sent: bytes) -> None:
    came, _ = talk(Fake(), sent + bytes(100))
    assert refused(came).error in ("usage", "limit")


@pytest.mark.parametrize(
    "frame", [struct.pack("<BI", 2, 0), struct.pack("<BI", 2, MAX_PIECE + 1), b"\x01\0\0\0\0"]
)
def test_a_body_of_other_frames_ends_the_connection(frame: bytes) -> None:
    server = Fake()
    sent = request(PART, [b"abc"])[:-5] + frame + request(PART)
    came, _ = talk(server, sent)
    assert refused(came, PartRequest).error in ("format", "limit")
    assert server.asked == []


@given(st.data())
def test_a_request_that_is_cut_off_is_not_answered_with_success(data: st.DataObject) -> None:
    whole = request(PART, [b"abc", b"de"])
    cut = data.draw(st.integers(1, len(whole) - 1))
    server = Fake()
    came, _ = talk(server, whole[:cut])
    assert server.asked == []
    if came:
        assert refused(came, PartRequest)


def test_silence_within_a_request_ends_the_connection() -> None:
    server = Fake()
    came, _ = talk(server, request(PART, [b"abc"])[:-7], end=False)
    assert server.asked == []
    assert came == b"" or refused(came, PartRequest)


def test_silence_between_requests_ends_the_connection() -> None:
    came, logged = talk(Fake(), request(PART), end=False)
    assert replies(came, PartRequest) == [(Done(), b"")]
    assert len(logged) == 1


def test_an_endless_body_that_nobody_wants_ends_the_connection() -> None:
    server = Fake(NotFoundError("no"))
    piece = struct.pack("<BI", 2, MAX_PIECE) + bytes(MAX_PIECE)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield request(PART)[:-5]
        for _ in range(1000):
            sent += 1
            yield piece

    came, _ = talk(server, pieces())
    assert refused(came, PartRequest).error == "not-found"
    assert sent < 200


def test_signs_of_life_come_before_an_answer_that_takes_long() -> None:
    class Slow(Fake):
        def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
            threading.Event().wait(0.3)
            return super().answer(request, body)

    reading, feeding = os.pipe()
    coming, writing = os.pipe()
    os.write(feeding, request(PART))
    os.close(feeding)
    answer_all(Slow(), reading, writing, patience=Patience(sign=0.05))
    for item in (reading, writing):
        os.close(item)
    with os.fdopen(coming, "rb") as stream:
        came = stream.read()
    assert came.startswith(WAITING)
    assert replies(came, PartRequest) == [(Done(), b"")]


def test_a_client_that_leaves_lets_go_of_what_it_was_to_be_given() -> None:
    server = Fake()
    reading, feeding = os.pipe()
    coming, writing = os.pipe()
    os.write(feeding, request(GiveRequest((), ())) + request(PART))
    os.close(coming)
    logged: list[Served] = []
    answer_all(server, reading, writing, log=logged.append)
    assert server.closed
    assert [item.code for item in logged] == ["cut-off"]
    for item in (reading, feeding, writing):
        os.close(item)


def test_descriptors_block_again_afterwards() -> None:
    reading, feeding = os.pipe()
    coming, writing = os.pipe()
    os.close(feeding)
    answer_all(Fake(), reading, writing)
    assert os.get_blocking(reading)
    assert os.get_blocking(writing)
    for item in (reading, coming, writing):
        os.close(item)
