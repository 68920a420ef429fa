from __future__ import annotations

from collections import Counter
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.dtypes import SEGMENTS
from mvc.base.errors import FormatError, IntegrityError
from mvc.codec import chunk, delta, plain, section
from mvc.codec.chunk import DEFAULT, EFFORTS, FAST, Coded, Transform
from mvc.codec.matrix import Matrix
from mvc.codec.section import Columns
from mvc.codec.segments import Segments, split
from tests.codec.material import (
    AGAINST,
    ALONE,
    DTYPES,
    FAMILIES,
    LENGTHS,
    ROW,
    SPECIAL,
    WORDS,
    Case,
    anatomy,
    blocks,
    cases,
    check,
    noise,
    resized,
    same,
    special,
    trained,
    weights,
)

COUNT = 20_000


def parts(case: Case, coded: Coded) -> set[str]:
    """Return what the sections of a chunk are made of, and their transform."""
    found = {coded.transform.name}
    for data, width in zip(coded.sections, SEGMENTS[case.word], strict=True):
        found |= {*anatomy(data, width)}
    return found


@given(cases())
def test_words_come_back_bit_for_bit_whole_and_in_part(case: Case) -> None:
    check(case)


@given(cases(), st.sampled_from(LENGTHS))
def test_a_chunk_can_be_against_any_other(case: Case, how: str) -> None:
    rng = np.random.default_rng(len(case.words))
    for base in (special(rng, len(case.words), case.word), trained(rng, case.words)):
        check(replace(case, base=resized(rng, base, how)))


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("effort", sorted(EFFORTS))
def test_every_mode_and_kind_is_reached_and_comes_back(word: int, effort: str) -> None:
    """What `cases` draws from reaches every mode; what it misses would go untested."""
    found: Counter[str] = Counter()
    for family in FAMILIES:
        for number, shape in enumerate([*ALONE, *AGAINST]):
            for count in (COUNT, 100_000):
                rng = np.random.default_rng(number)
                if shape in ALONE:
                    case = Case(shape, ALONE[shape](rng, count, word))
                else:
                    base = weights(rng, count, word)
                    case = Case(shape, AGAINST[shape](rng, base), base)
                case = replace(
                    case,
                    family=family,
                    effort=EFFORTS[effort],
                    columns=Columns(18, 3) if shape == "blocks" else None,
                    matrix=Matrix(DTYPES[word][0], ROW, 0) if shape == "by row" else None,
                )
                found.update(parts(case, check(case)))
    if effort == "fast":
        expected = {"constant", "raw", "planes:zstd", "sparse"}
        assert not [name for name in found if {"pco", "gaps", "groups"} & {*name.split(":")}]
    else:
        expected = {
            "constant",
            "raw",
            "planes:zstd",
            "pco",
            "groups:column",
            "groups>pco",
        }
        if word > 1:
            expected |= {"sparse", "groups>gaps", "planes:pco"}
            expected |= {"groups:size", "groups:as above"} if word > 2 else {"groups:size"}
    if word > 2:
        expected |= {"lookup"}
    expected |= {"PLAIN", "ROTATED", "INTEGER_DELTA", "FLOAT_DELTA"}
    assert expected <= {*found}, sorted(expected - {*found})
    if effort == "default" and word > 1:
        assert any(name.startswith(("groups:base", "groups:magnitude")) for name in found)


@pytest.mark.slow
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("shape", [*ALONE, *AGAINST])
def test_a_whole_chunk_comes_back(word: int, shape: str) -> None:
    rng = np.random.default_rng(word)
    for family in FAMILIES:
        for effort in EFFORTS.values():
            for count in (1 << 20, (1 << 20) - 1):
                if shape in ALONE:
                    case = Case(shape, ALONE[shape](rng, count, word), None, family, effort)
                else:
                    base = weights(rng, count, word)
                    case = Case(shape, AGAINST[shape](rng, base), base, family, effort)
                check(replace(case, matrix=Matrix(DTYPES[word][0], ROW, 7 << 20)))


def test_a_base_forms_groups_of_several_finenesses() -> None:
    found = set()
    for word, dtype in ((2, np.float16), (4, np.float32), (8, np.float64)):
        for step in (1e-5, 1e-4, 1e-3, 1e-2):
            rng = np.random.default_rng(word)
            values = rng.normal(0, 0.02, 200_000)
            moved = values * (1 - step) + rng.normal(0, step / 100, len(values))
            base, words = (side.astype(dtype).view(f"<u{word}") for side in (values, moved))
            case = Case("trained", words, base)
            found |= {name for name in parts(case, check(case)) if name.startswith("groups:")}
    assert len({name for name in found if name.startswith("groups:base")}) >= 2, found
    assert len({name for name in found if name.startswith("groups:magnitude")}) >= 1, found


NARROW = {
    "bfloat16 in float32": (4, ml_dtypes.bfloat16, "<f4", 2.03),
    "float16 in float32": (4, np.float16, "<f4", 1.9),
    "float32 in float64": (8, np.float32, "<f8", 1.9),
}


@pytest.mark.parametrize("name", NARROW)
def test_bits_that_a_narrower_float_left_empty_cost_next_to_nothing(name: str) -> None:
    word, inner, outer, least = NARROW[name]
    values = np.random.default_rng(8).normal(0, 0.02, 200_000).astype(inner).astype(outer)
    case = Case(name, values.view(f"<u{word}"))
    coded = check(case)
    assert sum(map(len, coded.sections)) < values.nbytes / least


@pytest.mark.parametrize(("reach", "bits"), [(127, 8), (8, 4.2)])
def test_integers_times_a_scale_cost_little_more_than_the_integers(reach: int, bits: float) -> None:
    rng = np.random.default_rng(9)
    values = (rng.integers(-reach, reach + 1, 300_000) * np.float32(0.00123)).astype("<f4")
    case = Case("palette", values.view("<u4"))
    coded = check(case)
    assert "lookup" in parts(case, coded)
    assert sum(map(len, coded.sections)) < 1.03 * len(values) * bits / 8 + 2000


def test_a_palette_that_the_first_words_do_not_show_costs_no_more_than_raw() -> None:
    rng = np.random.default_rng(10)
    top = np.full(1 << 20, 0x3C00, "<u2")
    low = rng.integers(0, 1 << 16, 1 << 20).astype("<u2")
    low[:5000] = rng.choice(np.array([1, 2, 3], "<u2"), 5000)
    check(Case("no palette", (top.astype("<u4") << 16 | low).astype("<u4")))


def test_a_close_base_is_used_and_a_far_one_is_not() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(0, 0.02, COUNT).astype("<f4")
    near = (base + rng.normal(0, 1e-7, len(base)).astype("<f4")).view("<u4")
    far = rng.normal(0, 0.02, len(base)).astype("<f4").view("<u4")
    for effort in EFFORTS.values():
        close = Case("near", near, base.view("<u4"), effort=effort)
        coded, alone = check(close), check(replace(close, base=None))
        assert coded.transform is Transform.FLOAT_DELTA
        assert sum(map(len, coded.sections)) < 0.7 * sum(map(len, alone.sections))
        assert check(replace(close, words=far)).transform is Transform.ROTATED


@pytest.mark.parametrize("effort", sorted(EFFORTS))
@pytest.mark.parametrize("word", WORDS)
def test_an_equal_base_leaves_nothing(word: int, effort: str) -> None:
    words = noise(np.random.default_rng(word), COUNT, word)
    case = Case("equal", words, words, "int", EFFORTS[effort])
    coded = check(case)
    assert sum(map(len, coded.sections)) < 32


def test_noise_costs_a_byte_a_section_whatever_it_is_compared_with() -> None:
    for word in WORDS:
        rng = np.random.default_rng(word)
        words, base = noise(rng, COUNT, word), noise(rng, COUNT, word)
        for family in FAMILIES:
            for effort in EFFORTS.values():
                for other in (None, base):
                    case = Case("noise", words, other, family, effort)
                    total = sum(map(len, check(case).sections))
                    assert total == words.nbytes + len(SEGMENTS[word])


@pytest.mark.parametrize("stride", [18, 20, 22, 24, 34, 66, 84, 144, 176, 210, 256])
def test_quantised_blocks_cost_less_by_column(stride: int) -> None:
    words = blocks(np.random.default_rng(stride), 200_000, 1, stride)
    for phase in (0, 1, stride - 1):
        shifted = words[phase:]
        known = Case("blocks", shifted, None, "opaque", columns=Columns(stride, phase))
        whole = sum(map(len, check(known).sections))
        assert whole <= sum(map(len, check(replace(known, columns=None)).sections))


@pytest.mark.parametrize("how", ["longer", "shorter", "one"])
def test_a_base_of_another_length_counts_as_cut_or_repeated(how: str) -> None:
    rng = np.random.default_rng(11)
    words = weights(rng, COUNT, 4)
    base = resized(rng, words, how)
    fitted = np.resize(base, COUNT)
    one, two = (Case("fit", words, held).encode() for held in (base, fitted))
    assert one == two
    assert same(chunk.fit(split(base.tobytes(), 4), COUNT), split(fitted.tobytes(), 4))


def test_appended_rows_leave_the_common_part_a_difference() -> None:
    rng = np.random.default_rng(12)
    base = weights(rng, 100_000, 4)
    words = np.concatenate([trained(rng, base), weights(rng, 500, 4)])
    grown = Case("grown", words, base)
    coded = check(grown)
    assert coded.transform is Transform.FLOAT_DELTA
    assert sum(map(len, coded.sections)) < 0.8 * sum(
        map(len, check(replace(grown, base=None)).sections)
    )


def test_a_relative_resembles_and_a_stranger_does_not() -> None:
    rng = np.random.default_rng(13)
    for word, close in ((2, 0.7), (4, 0.7), (8, 0.7)):
        base = weights(rng, COUNT, word)
        tops = [
            split(words.tobytes(), word)[0]
            for words in (base, trained(rng, base), weights(rng, COUNT, word), base[: COUNT // 2])
        ]
        assert chunk.resemblance(tops[0], tops[0], "float") < 0.01
        assert chunk.resemblance(tops[1], tops[0], "float") < close
        assert chunk.resemblance(tops[2], tops[0], "float") > 0.99
        assert chunk.resemblance(tops[0], tops[3], "float") < 0.8


def raw(*units: bytes) -> tuple[bytes, ...]:
    return tuple(b"\x01" + part for part in units)


CONSTANT = b"\x00ab"


@pytest.mark.parametrize(
    ("transform", "sections", "base"),
    [
        (8, (CONSTANT, CONSTANT), None),
        (255, (CONSTANT, CONSTANT), None),
        (-1, (CONSTANT, CONSTANT), None),
        (Transform.PLAIN, (), None),
        (Transform.PLAIN, (CONSTANT,) * 3, None),
        (Transform.INTEGER_DELTA, (CONSTANT, CONSTANT), None),
        (Transform.INTEGER_DELTA, (CONSTANT, CONSTANT), split(b"", 4)),
        (Transform.FLOAT_DELTA, (CONSTANT, CONSTANT), split(bytes(24), 8)),
        (Transform.INTEGER_DELTA, (CONSTANT, CONSTANT), split(bytes(3), 1)),
        (Transform.INTEGER_DELTA, (CONSTANT, CONSTANT), split(bytes(6), 2)),
        (Transform.FLOAT_DELTA, (CONSTANT, CONSTANT), split(bytes(12), 4)[:1]),
        (Transform.PLAIN, raw(bytes(6), bytes(5)), None),
        (Transform.PLAIN, (CONSTANT, b""), None),
    ],
    ids=[
        "unknown",
        "unknown byte",
        "negative",
        "no sections",
        "too many",
        "no base",
        "empty base",
        "base of eight bytes",
        "base of one byte",
        "base of two bytes",
        "base without its lower segment",
        "short section",
        "empty section",
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    transform: int, sections: tuple[bytes, ...], base: Segments | None
) -> None:
    with pytest.raises(FormatError):
        chunk.decode(transform, sections, 4, 3, base)


@pytest.mark.parametrize("transform", [Transform.PLAIN, Transform.ROTATED])
def test_a_record_without_base_does_not_look_at_one(transform: Transform) -> None:
    for base in (None, split(bytes(24), 8), split(bytes(12), 4)):
        again = chunk.decode(transform, (CONSTANT, CONSTANT), 4, 3, base)
        assert same(again[1:], (np.full(3, 0x6261, "<u2"),))


@given(cases(), st.data())
def test_changed_records_give_segments_or_a_format_error(case: Case, data: st.DataObject) -> None:
    coded = case.encode()
    sections = [bytearray(part) for part in coded.sections]
    for _ in range(data.draw(st.integers(0, 3))):
        part = data.draw(st.sampled_from(sections))
        if part:
            near = min(len(part), data.draw(st.sampled_from([8, 40, 1 << 30])))
            part[data.draw(st.integers(0, near - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        part = data.draw(st.sampled_from(sections))
        del part[data.draw(st.integers(0, len(part))) :]
    transform = data.draw(st.sampled_from([int(coded.transform), 0, 1, 2, 3]))
    base = data.draw(st.sampled_from([case.base_segments, None, split(bytes(64), 8)]))
    count = data.draw(st.sampled_from([len(case.words)] * 4 + [len(case.words) + 1, 1]))
    try:
        again = chunk.decode(transform, tuple(map(bytes, sections)), case.word, count, base)
    except FormatError:
        return
    assert [(len(part), part.itemsize) for part in again] == [
        (count, width) for width in SEGMENTS[case.word]
    ]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("transform", [item for item in Transform if item < 4])
def test_every_transform_restores_every_word(word: int, transform: Transform) -> None:
    rng = np.random.default_rng(word)
    words, other = special(rng, 3000, word), special(rng, 3000, word)
    segments, base = split(words.tobytes(), word), split(other.tobytes(), word)
    if transform is Transform.ROTATED:
        prepared = (delta.rotate(segments[0]), *segments[1:])
    elif transform.needs_base:
        prepared = delta.residual(segments, base, floats=transform is Transform.FLOAT_DELTA)
    else:
        prepared = segments
    sections = tuple(plain.encode(part, plain.RAW) for part in prepared)
    for some in range(1, len(sections) + 1):
        again = chunk.decode(transform, sections[:some], word, len(words), base)
        assert same(again, segments[:some])


def test_a_coder_that_errs_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = section.encode
    monkeypatch.setattr(section, "encode", lambda part, *rest: real(part[::-1].copy(), *rest))
    with pytest.raises(IntegrityError, match="same bits"):
        chunk.encode(split(bytes(range(64)), 4), "float", None)


@pytest.mark.parametrize("word", WORDS)
def test_default_takes_hardly_more_than_fast(word: int) -> None:
    """The sample that decides is small, so a byte or so in a hundred may be lost."""
    for number, shape in enumerate([*ALONE, *AGAINST]):
        rng = np.random.default_rng(number)
        if shape in ALONE:
            case = Case(shape, ALONE[shape](rng, 100_000, word))
        else:
            base = weights(rng, 100_000, word)
            matrix = Matrix(DTYPES[word][0], ROW, 0)
            case = Case(shape, AGAINST[shape](rng, base), base, matrix=matrix)
        for family in FAMILIES:
            default, fast = (
                sum(map(len, replace(case, family=family, effort=effort).encode().sections))
                for effort in (DEFAULT, FAST)
            )
            assert default <= 1.01 * fast + 300, (shape, family)


def test_special_words_are_all_there() -> None:
    for word, values in SPECIAL.items():
        assert np.array(values, f"<u{word}").tolist() == values


@pytest.mark.parametrize("effort", sorted(EFFORTS))
def test_rows_that_occur_twice_are_found_wherever_they_are(effort: str) -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(0, 1, (130, 256)).astype("<f4")
    words = np.concatenate([rows, rows])[rng.permutation(260)]
    case = Case("twice", words.view("<u4").reshape(-1), None, "float", EFFORTS[effort])
    assert check(case).size < 0.6 * words.nbytes
