from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import plain, sparse, zstd
from mvc.codec.plain import Mode
from mvc.codec.segments import UNITS, Segment

LENGTH = struct.Struct("<I")


def body(used: bytes, section: bytes) -> memoryview:
    frame = zstd.compress(used, 1)
    return memoryview(LENGTH.pack(len(frame)) + frame + section)


def units(*values: int) -> bytes:
    return bytes([Mode.RAW]) + np.array(values, "<u2").tobytes()


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    """Return segments of which some stretches are zeros."""
    unit = UNITS[draw(st.sampled_from([1, 2, 4]))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([63, 64, 65, 127, 128, 129, 4097, 20_000]) | st.integers(1, 1000))
    segment = np.zeros(count, unit)
    for _ in range(draw(st.integers(0, 4))):
        at, length = rng.integers(0, count), rng.integers(1, 100)
        part = segment[at : at + length]
        part[:] = rng.integers(0, draw(st.sampled_from([2, 200])), len(part))
    return segment


@given(segments(), st.booleans(), st.sampled_from([1, 3]))
def test_a_segment_comes_back_or_is_left_to_others(
    segment: Segment, entropy: bool, level: int
) -> None:
    coded = sparse.encode(segment, level, entropy=entropy)
    if coded is None:
        return
    assert coded[0] == Mode.SPARSE
    again = sparse.decode(memoryview(coded)[1:], len(segment), segment.itemsize)
    assert again.dtype == segment.dtype
    assert (again == segment).all()


def test_long_runs_of_zeros_take_next_to_nothing() -> None:
    rng = np.random.default_rng(5)
    segment = np.zeros(1 << 20, "<u2")
    segment[64_000:64_256] = rng.integers(0, 1 << 16, 256)
    coded = sparse.encode(segment, 1, entropy=True)
    assert coded is not None
    assert len(coded) < 700
    assert (sparse.decode(memoryview(coded)[1:], len(segment), 2) == segment).all()


@pytest.mark.parametrize("count", [1, 63, 64, 4096])
def test_a_segment_without_zeros_or_without_anything_else_is_left_to_others(count: int) -> None:
    assert sparse.encode(np.ones(count, "<u2"), 1, entropy=True) is None
    if not count % sparse.RUN:
        assert sparse.encode(np.zeros(count, "<u2"), 1, entropy=True) is None


def test_units_behind_the_last_run_are_always_coded() -> None:
    again = sparse.decode(body(b"\x40", units(*[7] * 64, 8, 9)), 130, 2)
    assert again.tolist() == [0] * 64 + [7] * 64 + [8, 9]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (memoryview(b""), 128),
        (memoryview(b"\x00\x00\x00"), 128),
        (memoryview(b"\x00\x00\x00\x00"), 128),
        (memoryview(b"\xff\xff\xff\xff"), 128),
        (body(b"\x40", units(*[7] * 64)), 63),
        (body(b"\x40", units(*[7] * 64)), 129),
        (body(b"\x40", units(*[7] * 63)), 128),
        (body(b"\x40", b""), 128),
        (body(b"\xc0", units(*[7] * 64)), 128),
        (body(b"\x00", b""), 128),
        (body(b"\x00", units()), 128),
        (body(b"\x40\x00", units(*[7] * 64)), 128),
        (body(b"", units(*[7] * 64)), 128),
        (body(b"\x40", units(*[7] * 64) + b"\x00"), 128),
    ],
    ids=[
        "empty",
        "no length",
        "no frame",
        "longer than there is",
        "no run",
        "more units than coded",
        "fewer units than a run",
        "no section",
        "more runs than coded",
        "nothing is coded",
        "nothing is coded and a section",
        "a map that is too long",
        "a map that is too short",
        "bytes behind",
    ],
)
def test_what_does_not_come_out_exactly_is_refused(data: memoryview, count: int) -> None:
    with pytest.raises(FormatError):
        sparse.decode(data, count, 2)


def test_a_sparse_section_holds_none_of_its_kind() -> None:
    inner = bytes([Mode.SPARSE]) + bytes(body(b"\x40", units(*[7] * 64)))
    for mode in (Mode.GROUPS, Mode.LOOKUP, Mode.SPARSE):
        with pytest.raises(FormatError):
            sparse.decode(body(b"\xc0", bytes([mode]) + inner[1:]), 128, 2)
    with pytest.raises(FormatError):
        plain.decode(inner, 128, 2)
