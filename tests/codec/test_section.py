from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import pco, plain, section, zstd
from mvc.codec.plain import Coding, Mode, Plane
from mvc.codec.section import BaseBits, Columns, Context, Rule
from mvc.codec.segments import UNITS, Segment
from mvc.codec.sizes import Sizes
from tests.codec.material import ALONE, anatomy, gathered, noise, palette, repeated, small, weights

pytestmark = pytest.mark.usefixtures("each_kernels")

LENGTH = struct.Struct("<I")
HEAD = struct.Struct("<BBBB")
SIZES = struct.Struct("<HIII")
CODINGS = [
    Coding(Mode.RAW),
    Coding(Mode.PCO),
    Coding(Mode.PLANES, (Plane.ZSTD,) * 4),
    Coding(Mode.PLANES, (Plane.PCO,) * 4),
]


def fitted(coding: Coding, width: int) -> Coding:
    return Coding(coding.mode, coding.planes[:width], coding.level)


@st.composite
def rules(draw: st.DrawFn, count: int, width: int) -> Rule:
    """Return any rule for so many words, whose base has a top unit of `width` bytes."""
    kind = draw(st.sampled_from(["base", "column", "size"]))
    floor = draw(st.integers(10, 32))
    if kind == "base":
        signed = draw(st.booleans())
        most = min(12, width * 8 - (not signed))
        return BaseBits(draw(st.integers(1, most)), floor, signed)
    if kind == "column":
        stride = draw(st.integers(2, 256))
        return Columns(stride, draw(st.integers(0, stride - 1)))
    exponent = draw(st.integers(1, min(12, width * 8) - 1))
    columns = draw(st.integers(16, 2000))
    start = draw(st.integers(0, columns - 1))
    rows = -(-(start + count) // columns)
    levels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, rows, np.uint8)
    reference = draw(st.integers(0, (1 << exponent) - 1))
    return Sizes(exponent, floor, reference, columns, start, levels.tobytes())


@st.composite
def ruled(draw: st.DrawFn) -> tuple[Segment, Segment, Rule]:
    """Return a segment, the top of a base, and a rule for groups."""
    width, top_width = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2]))
    count = draw(st.sampled_from([1, 17, 300, 4096, 8192, 20_000, 70_000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    segment = ALONE[draw(st.sampled_from(sorted(ALONE)))](rng, count, width)
    top = ALONE[draw(st.sampled_from(["noise", "weights", "small"]))](rng, count, top_width)
    return segment, top, draw(rules(count, top_width))


@given(ruled(), st.sampled_from(CODINGS))
def test_groups_of_any_rule_come_back_and_are_at_most_a_byte_longer(
    case: tuple[Segment, Segment, Rule], coding: Coding
) -> None:
    segment, top, rule = case
    width = segment.itemsize
    coded = section.encode(segment, fitted(coding, width), Context(len(top), top), rule)
    assert len(coded) <= segment.nbytes + 1
    again = section.decode(coded, width, Context(len(top), top))
    assert again.dtype == segment.dtype
    assert again.tobytes() == segment.tobytes()


@given(ruled(), st.sampled_from(CODINGS[1:]), st.data())
def test_changed_groups_give_units_or_a_format_error(
    case: tuple[Segment, Segment, Rule], coding: Coding, data: st.DataObject
) -> None:
    segment, top, rule = case
    width = segment.itemsize
    coded = section.encode(segment, fitted(coding, width), Context(len(top), top), rule)
    _mutated(coded, width, Context(len(top), top), data)


def _mutated(coded: bytes, width: int, context: Context, data: st.DataObject) -> None:
    changed = bytearray(coded)
    for _ in range(data.draw(st.integers(0, 3))):
        near = min(len(changed), data.draw(st.sampled_from([4, 24, 60, 1 << 30])))
        changed[data.draw(st.integers(0, near - 1))] ^= data.draw(st.integers(1, 255))
    how = data.draw(st.sampled_from(["changed", "cut", "longer"]))
    if how == "cut":
        changed = changed[: data.draw(st.integers(0, len(changed) - 1))]
    elif how == "longer":
        changed += data.draw(st.binary(min_size=1, max_size=9))
    try:
        again = section.decode(bytes(changed), width, context)
    except FormatError:
        return
    assert (len(again), again.itemsize) == (context.count, width)


@st.composite
def looked_up(draw: st.DrawFn) -> tuple[Segment, Segment, bytes | None]:
    """Return a lower segment, the upper one, and the section that looks it up."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([16, 17, 500, 4096, 20_000]))
    pairs = draw(st.integers(1, 300))
    width = draw(st.sampled_from([2, 4]))
    uppers, lowers = noise(rng, pairs, 2), noise(rng, pairs, width)
    if draw(st.booleans()):
        uppers = rng.choice(uppers[:3], pairs)
    picks = rng.integers(0, pairs, count)
    low, above = lowers[picks], uppers[picks]
    return low, above, section.lookup(low, above, entropy=draw(st.booleans()))


@given(looked_up())
def test_a_palette_comes_back(case: tuple[Segment, Segment, bytes | None]) -> None:
    low, above, coded = case
    if coded is None:
        return
    again = section.decode(coded, low.itemsize, Context(len(low), None, above))
    assert again.dtype == low.dtype
    assert again.tobytes() == low.tobytes()


@given(looked_up(), st.data())
def test_a_changed_palette_gives_units_or_a_format_error(
    case: tuple[Segment, Segment, bytes | None], data: st.DataObject
) -> None:
    low, above, coded = case
    if coded is not None:
        _mutated(coded, low.itemsize, Context(len(low), None, above), data)


def test_words_of_many_values_have_no_palette() -> None:
    rng = np.random.default_rng(1)
    low, above = noise(rng, 100_000, 2), noise(rng, 100_000, 2)
    assert section.lookup(low, above, entropy=True) is None


def test_the_largest_palette_comes_back() -> None:
    low = np.resize(np.arange(1 << 16, dtype="<u2"), 1 << 20)
    above = np.full(len(low), 7, "<u2")
    coded = section.lookup(low, above, entropy=True)
    assert coded is not None
    assert (section.decode(coded, 2, Context(len(low), None, above)) == low).all()


def units(*values: int, width: int = 2) -> bytes:
    return bytes([Mode.RAW]) + np.array(values, UNITS[width]).tobytes()


def table(uppers: list[int], lowers: list[int], *choice: int, pairs: int | None = None) -> bytes:
    count = len(uppers) if pairs is None else pairs
    held = np.array(uppers, "<u2").tobytes() + np.array(lowers, "<u2").tobytes()
    return bytes([Mode.LOOKUP]) + LENGTH.pack(count) + held + units(*choice)


ABOVE = np.array([5, 5, 9, 5], "<u2")
WRONG_PALETTES = {
    "no pairs": table([], [], 0, 0, 0, 0),
    "no length": bytes([Mode.LOOKUP]),
    "too many pairs": table([5, 9], [1, 2], 0, 0, 0, 0, pairs=65537),
    "more pairs than there are": table([5, 9], [1, 2], 0, 0, 0, 0, pairs=100),
    "2^32 pairs": table([5, 9], [1, 2], 0, 0, 0, 0, pairs=2**32 - 1),
    "an upper that is missing": table([5], [1], 0, 0, 0, 0),
    "an upper below all": table([6, 9], [1, 2], 0, 0, 0, 0),
    "a choice behind the end": table([5, 9], [1, 2], 0, 0, 1, 0),
    "a choice of another upper": table([5, 9], [1, 2], 0, 0, 0, 1),
    "the largest choice": table([5, 9], [1, 2], 0, 0, 0, 65535),
    "pairs out of order": table([9, 5], [1, 2], 1, 1, 0, 1),
    "lowers out of order": table([5, 5, 9], [2, 1, 3], 0, 1, 0, 1),
    "a pair twice": table([5, 5, 9], [1, 1, 3], 0, 1, 0, 1),
    "too few choices": table([5, 9], [1, 2], 0, 0, 0),
    "too many choices": table([5, 9], [1, 2], 0, 0, 0, 0, 0),
    "bytes behind": table([5, 9], [1, 2], 0, 0, 0, 0) + b"\x00",
    "no choices": table([5, 9], [1, 2])[:-1],
}


@pytest.mark.parametrize("name", WRONG_PALETTES)
def test_an_impossible_palette_is_refused(name: str) -> None:
    with pytest.raises(FormatError):
        section.decode(WRONG_PALETTES[name], 2, Context(4, None, ABOVE))


def test_a_palette_without_the_segment_above_is_refused() -> None:
    good = table([5, 9], [1, 2], 0, 0, 0, 0)
    assert section.decode(good, 2, Context(4, None, ABOVE)).tolist() == [1, 1, 2, 1]
    with pytest.raises(FormatError):
        section.decode(good, 2, Context(4, ABOVE))


def groups(kind: int, one: int, two: int, *parts: bytes, head: bytes = b"") -> bytes:
    held = b"".join(LENGTH.pack(len(part)) + part for part in parts)
    return HEAD.pack(Mode.GROUPS, kind, one, two) + head + held


def levels(
    *rows: int, reference: int = 130, columns: int = 16, start: int = 0, coded: bytes | None = None
) -> bytes:
    """Return what stands before the groups of a rule by size."""
    held = bytes([Mode.RAW, *rows]) if coded is None else coded
    return SIZES.pack(reference, columns, start, len(held)) + held


BASE = np.full(20, 0x3F80, "<u2")
ALL = units(*range(20))
GOOD = {
    "by base": groups(1, 9, 12, ALL),
    "by column": groups(2, 1, 0, units(*range(0, 20, 2)), units(*range(1, 20, 2))),
    "by size": groups(3, 8, 12, ALL, head=levels(1, 2)),
}
WRONG_GROUPS = {
    "no head": bytes([Mode.GROUPS]),
    "half a head": bytes([Mode.GROUPS, 1, 9]),
    "an unknown kind": groups(5, 9, 12, ALL),
    "kind 0": groups(0, 9, 12, ALL),
    "the last kind": groups(255, 9, 12, ALL),
    "no bits": groups(1, 0, 12, ALL),
    "too many bits": groups(1, 13, 12, ALL),
    "too small a floor": groups(1, 9, 9, ALL),
    "too large a floor": groups(1, 9, 33, ALL),
    "one column": groups(2, 0, 0, ALL),
    "a phase beyond the stride": groups(2, 1, 2, units(*range(10)), units(*range(10))),
    "no groups": groups(1, 9, 12),
    "one group too few": groups(2, 1, 0, units(*range(10))),
    "one group too many": groups(1, 9, 12, ALL, units(1)),
    "a group too short": groups(1, 9, 12, units(*range(19))),
    "a group too long": groups(1, 9, 12, units(*range(21))),
    "an empty group": groups(1, 9, 12, b""),
    "a length without a group": groups(1, 9, 12) + LENGTH.pack(2**32 - 1),
    "half a length": groups(1, 9, 12) + b"\x00\x00",
    "bytes behind": groups(1, 9, 12, ALL) + b"\x00",
    "groups in groups": groups(1, 9, 12, groups(1, 9, 12, ALL)),
    "sparse in groups": groups(1, 9, 12, b"\x07" + ALL),
    "a lookup in groups": groups(1, 9, 12, table([5], [1], *[0] * 20)),
    "groups as above without any": groups(4, 0, 0, ALL),
    "no levels": groups(3, 8, 12),
    "half a head of levels": groups(3, 8, 12) + levels(1, 2)[:10],
    "levels that end early": groups(3, 8, 12) + levels(1, 2)[:-1],
    "too few levels": groups(3, 8, 12, ALL, head=levels(1)),
    "too many levels": groups(3, 8, 12, ALL, head=levels(1, 2, 3)),
    "levels in levels": groups(3, 8, 12, ALL, head=levels(coded=groups(1, 8, 12, b"\x00a"))),
    "levels that are a map": groups(3, 8, 12, ALL, head=levels(coded=b"\x07" + bytes(9))),
    "no exponent": groups(3, 0, 12, ALL, head=levels(1, 2, reference=0)),
    "an exponent as wide as the unit": groups(3, 16, 12, ALL, head=levels(1, 2)),
    "an exponent too wide": groups(3, 12, 12, ALL, head=levels(1, 2)),
    "a floor too small": groups(3, 8, 9, ALL, head=levels(1, 2)),
    "a floor too large": groups(3, 8, 255, ALL, head=levels(1, 2)),
    "a reference beyond the exponent": groups(3, 8, 12, ALL, head=levels(1, 2, reference=256)),
    "too few columns": groups(3, 8, 12, ALL, head=levels(1, 2, columns=15)),
    "no columns": groups(3, 8, 12, ALL, head=levels(1, 2, columns=0)),
    "too many columns": groups(3, 8, 12, ALL, head=levels(1, columns=2**20 + 1)),
    "2^32 columns": groups(3, 8, 12, ALL, head=levels(1, columns=2**32 - 1)),
    "a start behind the first row": groups(3, 8, 12, ALL, head=levels(1, 2, start=16)),
    "a start far away": groups(3, 8, 12, ALL, head=levels(1, 2, start=2**32 - 1)),
}


@pytest.mark.parametrize("name", GOOD)
def test_groups_written_by_hand_are_read(name: str) -> None:
    assert section.decode(GOOD[name], 2, Context(20, BASE)).tolist() == list(range(20))


@pytest.mark.parametrize("name", WRONG_GROUPS)
def test_impossible_groups_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        section.decode(WRONG_GROUPS[name], 2, Context(20, BASE))


@pytest.mark.parametrize("name", ["by base", "by size"])
def test_groups_that_need_a_base_are_refused_without(name: str) -> None:
    with pytest.raises(FormatError):
        section.decode(GOOD[name], 2, Context(20))
    assert len(section.decode(GOOD["by column"], 2, Context(20))) == 20


def test_groups_as_above_are_those_of_the_section_before() -> None:
    context = Context(20, BASE)
    section.decode(GOOD["by size"], 2, context)
    assert section.decode(groups(4, 0, 0, ALL), 2, context).tolist() == list(range(20))
    for one, two in ((8, 0), (0, 12)):
        with pytest.raises(FormatError):
            section.decode(groups(4, one, two, ALL), 2, context)


def test_a_level_and_the_exponent_of_the_base_make_the_key() -> None:
    count = 3 << 12
    base = np.full(count, 0x3F80, "<u2")
    base[::3], base[1::3] = 0x3F00, 0x4000
    rows = -(-count // 4096)
    # From least to most: exponent 128 (two octaves nearer the reference than 126), 127, 126.
    places = np.arange(count)
    order = np.concatenate([places[1::3], places[2::3], places[::3]])
    rule = groups(
        3,
        8,
        12,
        *(units(*part.tolist()) for part in np.split(order, 3)),
        head=levels(*[10] * rows, reference=128, columns=4096),
    )
    assert section.decode(rule, 2, Context(count, base)).tolist() == places.tolist()


@given(
    st.binary(max_size=120),
    st.sampled_from([1, 20, 64, 130]),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 9),
    st.booleans(),
)
def test_random_sections_raise_only_format_errors(
    data: bytes, count: int, width: int, mode: int, told: bool
) -> None:
    rng = np.random.default_rng(1)
    context = Context(count, weights(rng, count, 2), noise(rng, count, 2) if told else None)
    try:
        again = section.decode(bytes([mode]) + data, width, context)
    except FormatError:
        return
    assert (len(again), again.itemsize) == (count, width)


@pytest.mark.parametrize("data", [b"", b"\x08", b"\x09" + bytes(40), b"\xff" * 41])
def test_an_unknown_mode_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        section.decode(data, 2, Context(20, BASE, BASE))


@pytest.mark.parametrize("kind", ["noise", "palette", "repeated", "gathered", "small"])
def test_a_grouped_segment_is_never_larger_than_raw(kind: str) -> None:
    makers = {
        "noise": noise,
        "palette": palette,
        "repeated": repeated,
        "gathered": gathered,
        "small": small,
    }
    rng = np.random.default_rng(2)
    for count in (300, 8192, 50_000):
        segment, top = makers[kind](rng, count, 2), noise(rng, count, 2)
        for rule in (BaseBits(12, 12), Columns(256, 255), Columns(2, 0)):
            for coding in CODINGS[1:]:
                coded = section.encode(segment, fitted(coding, 2), Context(count, top), rule)
                assert len(coded) <= segment.nbytes + 1


def test_a_section_without_a_rule_is_a_plain_one() -> None:
    rng = np.random.default_rng(3)
    segment = gathered(rng, 5000, 2)
    for coding in CODINGS:
        coded = section.encode(segment, fitted(coding, 2), Context(5000))
        assert coded == plain.encode(segment, fitted(coding, 2))
        assert (section.decode(coded, 2, Context(5000)) == segment).all()
    assert {*anatomy(coded, 2)} <= {"planes:pco", "planes:raw"}


def test_a_stream_or_frame_inside_a_section_must_be_of_its_length() -> None:
    for bad in (
        b"\x03" + pco.compress(np.arange(19, dtype="<u2")),
        b"\x02" + (struct.pack("<BI", 2, 31) + zstd.compress(bytes(19), 1)) * 2,
    ):
        with pytest.raises(FormatError):
            section.decode(groups(1, 9, 12, bad), 2, Context(20, BASE))


def test_levels_of_rows_tell_where_their_rows_are() -> None:
    base = np.arange(5000, dtype="<u2")
    sizes = Sizes(8, 12, 100, 96, 7, bytes(-(-(7 + 5000) // 96)))
    whole = section._head(sizes, Context(5000, base))
    assert section.row_of(whole) == (96, 7)
    assert section.row_of(whole[:8]) is None
    assert section.row_of(section._head(BaseBits(3, 12), Context(5000, base)) + bytes(40)) is None
    assert section.row_of(b"") is None
