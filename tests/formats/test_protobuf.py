"""The protobuf wire format: what is read, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.formats.base import BytesSource
from mvc.formats.protobuf import BYTES, MAX_DEPTH, VARINT, Field, Wire, signed


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def walk(data: bytes, depth: int = 0) -> list[Field]:
    return list(Wire(BytesSource(data)).fields(0, len(data), depth))


def test_numbers_and_ranges_are_reported_in_place() -> None:
    data = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d\0\0\0\0" + b"\x21" + bytes(8)
    assert walk(data) == [(1, 0, 150, 0), (2, 2, 5, 3), (3, 5, 9, 4), (4, 1, 14, 8)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x08", "cut short"),
        (b"\x08\x80", "no end"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "64 bits"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "no end"),
        (b"\x00\x00", "out of range"),
        (varint(1 << 32 | 1 << 3) + b"\0", "out of range"),
        (b"\x0b\x0c", "group"),
        (b"\x0c", "group"),
        (b"\x0e", "group or unknown"),
        (b"\x0f", "group or unknown"),
        (b"\x0a\x02a", "longer than"),
        (b"\x0a" + varint(2**63), "longer than"),
        (b"\x0d\0\0\0", "longer than"),
        (b"\x09" + bytes(7), "longer than"),
    ],
)
def test_malformed_messages_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        walk(data)


def test_messages_do_not_nest_without_end() -> None:
    assert walk(b"\x08\x01", MAX_DEPTH)
    with pytest.raises(FormatError, match="nest deeper"):
        walk(b"\x08\x01", MAX_DEPTH + 1)


def test_a_message_may_not_end_outside_the_file() -> None:
    with pytest.raises(FormatError, match="outside the file"):
        list(Wire(BytesSource(b"\x08\x01")).fields(0, 3))


def test_a_text_is_bounded_and_has_to_be_utf8() -> None:
    wire = Wire(BytesSource(b"\x0a\x02\xc3\xa9\xff"))
    assert wire.text(Field(1, BYTES, 2, 2), 2) == "é"
    with pytest.raises(FormatError, match="above the limit"):
        wire.text(Field(1, BYTES, 2, 2), 1)
    with pytest.raises(FormatError, match="not UTF-8"):
        wire.text(Field(1, BYTES, 4, 1), 1)
    with pytest.raises(FormatError, match="wire type"):
        wire.text(Field(1, VARINT, 4, 0), 1)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_packed_numbers_come_back(values: list[int]) -> None:
    data = b"".join(map(varint, values))
    assert Wire(BytesSource(data)).varints(0, len(data), 50) == values


def test_packed_numbers_are_bounded() -> None:
    with pytest.raises(FormatError, match="more than 2"):
        Wire(BytesSource(b"\1\1\1")).varints(0, 3, 2)


@given(st.lists(st.binary(max_size=40_000), max_size=6))
def test_payloads_are_found_across_windows(payloads: list[bytes]) -> None:
    data = b"".join(b"\x12" + varint(len(p)) + p for p in payloads)
    assert [data[f.value : f.value + f.length] for f in walk(data)] == payloads


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_only_format_errors(data: bytes) -> None:
    try:
        fields = walk(data)
    except FormatError:
        return
    assert all(f.value >= 0 and f.value + f.length <= len(data) for f in fields if f.kind == BYTES)


def test_negative_numbers_are_two_complements() -> None:
    assert signed(2**64 - 1) == -1
    assert signed(5) == 5
