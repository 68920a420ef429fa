from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvc.codec import lowrank_rows
from mvc.codec.lowrank import Factor, Factors, predict, rows_of
from mvc.codec.lowrank_bytes import decode_left, decode_right, encode_left, encode_right
from mvc.codec.lowrank_find import find_right
from mvc.codec.lowrank_fit import fit_left, on_grid
from mvc.codec.lowrank_rows import cost
from mvc.codec.lowrank_words import FLOATS
from mvc.codec.segments import UNITS, Segments, join, split

TYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}
KINDS = sorted(TYPES)

Values = NDArray[np.float64]


def matrix(rows: int, columns: int, seed: int = 1, scale: float = 0.05) -> Values:
    return np.random.default_rng(seed).normal(0, scale, (rows, columns))


def low_rank(rows: int, columns: int, rank: int, seed: int = 2) -> Values:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.02, (rows, rank)) @ rng.normal(0, 0.05, (rank, columns))


def sides(base: Values, added: Values, kind: str) -> tuple[Segments, Segments]:
    """Return the segments of what a merge gives, and of the base."""
    word = FLOATS[kind].word
    before = base.astype(TYPES[kind])
    after = (before.astype(np.float64) + added).astype(TYPES[kind])
    return split(after.tobytes(), word), split(before.tobytes(), word)


def ordered(segments: Segments, kind: str) -> NDArray[np.int64]:
    word = FLOATS[kind].word
    signed = np.frombuffer(join(segments, word), f"<i{word}").astype(np.int64)
    return np.where(signed < 0, -(signed & ((1 << (8 * word - 1)) - 1)) - 1, signed)


def left_over(
    new: Segments, base: Segments, kind: str, columns: int, start: int, right: Factor
) -> tuple[float, int]:
    """Return bits a word that a prediction leaves, and bytes of the left factor."""
    left = fit_left(new, base, kind, columns, start, right)
    coded = encode_left(left)
    rows = rows_of(len(new[0]), columns, start)
    assert np.array_equal(decode_left(coded, rows, len(right)), left)
    predicted = predict(base, kind, columns, start, Factors(left, right))
    return cost(ordered(new, kind) - ordered(predicted, kind)), len(coded)


@pytest.mark.parametrize(
    ("kind", "plain", "bits"),
    [
        ("float32", 15.0, 0.6),
        ("bfloat16", 4.0, 0.3),
        ("float16", 7.0, 0.3),
        ("float64", 40.0, 25.0),
    ],
)
def test_a_merged_adapter_costs_little(kind: str, plain: float, bits: float) -> None:
    rows, columns, rank = 512, 384, 8
    new, base = sides(matrix(rows, columns), low_rank(rows, columns, rank), kind)
    assert cost(ordered(new, kind) - ordered(base, kind)) > plain
    right = find_right(new, base, kind, columns, 0)
    assert right is not None
    assert right.shape == (rank, columns)
    coded = encode_right(right)
    assert np.array_equal(decode_right(coded, columns), right)
    remaining, size = left_over(new, base, kind, columns, 0, right)
    assert remaining < bits
    assert (len(coded) + size) * 8 / (rank * (rows + columns)) < min(32, FLOATS[kind].mantissa + 8)


@pytest.mark.parametrize("rank", [1, 3, 20, 40])
def test_ranks_are_found(rank: int) -> None:
    new, base = sides(matrix(400, 300), low_rank(400, 300, rank), "bfloat16")
    right = find_right(new, base, "bfloat16", 300, 0)
    assert right is not None
    assert len(right) == rank
    assert left_over(new, base, "bfloat16", 300, 0, right)[0] < 0.9


@pytest.mark.parametrize("start", [0, 1, 299, 12_345])
@pytest.mark.parametrize("count", [1, 299, 300, 301, 50_000])
def test_chunks_that_cut_rows_are_fitted(start: int, count: int) -> None:
    columns = 300
    whole_new, whole_base = sides(matrix(300, columns), low_rank(300, columns, 4), "float32")
    right = find_right(whole_new, whole_base, "float32", columns, 0)
    assert right is not None
    new, base = (
        tuple(part[start : start + count] for part in side) for side in (whole_new, whole_base)
    )
    bits, _ = left_over(new, base, "float32", columns, start, right)
    assert bits < (1.0 if count > 1000 else 4.0)


def test_a_chunk_that_begins_in_a_row_shows_the_rank() -> None:
    new, base = sides(matrix(300, 200), low_rank(300, 200, 5), "float32")
    new, base = (tuple(part[137:] for part in side) for side in (new, base))
    right = find_right(new, base, "float32", 200, 137)
    assert right is not None
    assert right.shape == (5, 200)


def test_more_rows_give_a_better_factor() -> None:
    rows, columns = 1024, 512
    new, base = sides(matrix(rows, columns), low_rank(rows, columns, 16), "bfloat16")
    chunk = [tuple(part[: 128 * columns] for part in side) for side in (new, base)]
    bits = []
    for one, two in (chunk, (new, base)):
        right = find_right(one, two, "bfloat16", columns, 0, rows)
        assert right is not None
        bits.append(left_over(new, base, "bfloat16", columns, 0, right)[0])
    assert bits[1] < 0.7 * bits[0]


def noise(rows: int, columns: int) -> Values:
    return matrix(rows, columns, 3, 1e-3)


def some_rows(rows: int, columns: int) -> Values:
    added = np.zeros((rows, columns))
    added[:: rows // 6] = matrix(len(added[:: rows // 6]), columns, 4, 1e-3)
    return added


def some_columns(rows: int, columns: int) -> Values:
    return some_rows(columns, rows).T


def half_rows(rows: int, columns: int) -> Values:
    added = noise(rows, columns)
    added[rows // 3 :] = 0.0
    return added


def one_word(rows: int, columns: int) -> Values:
    added = np.zeros((rows, columns))
    added[5, 7] = 1.0
    return added


def decay(rows: int, columns: int) -> Values:
    return -1e-3 * matrix(rows, columns)


def signs(rows: int, columns: int) -> Values:
    return 1e-4 * np.sign(matrix(rows, columns, 6))


REJECTED = [noise, some_rows, some_columns, half_rows, one_word, decay, signs]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("added", REJECTED, ids=lambda added: added.__name__)
def test_what_is_not_of_low_rank_is_left_alone(kind: str, added) -> None:  # type: ignore[no-untyped-def]
    new, base = sides(matrix(384, 300), added(384, 300), kind)
    assert find_right(new, base, kind, 300, 0) is None


@pytest.mark.parametrize("kind", KINDS)
def test_equal_chunks_are_left_alone(kind: str) -> None:
    new, base = sides(matrix(100, 100), np.zeros((100, 100)), kind)
    assert find_right(new, base, kind, 100, 0) is None
    zeros = split(bytes(10_000 * FLOATS[kind].word), FLOATS[kind].word)
    assert find_right(zeros, zeros, kind, 100, 0) is None


@pytest.mark.parametrize(
    ("count", "columns", "start"),
    [(1, 1, 0), (1000, 1, 0), (1000, 2000, 5), (1000, 15, 0), (900, 100, 50), (10_000, 9999, 1)],
)
def test_matrices_too_small_for_a_rank_are_left_alone(count: int, columns: int, start: int) -> None:
    new, base = sides(matrix(1, count), low_rank(1, count, 1), "float32")
    assert find_right(new, base, "float32", columns, start) is None


def test_only_a_sample_is_looked_at_before_a_chunk_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = []
    real = lowrank_rows.block

    def counting(new, base, kind):  # type: ignore[no-untyped-def]
        looked.append(new.size)
        return real(new, base, kind)

    monkeypatch.setattr(lowrank_rows, "block", counting)
    new, base = sides(matrix(256, 4096), noise(256, 4096), "float32")
    assert find_right(new, base, "float32", 4096, 0) is None
    assert 0 < sum(looked) < 10_000


def test_words_without_a_value_do_not_spoil_a_fit() -> None:
    rows, columns, kind = 384, 300, "float32"
    new, base = sides(matrix(rows, columns), low_rank(rows, columns, 6), kind)
    words = np.frombuffer(join(new, 4), "<u4").copy()
    odd = np.random.default_rng(8).integers(0, len(words), 200)
    words[odd] = np.resize([0x7F800000, 0xFF800000, 0x7FC12345, 0xFFFFFFFF, 0x7F7FFFFF], 200)
    new = split(words.tobytes(), 4)
    right = find_right(new, base, kind, columns, 0)
    assert right is not None
    assert len(right) == 6
    assert left_over(new, base, kind, columns, 0, right)[0] < 0.8


def test_pruned_words_do_not_spoil_a_fit() -> None:
    rows, columns, kind = 384, 300, "bfloat16"
    keep = np.random.default_rng(9).random((rows, columns)) > 0.002
    base = matrix(rows, columns) * keep
    new, before = sides(base, low_rank(rows, columns, 6) * keep, kind)
    right = find_right(new, before, kind, columns, 0)
    assert right is not None
    assert 6 <= len(right) <= 8
    assert left_over(new, before, kind, columns, 0, right)[0] < 0.6


def odd_words(kind: str, count: int, how: str, seed: int) -> bytes:
    spec = FLOATS[kind]
    rng = np.random.default_rng(seed)
    sizes = [0, 1, 3, 1 << spec.mantissa, spec.infinity - 1, spec.infinity, spec.infinity + 1]
    picks = rng.choice(np.array(sizes, UNITS[spec.word]), count)
    signs = rng.integers(0, 2, count).astype(UNITS[spec.word])
    special = picks | signs << UNITS[spec.word].type(8 * spec.word - 1)
    if how == "bits":
        return rng.bytes(count * spec.word)
    if how == "special":
        return special.tobytes()
    if how == "subnormal":
        return rng.integers(0, 1 << spec.mantissa, count).astype(UNITS[spec.word]).tobytes()
    if how == "huge":
        return (spec.infinity - rng.integers(0, 99, count)).astype(UNITS[spec.word]).tobytes()
    usual = np.frombuffer(matrix(1, count, 7).astype(TYPES[kind]).tobytes(), UNITS[spec.word])
    return np.where(rng.random(count) < 0.05, special, usual).tobytes()


hows = st.sampled_from(["bits", "special", "huge", "subnormal", "mixed"])
seeds = st.integers(0, 2**32 - 1)


@given(st.data(), st.sampled_from(KINDS))
@settings(deadline=None)
def test_no_words_break_the_search_or_the_fit(data: st.DataObject, kind: str) -> None:
    columns = data.draw(st.sampled_from([16, 40, 64]))
    count = columns * data.draw(st.integers(17, 80)) + data.draw(st.integers(0, 15))
    start = data.draw(st.integers(0, 100))
    word = FLOATS[kind].word
    new, base = (
        split(odd_words(kind, count, data.draw(hows), data.draw(seeds)), word) for _ in range(2)
    )
    right = find_right(new, base, kind, columns, start)
    if right is None:
        right = on_grid(matrix(3, columns), np.full(3, -20.0))
    left_over(new, base, kind, columns, start, right)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 2.0**-100, 2.0**90]))
def test_a_grid_is_near_its_values_and_can_be_stored(seed: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(0, 1, (3, 20)) * scale
    unit = np.log2(scale) - 10
    near = on_grid(values, np.full(3, unit))
    assert np.abs(near - values).max() <= 2.0**unit / 2
    assert np.array_equal(decode_right(encode_right(near), 20), near)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, -1e300, 1e-300, -1e-300, -0.0])
def test_a_grid_holds_only_what_can_be_stored(value: float) -> None:
    values = np.array([[value, 1.0], [value, value]])
    for exponent in (-np.inf, -300.0, 0.0, 300.0):
        near = on_grid(values, np.full(2, exponent))
        assert np.array_equal(decode_right(encode_right(near), 2), near)
        assert not np.signbit(near[near == 0.0]).any()


def test_the_cost_of_integers_is_near_their_entropy() -> None:
    rng = np.random.default_rng(1)
    assert cost(np.zeros(100, np.int64)) == 0.0
    assert cost(rng.choice([-1, 1], 10_000)) == pytest.approx(1.0, abs=0.01)
    spread = np.round(rng.normal(0, 1000, 100_000)).astype(np.int64)
    assert cost(spread) == pytest.approx(np.log2(1000 * np.sqrt(2 * np.pi * np.e)), abs=0.15)
