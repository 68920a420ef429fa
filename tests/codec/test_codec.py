from __future__ import annotations

import struct
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.dtypes import SEGMENTS
from mvc.base.errors import FormatError, IntegrityError
from mvc.codec import chunk, delta, section
from mvc.codec.chunk import Transform
from mvc.codec.segments import UNITS, Segments, join, split, swapped

WORDS = sorted(SEGMENTS)
FAMILIES = ["float", "int", "opaque"]
SPECIAL = {
    1: [0x00, 0x80, 0x7F, 0xFF, 0x7E, 0x01],
    2: [0x0000, 0x8000, 0x7F80, 0x7FC1, 0xFF81, 0x0001, 0x8001, 0x7F7F, 0xFFFF],
    4: [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC00001, 0xFFFFFFFF, 1, 0x80000001],
    8: [0, 1 << 63, 0x7FF0000000000000, 0x7FF0000000000001, 0xFFF8DEADBEEF0001, 1, 2**64 - 1],
}


@st.composite
def words(draw: st.DrawFn, word: int, count: int) -> bytes:
    kind = draw(st.sampled_from(["random", "special", "constant", "smooth"]))
    unit = f"<u{word}"
    if kind == "random":
        seed = draw(st.integers(0, 2**32 - 1))
        return np.random.default_rng(seed).bytes(count * word)
    if kind == "special":
        picks = draw(st.lists(st.sampled_from(SPECIAL[word]), min_size=count, max_size=count))
        return np.array(picks, unit).tobytes()
    if kind == "constant":
        return np.full(count, draw(st.integers(0, 256**word - 1)), unit).tobytes()
    start = draw(st.integers(0, 256**word - 1))
    steps = np.arange(count, dtype=np.uint64) * np.uint64(draw(st.integers(0, 300)))
    return (np.uint64(start) + steps).astype(unit).tobytes()


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, bytes, bytes, str]:
    word = draw(st.sampled_from(WORDS))
    count = draw(st.sampled_from([1, 2, 3, 100, 3000]) | st.integers(1, 40))
    if count > 40:
        seed = draw(st.integers(0, 2**32 - 1))
        rng = np.random.default_rng(seed)
        base = rng.normal(0, 1, count * word // 4 + 2).astype("<f4").tobytes()[: count * word]
        raw = np.frombuffer(base, f"<u{word}")
        step = rng.integers(-3, 4, count).astype(f"<i{word}").view(f"<u{word}")
        return word, (raw + step).tobytes(), base, draw(st.sampled_from(FAMILIES))
    return word, draw(words(word, count)), draw(words(word, count)), draw(st.sampled_from(FAMILIES))


def same(one: Segments, two: Segments) -> bool:
    return [part.tobytes() for part in one] == [part.tobytes() for part in two]


@given(cases())
def test_words_come_back_bit_for_bit_with_and_without_a_base(
    case: tuple[int, bytes, bytes, str],
) -> None:
    word, data, other, family = case
    segments, base = split(data, word), split(other, word)
    for against in (None, base):
        coded = chunk.encode(segments, family, against)  # type: ignore[arg-type]
        needed = against if coded.transform.needs_base else None
        again = chunk.decode(coded.transform, coded.sections, word, len(segments[0]), needed)
        assert bytes(join(again, word)) == data


@given(cases(), st.sampled_from(Transform))
def test_every_transform_restores_every_word(
    case: tuple[int, bytes, bytes, str], transform: Transform
) -> None:
    word, data, other, _ = case
    segments, base = split(data, word), split(other, word)
    prepared = chunk._apply(transform, segments, base)
    sections = tuple(section.encode(part) for part in prepared)
    again = chunk.decode(transform, sections, word, len(segments[0]), base)
    assert same(again, segments)
    for some in range(1, len(sections) + 1):
        fewer = chunk.decode(transform, sections[:some], word, len(segments[0]), base)
        assert same(fewer, segments[:some])


@given(cases())
def test_a_section_is_hardly_longer_than_its_segment(case: tuple[int, bytes, bytes, str]) -> None:
    word, data, _, _ = case
    for part in split(data, word):
        assert len(section.encode(part)) <= part.nbytes + 1 + 5 * part.itemsize


@given(cases(), st.data())
def test_a_changed_section_gives_segments_or_a_format_error(
    case: tuple[int, bytes, bytes, str], data: st.DataObject
) -> None:
    word, raw, _, _ = case
    part = data.draw(st.sampled_from(split(raw, word)))
    coded = bytearray(section.encode(part))
    for _ in range(data.draw(st.integers(1, 3))):
        coded[data.draw(st.integers(0, len(coded) - 1))] ^= data.draw(st.integers(1, 255))
    coded = coded[: data.draw(st.integers(0, len(coded)) | st.just(len(coded)))]
    try:
        again = section.decode(bytes(coded), len(part), part.itemsize)
    except FormatError:
        return
    assert (len(again), again.dtype) == (len(part), part.dtype)


@given(st.binary(max_size=60), st.integers(1, 50), st.sampled_from([1, 2, 4]), st.integers(-1, 3))
def test_random_sections_raise_only_format_errors(
    data: bytes, count: int, width: int, mode: int
) -> None:
    if mode >= 0:
        data = bytes([mode]) + data
    try:
        again = section.decode(data, count, width)
    except FormatError:
        return
    assert again.nbytes == count * width


PLANE = struct.Struct("<BI")


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
        b"\xff",
        b"\x02",
        b"\x02" + PLANE.pack(0, 1) + b"a",
        b"\x02" + PLANE.pack(0, 1) + b"a" + PLANE.pack(0, 1),
        b"\x02" + (PLANE.pack(0, 1) + b"a") * 2 + b"x",
        b"\x02" + (PLANE.pack(0, 2) + b"ab") * 2,
        b"\x02" + (PLANE.pack(1, 3) + b"abc") * 2,
        b"\x02" + (PLANE.pack(3, 4) + b"abcd") * 2,
        b"\x02" + PLANE.pack(1, 2**32 - 1) + b"abcd" * 2,
        b"\x02" + (PLANE.pack(2, 4) + b"abcd") * 2,
        b"\x02" + (PLANE.pack(2, 0)) * 2,
    ],
    ids=lambda data: data[:12].hex() or "empty",
)
def test_a_malformed_section_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        section.decode(data, 4, 2)


def test_constant_planes_fill_the_words() -> None:
    data = b"\x02" + PLANE.pack(0, 1) + b"\xab" + PLANE.pack(1, 3) + b"\x01\x02\x03"
    assert section.decode(data, 3, 2).tolist() == [0xAB01, 0xAB02, 0xAB03]


def test_hostile_sections_allocate_little() -> None:
    program = (
        "import resource, struct\n"
        "from mvc.codec import section\nfrom mvc.base.errors import FormatError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))\n"
        "head = b'\\x28\\xb5\\x2f\\xfd'\n"
        "frames = [head + b'\\xe0' + (1 << 40).to_bytes(8, 'little') + b'\\x01\\0\\0',\n"
        "          head + b'\\x00\\xff' + b'\\x01\\0\\0', head + b'\\xa0\\xff\\xff\\xff\\xff']\n"
        "for frame in frames:\n"
        "    data = b'\\x02' + (struct.pack('<BI', 2, len(frame)) + frame) * 4\n"
        "    try:\n        section.decode(data, 1 << 20, 4)\n"
        "    except FormatError:\n        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["refused"] * 3, done.stderr


@pytest.mark.parametrize(
    ("transform", "sections", "base"),
    [
        (4, (b"\x00ab", b"\x00ab"), None),
        (-1, (b"\x00ab", b"\x00ab"), None),
        (Transform.PLAIN, (), None),
        (Transform.PLAIN, (b"\x00ab",) * 3, None),
        (Transform.INTEGER_DELTA, (b"\x00ab", b"\x00ab"), None),
        (Transform.FLOAT_DELTA, (b"\x00ab", b"\x00ab"), split(bytes(16), 4)),
    ],
    ids=["unknown", "negative", "no sections", "too many", "no base", "base of another length"],
)
def test_a_record_that_contradicts_itself_is_refused(
    transform: int, sections: tuple[bytes, ...], base: Segments | None
) -> None:
    with pytest.raises(FormatError):
        chunk.decode(transform, sections, 4, 3, base)


@pytest.mark.parametrize("word", WORDS)
def test_words_are_cut_from_the_top(word: int) -> None:
    value = int.from_bytes(range(1, word + 1), "big")
    parts = split(value.to_bytes(word, "little") * 3, word)
    assert [part.itemsize for part in parts] == list(SEGMENTS[word])
    assert b"".join(part[:1].byteswap().tobytes() for part in parts) == bytes(range(1, word + 1))
    assert bytes(join(parts, word)) == value.to_bytes(word, "little") * 3


def test_the_top_segment_of_a_float32_is_its_truncation_to_bfloat16() -> None:
    data = np.random.default_rng(1).normal(0, 1, 100).astype("<f4")
    top = split(data.tobytes(), 4)[0].view(ml_dtypes.bfloat16).astype("<f4")
    assert np.all(np.abs(top) <= np.abs(data))
    assert np.all(np.abs(data - top) <= np.abs(data) * 2**-7)


@pytest.mark.parametrize("word", WORDS)
def test_swapping_twice_changes_nothing(word: int) -> None:
    data = bytes(range(16))
    assert bytes(swapped(data, word)[:word]) == data[:word][::-1]
    assert bytes(swapped(swapped(data, word), word)) == data


def test_the_order_of_mapped_words_is_that_of_the_floats() -> None:
    values = np.array([-np.inf, -2.5, -1, -1e-40, -0.0, 0.0, 1e-40, 1, 2.5, np.inf], "<f4")
    mapped = delta._ordered(split(values.tobytes(), 4))
    whole = np.frombuffer(join(mapped, 4), "<u4")
    assert np.all(np.diff(whole.astype(np.int64)) > 0)


@pytest.mark.parametrize("width", sorted(UNITS))
def test_a_step_up_or_down_is_a_small_number(width: int) -> None:
    base = np.array([0, 5, 256**width - 1], UNITS[width])
    up, down = base + UNITS[width].type(1), base - UNITS[width].type(1)
    assert delta.residual((up,), (base,), floats=False)[0].tolist() == [2, 2, 2]
    assert delta.residual((down,), (base,), floats=False)[0].tolist() == [1, 1, 1]


def test_a_close_base_is_used_and_a_far_one_is_not() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(0, 0.02, 20_000).astype("<f4")
    near = (base + rng.normal(0, 1e-7, len(base)).astype("<f4")).tobytes()
    far = rng.normal(0, 0.02, len(base)).astype("<f4").tobytes()
    segments = split(base.tobytes(), 4)
    close = chunk.encode(split(near, 4), "float", segments)
    alone = chunk.encode(split(near, 4), "float", None)
    assert close.transform is Transform.FLOAT_DELTA
    assert sum(map(len, close.sections)) < 0.7 * sum(map(len, alone.sections))
    assert chunk.encode(split(far, 4), "float", segments).transform is Transform.ROTATED


def test_noise_is_kept_as_it_is() -> None:
    noise = np.frombuffer(np.random.default_rng(3).bytes(400_000), "<u2")
    assert len(section.encode(noise)) == noise.nbytes + 1


def test_a_coder_that_errs_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = section.encode
    monkeypatch.setattr(section, "encode", lambda part, level: real(part[::-1].copy(), level))
    with pytest.raises(IntegrityError, match="same bits"):
        chunk.encode(split(bytes(range(64)), 4), "float", None)


def test_a_sample_is_taken_from_everywhere() -> None:
    segment = np.arange(100_000, dtype="<u4")
    taken = section.sample(segment, 1600)
    assert len(taken) == 1600
    assert taken[0] == 0
    assert taken[-1] == 99_999
    assert section.sample(segment[:10], 1600).tolist() == list(range(10))
