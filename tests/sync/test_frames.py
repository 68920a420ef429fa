"""Frames: what is sent is what arrives, and nothing else passes for it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError, LimitError
from mvc.sync.frames import BODY, END, MESSAGE, WAIT, WAITING, CutOffError, frames, read_message
from mvc.sync.limits import MAX_MESSAGE, MAX_PIECE, MAX_WAITS


def frame(kind: int, content: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<BI", kind, len(content) if length is None else length) + content


def reader(data: bytes, step: int = 1 << 30) -> Callable[[int], bytes]:
    """Return a stream of some bytes that brings at most `step` at once."""
    at = 0

    def read(most: int) -> bytes:
        nonlocal at
        taken = data[at : at + min(most, step)]
        at += len(taken)
        return taken

    return read


def both(data: bytes) -> tuple[bytes, bytes]:
    message, body = read_message(reader(data))
    return message, b"".join(body)


@given(st.binary(max_size=50), st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 60))
def test_what_is_sent_arrives_however_it_is_cut(
    message: bytes, body: list[bytes], step: int
) -> None:
    sent = b"".join(frames(message, body))
    read = reader(sent * 2, step)
    for _ in range(2):
        found, pieces = read_message(read)
        assert (found, b"".join(pieces)) == (message, b"".join(body))
    with pytest.raises(EOFError):
        read_message(read)


@given(st.binary(max_size=30), st.lists(st.binary(min_size=1, max_size=20), max_size=3), st.data())
def test_a_stream_that_ends_early_is_told_from_one_that_has_ended(
    message: bytes, body: list[bytes], data: st.DataObject
) -> None:
    sent = b"".join(frames(message, body))
    cut = data.draw(st.integers(0, len(sent) - 1))
    with pytest.raises(CutOffError if cut else EOFError):
        both(sent[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_raise_format_error_alone(data: bytes) -> None:
    with suppress(FormatError, EOFError):
        both(data)


@given(st.binary(max_size=30), st.binary(min_size=1, max_size=30), st.data())
def test_a_frame_that_was_changed_raises_format_error_alone(
    message: bytes, piece: bytes, data: st.DataObject
) -> None:
    sent = bytearray(b"".join(frames(message, [piece])))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(FormatError):
        both(bytes(sent))


def test_long_pieces_are_cut() -> None:
    body = bytes(range(256)) * (MAX_PIECE // 100)
    sent = [*frames(b"m", [body])]
    assert max(map(len, sent)) == MAX_PIECE
    assert both(b"".join(sent)) == (b"m", body)


@pytest.mark.parametrize(
    "data",
    [
        frame(BODY, b"x"),
        frame(END),
        frame(0, b"x"),
        frame(5, b"x"),
        frame(255),
        frame(WAIT) + frame(END),
        frame(MESSAGE, b"m") + frame(MESSAGE, b"m"),
        frame(MESSAGE, b"m") + frame(BODY) + frame(END),
        frame(MESSAGE, b"m") + frame(WAIT) + frame(END),
        frame(MESSAGE, b"m") + frame(0),
    ],
)
def test_frames_in_another_order_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        both(data)


@pytest.mark.parametrize(
    "data",
    [
        frame(MESSAGE, length=MAX_MESSAGE + 1),
        frame(MESSAGE, length=0xFFFFFFFF),
        frame(WAIT, b"x"),
        frame(MESSAGE, b"m") + frame(BODY, length=MAX_PIECE + 1),
        frame(MESSAGE, b"m") + frame(END, b"x"),
    ],
)
def test_lengths_are_refused_before_anything_is_read(data: bytes) -> None:
    with pytest.raises(LimitError):
        both(data)


def test_waiting_comes_before_the_message_and_not_for_ever() -> None:
    sent = b"".join(frames(b"m", [b"body"]))
    assert frame(WAIT) == WAITING
    assert both(WAITING * MAX_WAITS + sent) == (b"m", b"body")
    with pytest.raises(FormatError):
        both(WAITING * (MAX_WAITS + 1) + sent)
    with pytest.raises(CutOffError):
        both(WAITING)
