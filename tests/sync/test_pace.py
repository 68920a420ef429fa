"""Peers that drip are given up on; slow ones, and busy ones, are not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from mvc.base.errors import MvcError, NetworkError
from mvc.base.ids import ObjectId
from mvc.sync.answering import Patience, Served, answer_all
from mvc.sync.frames import frames
from mvc.sync.link import Answer
from mvc.sync.messages import Done, PartRequest, Request, encode_request
from mvc.sync.pace import Pace, Paced, SlowError

NAME = ObjectId(b"1" * 32)


def test_an_average_over_a_window_of_waiting_counts() -> None:
    pace = Pace(rate=100, window=10)
    pace.note(9.9, 0)
    pace.note(0.2, 1010)
    pace.note(9, 500)
    with pytest.raises(SlowError, match="100 bytes a second"):
        pace.note(1, 499)
    pace.note(9, 0)


def test_who_is_not_waited_for_is_never_slow() -> None:
    pace = Pace(rate=1000, window=1)
    for _ in range(10_000):
        pace.note(0, 1)
    free = Pace(rate=0, window=1)
    free.note(100, 0)


def test_reads_count_once_they_are_those_of_a_body() -> None:
    def slow(_: int) -> bytes:
        time.sleep(0.02)
        return b"x"

    reading = Paced(slow, Pace(rate=1000, window=0.1))
    for _ in range(10):
        reading(1)
    reading.active = True
    with pytest.raises(SlowError):
        list(map(reading, [1] * 10))


def test_what_is_passed_on_counts_while_it_is_taken() -> None:
    pieces = Pace(rate=1000, window=0.1).passing([b"x"] * 20)
    with pytest.raises(SlowError):
        [time.sleep(0.02) for _ in pieces]


class Sink:
    """Takes parts."""

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        for _ in body:
            pass
        return Answer(Done(), iter(()))


@pytest.mark.parametrize("patience", [Patience(rate=2000, window=0.3), Patience(rate=0)])
def test_a_client_that_drips_into_a_stream_is_cut_off(patience: Patience) -> None:
    into, out = os.pipe()
    back, reply = os.pipe()
    log: list[Served] = []
    server = threading.Thread(
        target=answer_all,
        args=(Sink(), into, reply),
        kwargs={"patience": patience, "log": log.append},
    )
    server.start()
    data = b"".join(frames(encode_request(PartRequest(NAME, 200, 0)), [b"x" * 200]))
    begun = time.monotonic()
    try:
        for at in range(0, len(data), 4):
            os.write(out, data[at : at + 4])
            time.sleep(0.01)
    except BrokenPipeError:
        pass
    finally:
        os.close(out)
        server.join(10)
        for item in (into, back, reply):
            os.close(item)
    assert time.monotonic() - begun < 10
    if patience.rate:
        assert [item.code for item in log if item.code == "ok"] == []
    else:
        assert [item.code for item in log] == ["ok"]


def test_a_slow_peer_is_a_failure_of_the_network() -> None:
    assert issubclass(SlowError, NetworkError)
    assert issubclass(SlowError, MvcError)
