from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import gaps, pco
from mvc.codec.segments import UNITS, Segment

pytestmark = pytest.mark.usefixtures("each_kernels")


@st.composite
def numbers(draw: st.DrawFn) -> Segment:
    unit = UNITS[draw(st.sampled_from([1, 2, 4]))]
    top = 256**unit.itemsize - 1
    few = st.sampled_from([0, 0, 0, 1, 2]) | st.sampled_from([0, 3, 4, 9, 10, top - 1, top])
    return np.array(draw(st.lists(few, min_size=1, max_size=70)), unit)


def again(segment: Segment) -> Segment:
    return gaps.decode(memoryview(gaps.encode(segment)), len(segment), segment.itemsize)


@given(numbers())
def test_numbers_come_back(segment: Segment) -> None:
    found = again(segment)
    assert found.dtype == segment.dtype
    assert found.tolist() == segment.tolist()


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("density", [0.0, 1e-5, 0.003, 0.1, 0.5, 1.0])
def test_many_numbers_come_back(width: int, density: float) -> None:
    rng = np.random.default_rng(4)
    for count in (1, 4095, 65_537, 1 << 20):
        held = rng.random(count) < density
        segment = np.where(held, rng.geometric(0.6, count).clip(max=255), 0).astype(UNITS[width])
        segment[-1] = np.iinfo(segment.dtype).max
        assert (again(segment) == segment).all()


@pytest.mark.parametrize("density", [0.0005, 0.005, 0.02, 0.05, 0.1])
def test_what_is_set_independently_takes_one_percent_more_than_its_entropy(density: float) -> None:
    rng = np.random.default_rng(8)
    count = 1 << 20
    segment = ((rng.random(count) < density) * rng.integers(1, 3, count)).astype("<u2")
    share = np.count_nonzero(segment) / count
    bits = -share * math.log2(share / 2) - (1 - share) * math.log2(1 - share)
    assert len(gaps.encode(segment)) < 1.01 * bits * count / 8 + 32


def body(*rungs: tuple[int, int, bytes, bytes], rest: bytes = b"") -> memoryview:
    out = bytearray([len(rungs)])
    for ones, divisor, unary, behind in rungs:
        out += bytes([ones, divisor, len(unary)]) + unary + behind
    return memoryview(bytes(out) + rest)


def test_the_code_is_as_specified() -> None:
    # Gaps 0, 5 and 2 with divisor 3: quotients 0, 1, 0 and remainders 0 (0), 2 (11), 2 (11).
    segment = np.array([1, 0, 0, 0, 0, 0, 2, 0, 0, 1], "<u2")
    expected = body((3, 3, b"\xb0", b"\x60" + b"\xc0"), (0, 1, b"", b""), rest=b"\xa0")
    assert gaps.decode(expected, 10, 2).tolist() == segment.tolist()


GOOD = (1, 1, b"\x20", b"")
NONE = (0, 1, b"", b"")


@pytest.mark.parametrize(
    "data",
    [
        memoryview(b""),
        memoryview(b"\x00"),
        body(GOOD, NONE, NONE, NONE, NONE, rest=b"\x00"),
        memoryview(b"\x01\x80\x80\x80\x80\x00\x01\x00"),
        memoryview(b"\x01\x01"),
        body(GOOD),
        body((1, 0, b"\x20", b""), rest=b"\x00"),
        body((5, 1, b"\xf8", b""), rest=b"\x00"),
        body((1, 1, b"\x20\x00", b""), rest=b"\x00"),
        body((1, 1, b"\x00", b""), rest=b"\x00"),
        body((2, 1, b"\x20", b""), rest=b"\x00"),
        body((1, 1, b"\x04", b""), rest=b"\x00"),
        body((1, 9, b"\x80", b""), rest=b""),
        body(NONE, GOOD, rest=b"\x00"),
        body(GOOD, rest=b"\x00\x00"),
        body(GOOD, rest=b"\x00" + pco.compress(np.array([1, 2], "<u2"))),
    ],
    ids=[
        "empty",
        "no rungs",
        "too many rungs",
        "a number that does not end",
        "no numbers",
        "no signs",
        "no divisor",
        "more than there are",
        "bytes behind the code",
        "no code",
        "too few codes",
        "beyond the end",
        "no remainders",
        "a rung on nothing",
        "bytes behind",
        "too many numbers",
    ],
)
def test_what_does_not_come_out_exactly_is_refused(data: memoryview) -> None:
    with pytest.raises(FormatError):
        gaps.decode(data, 4, 2)
