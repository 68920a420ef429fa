from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.codings import MAKERS, Coding, FmDelta, Planes
from benchmarks.contenders import CODINGS
from benchmarks.extras import MissingExtra
from benchmarks.words import (
    UNSIGNED,
    Words,
    bit_lengths,
    entropy_bytes,
    joined,
    ordered,
    planes,
    unordered,
    unzigzag,
    zigzag,
)

SIZES = st.sampled_from([1, 2, 4, 8])
WITHOUT_TORCH = [name for name in CODINGS if not name.startswith("zipnn")]
LABELS = {1: "int8", 2: "bfloat16", 4: "float32", 8: "float64"}


@st.composite
def some_words(draw: st.DrawFn) -> Words:
    kind = UNSIGNED[draw(SIZES)]
    values: Words = draw(arrays.arrays(kind, st.integers(0, 50)))
    return values


@st.composite
def relatives(draw: st.DrawFn) -> tuple[Words, Words]:
    kind = UNSIGNED[draw(SIZES)]
    shape = draw(st.integers(0, 50))
    return draw(arrays.arrays(kind, shape)), draw(arrays.arrays(kind, shape))


@given(some_words(), st.booleans())
def test_the_ordered_map_can_be_undone(words: Words, is_float: bool) -> None:
    assert np.array_equal(unordered(ordered(words, is_float=is_float), is_float=is_float), words)


@given(arrays.arrays("<f4", 20, elements=st.floats(width=32, allow_nan=False)))
def test_ordered_words_sort_as_the_numbers_do(values: np.ndarray) -> None:
    mapped = ordered(values.view("<u4"), is_float=True)
    assert np.array_equal(values[np.argsort(mapped)], np.sort(values))


def test_ordered_integers_sort_as_the_numbers_do() -> None:
    values = np.arange(-128, 128).astype(np.int8)
    assert np.array_equal(ordered(values.view(np.uint8), is_float=False), np.arange(256))


@given(some_words())
def test_zigzag_can_be_undone(words: Words) -> None:
    assert np.array_equal(unzigzag(zigzag(words)), words)


def test_zigzag_makes_small_residuals_small() -> None:
    residuals = np.array([0, -1, 1, -2], np.int16).view(np.uint16)
    assert zigzag(residuals).tolist() == [0, 1, 2, 3]


@given(some_words())
def test_planes_are_joined_again(words: Words) -> None:
    assert np.array_equal(joined(list(planes(words)), words.itemsize), words)


@given(st.lists(st.integers(0, (1 << 53) - 1), min_size=1))
def test_bit_lengths_are_those_of_python(values: list[int]) -> None:
    lengths = bit_lengths(np.array(values, np.int64))
    assert lengths.tolist() == [value.bit_length() for value in values]


def test_the_entropy_of_four_equally_frequent_symbols_is_two_bits() -> None:
    assert entropy_bytes(np.array([-3, 0, 1, 7] * 8)) == pytest.approx(32 * 2 / 8)
    assert entropy_bytes(np.array([5] * 100)) == 0
    assert entropy_bytes(np.empty(0, np.int64)) == 0


@pytest.mark.parametrize("name", WITHOUT_TORCH)
@given(relatives(), st.booleans())
def test_words_come_back(name: str, pair: tuple[Words, Words], based: bool) -> None:
    _check_round_trip(MAKERS[name](), *pair, based=based)


@pytest.mark.parametrize("name", ["zipnn", "zipnn-xor"])
def test_zipnn_gives_words_back(name: str) -> None:
    try:
        coding = MAKERS[name]()
    except MissingExtra as missing:
        pytest.skip(str(missing))
    random = np.random.default_rng(0)
    for size in UNSIGNED:
        words, base = _fine_tuned(random, 3000, size)
        _check_round_trip(coding, words, base, based=name == "zipnn-xor")


def _check_round_trip(coding: Coding, words: Words, base: Words, *, based: bool) -> None:
    before = words.copy()
    against = base if based else None
    label = LABELS[words.itemsize]
    code = coding.encode(words, label, against)
    assert np.array_equal(coding.decode(code, label, against), before)
    assert np.array_equal(words, before)
    assert code.size >= 0


def _fine_tuned(random: np.random.Generator, count: int, size: int) -> tuple[Words, Words]:
    values = random.normal(0, 0.02, count).astype("<f4")
    moved = values + random.normal(0, 1e-5, count).astype("<f4")
    if size in (1, 8):
        return moved.view(UNSIGNED[size]), values.view(UNSIGNED[size])
    top = size // 2
    words, base = (v.view("<u2").reshape(-1, 2)[:, 2 - top :].ravel() for v in (moved, values))
    return words.view(UNSIGNED[size]), base.view(UNSIGNED[size])


def test_the_bound_on_fm_delta_counts_symbols_and_the_bits_below_them() -> None:
    # Differences 0, 1, -1 and 4 are four symbols, 2 bits each; below the top bit of 4 lie 2 more.
    base = np.full(4, 0x3F80_0000, "<u4")
    words = base + np.array([0, 1, 0, 4], "<u4")
    words[2] -= np.uint32(1)
    assert FmDelta().encode(words, "float32", base).size == pytest.approx((4 * 2 + 2) / 8)


def test_equal_tensors_cost_next_to_nothing_against_each_other() -> None:
    words = np.random.default_rng(1).integers(0, 1 << 32, 100_000, dtype=np.uint32)
    for name in WITHOUT_TORCH:
        if CODINGS[name].bases:
            assert MAKERS[name]().encode(words, "float32", words).size < 200


def test_a_relative_of_a_tensor_saves_bytes_in_every_delta_coding() -> None:
    words, base = _fine_tuned(np.random.default_rng(2), 50_000, 4)
    for name in WITHOUT_TORCH:
        coding = MAKERS[name]()
        if CODINGS[name].bases:
            alone = coding.encode(words, "float32", None).size
            assert coding.encode(words, "float32", base).size < 0.7 * alone


def test_planes_that_are_noise_stay_as_they_are() -> None:
    words = np.random.default_rng(3).integers(0, 1 << 32, 50_000, dtype=np.uint32)
    assert Planes().encode(words, "float32", None).size == words.nbytes + words.itemsize


def test_every_coding_that_takes_part_can_be_made() -> None:
    assert set(MAKERS) == set(CODINGS)
