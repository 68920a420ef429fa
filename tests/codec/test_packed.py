from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import packed, pco
from mvc.codec.segments import UNITS, Segment

LENGTH = struct.Struct("<I")


def body(digits: bytes, *rest: bytes) -> memoryview:
    stream = pco.compress(np.frombuffer(digits, np.uint8))
    return memoryview(LENGTH.pack(len(stream)) + stream + b"".join(rest))


def stream(*numbers: int) -> bytes:
    return pco.compress(np.array(numbers, "<u2"))


@st.composite
def numbers(draw: st.DrawFn) -> Segment:
    unit = UNITS[draw(st.sampled_from([1, 2, 4]))]
    top = 256**unit.itemsize - 1
    few = st.sampled_from([0, 1, 2]) | st.sampled_from([0, 1, 2, 3, 4, top - 1, top])
    return np.array(draw(st.lists(few, min_size=1, max_size=70)), unit)


@given(numbers())
def test_numbers_come_back(segment: Segment) -> None:
    again = packed.decode(memoryview(packed.encode(segment)), len(segment), segment.itemsize)
    assert again.dtype == segment.dtype
    assert again.tolist() == segment.tolist()


@pytest.mark.parametrize("large", [0.0, 0.01, 1.0])
def test_many_numbers_come_back(large: float) -> None:
    rng = np.random.default_rng(4)
    for count in (4095, 65_537, 1 << 20):
        segment = rng.integers(0, 3, count).astype("<u2")
        segment[rng.random(count) < large] = 999
        assert (packed.decode(memoryview(packed.encode(segment)), count, 2) == segment).all()


def test_the_first_digit_is_the_lowest() -> None:
    assert packed.decode(body(b"\x24", b""), 4, 2).tolist() == [0, 1, 2, 0]


def test_a_number_of_three_or_more_follows_less_three() -> None:
    assert packed.decode(body(b"\x0d", stream(0)), 3, 2).tolist() == [1, 3, 0]
    assert packed.decode(body(b"\x0f", stream(7, 65532)), 4, 2).tolist() == [10, 65535, 0, 0]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (memoryview(b""), 4),
        (memoryview(b"\x00\x00\x00"), 4),
        (memoryview(b"\x00\x00\x00\x00"), 4),
        (memoryview(b"\xff\xff\xff\xff" + stream(1)), 4),
        (body(b"\x24"), 5),
        (body(b"\x24\x00"), 4),
        (body(b"\x24", b"\x00"), 4),
        (body(b"\x24", stream(1)), 4),
        (body(b"\x03"), 4),
        (body(b"\x03", stream(1, 2)), 4),
        (body(b"\x0f", stream(1)), 4),
        (body(b"\x03", pco.compress(np.array([1], "<u4"))), 4),
    ],
    ids=[
        "empty",
        "no length",
        "no stream",
        "longer than there is",
        "too few digits",
        "too many digits",
        "bytes behind",
        "numbers that no digit asks for",
        "no numbers",
        "too many numbers",
        "too few numbers",
        "numbers of another width",
    ],
)
def test_what_does_not_come_out_exactly_is_refused(data: memoryview, count: int) -> None:
    with pytest.raises(FormatError):
        packed.decode(data, count, 2)
