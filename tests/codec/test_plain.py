from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import pco, plain, zstd
from mvc.codec.plain import Coding, Mode, Plane
from mvc.codec.segments import UNITS, Segment
from tests.codec.material import ALONE, LONG, THRESHOLDS, anatomy, noise, rising, small

PLANE = struct.Struct("<BI")


def plane(code: int, payload: bytes) -> bytes:
    return PLANE.pack(code, len(payload)) + payload


@st.composite
def codings(draw: st.DrawFn, width: int) -> Coding:
    mode = draw(st.sampled_from([Mode.RAW, Mode.PLANES, Mode.PCO]))
    planes = draw(
        st.tuples(*[st.sampled_from([Plane.RAW, Plane.ZSTD, Plane.PCO]) for _ in range(width)])
    )
    return Coding(mode, planes, draw(st.sampled_from([1, 3])))


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    width = draw(st.sampled_from([1, 2, 4]))
    count = draw(st.sampled_from(THRESHOLDS) | st.integers(1, 300) | st.sampled_from(LONG[:3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return ALONE[draw(st.sampled_from(sorted(ALONE)))](rng, count, width)


@given(segments(), st.data())
def test_a_segment_comes_back_from_any_coding_and_is_at_most_a_byte_longer(
    segment: Segment, data: st.DataObject
) -> None:
    coded = plain.encode(segment, data.draw(codings(segment.itemsize)))
    assert len(coded) <= segment.nbytes + 1
    again = plain.decode(coded, len(segment), segment.itemsize)
    assert again.dtype == segment.dtype
    assert again.tobytes() == segment.tobytes()


@given(segments(), st.booleans(), st.sampled_from([1, 3]))
def test_the_coding_that_is_chosen_costs_what_was_foretold(
    segment: Segment, entropy: bool, level: int
) -> None:
    coding, cost = plain.choose(segment, level, entropy=entropy)
    assert cost <= segment.nbytes
    coded = plain.encode(segment, coding)
    # Headers of planes and streams are not counted, nor what gaps save.
    assert len(coded) <= cost + 64


@given(segments(), st.data())
def test_a_changed_section_gives_units_or_a_format_error(
    segment: Segment, data: st.DataObject
) -> None:
    coded = bytearray(plain.encode(segment, data.draw(codings(segment.itemsize))))
    for _ in range(data.draw(st.integers(0, 3))):
        near = min(len(coded), data.draw(st.sampled_from([12, 60, 1 << 20])))
        coded[data.draw(st.integers(0, near - 1))] ^= data.draw(st.integers(1, 255))
    how = data.draw(st.sampled_from(["changed", "cut", "longer"]))
    if how == "cut":
        coded = coded[: data.draw(st.integers(0, len(coded) - 1))]
    elif how == "longer":
        coded += data.draw(st.binary(min_size=1, max_size=9))
    try:
        again = plain.decode(bytes(coded), len(segment), segment.itemsize)
    except FormatError:
        return
    assert (len(again), again.dtype) == (len(segment), segment.dtype)


@given(st.binary(max_size=80), st.integers(1, 50), st.sampled_from([1, 2, 4]), st.integers(-1, 9))
def test_random_sections_raise_only_format_errors(
    data: bytes, count: int, width: int, mode: int
) -> None:
    if mode >= 0:
        data = bytes([mode]) + data
    try:
        again = plain.decode(data, count, width)
    except FormatError:
        return
    assert again.nbytes == count * width


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x00\x01",
        b"\x00\x01\x02\x03",
        b"\x01",
        b"\x01" + bytes(7),
        b"\x01" + bytes(9),
        b"\x03",
        b"\x03" + bytes(8),
        b"\x04",
        b"\x04\x01\x00\x00\x00\x00",
        b"\x05" + bytes(9),
        b"\x06" + bytes(9),
        b"\x07" + bytes(9),
        b"\x08" + bytes(8),
        b"\xff",
        b"\x02",
        b"\x02" + plane(0, b"a"),
        b"\x02" + plane(0, b"a") + PLANE.pack(0, 1),
        b"\x02" + plane(0, b"a") * 2 + b"x",
        b"\x02" + plane(0, b"ab") * 2,
        b"\x02" + plane(0, b"") * 2,
        b"\x02" + plane(1, b"abc") * 2,
        b"\x02" + plane(4, b"abcd") * 2,
        b"\x02" + PLANE.pack(1, 2**32 - 1) + b"abcd" * 2,
        b"\x02" + plane(2, b"abcd") * 2,
        b"\x02" + plane(2, b"") * 2,
        b"\x02" + plane(2, zstd.compress(b"abc", 1)) * 2,
        b"\x02" + plane(2, zstd.compress(b"abcde", 1)) * 2,
        b"\x02" + plane(3, pco.compress(np.arange(3, dtype=np.uint8))) * 2,
        b"\x02" + plane(3, pco.compress(np.arange(4, dtype="<u2"))) * 2,
        b"\x03" + pco.compress(np.arange(3, dtype="<u2")),
        b"\x03" + pco.compress(np.arange(4, dtype="<u4")),
    ],
    ids=lambda data: data[:16].hex() or "empty",
)
def test_a_malformed_section_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        plain.decode(data, 4, 2)


def test_constant_planes_fill_the_words() -> None:
    data = b"\x02" + plane(0, b"\xab") + plane(1, b"\x01\x02\x03")
    assert plain.decode(data, 3, 2).tolist() == [0xAB01, 0xAB02, 0xAB03]


@pytest.mark.parametrize("entropy", [True, False])
def test_noise_is_kept_as_it_is(entropy: bool) -> None:
    words = noise(np.random.default_rng(3), 200_000, 2)
    coding, cost = plain.choose(plain.sample(words, 1 << 14), 3, entropy=entropy)
    assert (coding, cost) == (plain.RAW, 2 << 14)
    assert len(plain.encode(words, coding)) == words.nbytes + 1


def test_each_coding_is_chosen_where_it_suits() -> None:
    rng = np.random.default_rng(6)
    named = {
        "constant": np.full(16_384, 9, "<u2"),
        "pco": (rng.random(16_384) * 2.0 ** rng.integers(4, 13, 16_384)).astype("<u2"),
        "gaps": np.where(rng.random(16_384) < 0.01, rng.integers(0, 9, 16_384), 0).astype("<u2"),
        "planes:zstd": np.resize(noise(rng, 300, 2), 16_384),
        "planes:pco": (rng.integers(0, 256, 16_384) | rng.geometric(0.4, 16_384) << 9).astype(
            "<u2"
        ),
    }
    for name, segment in named.items():
        coding, _ = plain.choose(segment, 1, entropy=True)
        coded = plain.encode(segment, coding)
        assert name in {*anatomy(coded, 2)}, name
        assert (plain.decode(coded, len(segment), 2) == segment).all()


def test_without_entropy_nothing_but_zstd_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("pcodec was tried")

    monkeypatch.setattr(pco, "compress", never)
    rng = np.random.default_rng(7)
    for segment in (small(rng, 5000, 2), rising(rng, 5000, 4), noise(rng, 5000, 1)):
        coding, _ = plain.choose(segment, 1, entropy=False)
        coded = plain.encode(segment, coding)
        assert (plain.decode(coded, len(segment), segment.itemsize) == segment).all()


@pytest.mark.parametrize("units", [16, 1600, 1 << 14])
def test_a_sample_is_taken_from_everywhere(units: int) -> None:
    segment = np.arange(100_000, dtype="<u4")
    taken = plain.sample(segment, units)
    assert len(taken) == units
    assert (np.diff(taken.astype(np.int64)) > 0).all()
    assert taken[0] == 0
    assert taken[-1] == 99_999
    assert np.diff(taken.astype(np.int64)).max() < 2 * 100_000 / plain.SAMPLE_SLICES
    assert plain.sample(segment[:10], units).tolist() == list(range(10))


@given(st.integers(1, 40_000), st.sampled_from([16, 256, 8192]))
def test_a_sample_of_two_segments_takes_the_same_places(count: int, units: int) -> None:
    segment = np.arange(count, dtype="<u4")
    again = plain.sample(segment.astype("<u2"), units)
    assert (plain.sample(segment, units).astype("<u2") == again).all()
    assert len(again) == min(count, units)


@pytest.mark.parametrize("width", sorted(UNITS))
def test_a_single_unit_is_constant(width: int) -> None:
    one = noise(np.random.default_rng(width), 1, width)
    assert plain.encode(one, plain.RAW) == b"\x00" + one.tobytes()
