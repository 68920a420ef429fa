from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.merge.integers import exact_sum
from tests.merge.pieces import cut_small, made

WHOLE = ["int64", "uint64", "int32", "int8", "uint8"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch)


def within(value: int, label: str) -> int:
    limits = np.iinfo(label)
    return min(max(value, int(limits.min)), int(limits.max))


def numbers(label: str) -> st.SearchStrategy[int]:
    limits = np.iinfo(label)
    low, high = int(limits.min), int(limits.max)
    return st.one_of(st.integers(low, high), st.integers(max(low, -9), 9))


@pytest.mark.parametrize("label", WHOLE)
@given(data=st.data())
def test_sums_are_exact_and_rounded_half_to_even(label: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    rows = [data.draw(st.lists(numbers(label), min_size=4, max_size=4)) for _ in range(count)]
    factor = st.one_of(
        st.integers(-3, 3).map(Fraction),
        st.floats(-2, 2).map(Fraction),
        st.fractions(-1, 1, max_denominator=8),
    )
    factors = [data.draw(factor) for _ in range(count)]
    found = exact_sum([np.array(row, label) for row in rows], factors)
    for place, value in enumerate(found.tolist()):
        exact = sum(f * row[place] for f, row in zip(factors, rows, strict=True))
        assert int(value) == round(exact)


def test_large_counters_keep_their_last_digits() -> None:
    top = 2**63 - 1
    sides = [np.array([top, top - 1, -top, 5]), np.array([top - 2, top - 2, -top + 1, 6])]
    assert made("average", None, sides).tolist() == [top - 1, top - 1, -top + 1, 6]
    assert made("average", None, sides, [1, 3])[0] == top - 1


def test_sums_stay_within_the_type() -> None:
    base = np.array([100, -100, 0], np.int8)
    side = np.array([120, -120, 1], np.int8)
    assert made("task-arithmetic", base, [side, side]).tolist() == [127, -128, 2]
    unsigned = np.array([250], np.uint8)
    assert made("task-arithmetic", unsigned, [unsigned - 200], lambda_=2).tolist() == [0]


def test_booleans_take_the_majority_and_false_on_a_tie() -> None:
    sides = [np.array(row) for row in ([True, True, False], [True, False, False])]
    assert made("average", None, sides).tolist() == [True, False, False]
    assert made("average", None, [*sides, sides[0]]).tolist() == [True, True, False]
    assert made("median", None, [*sides, sides[0]]).tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("slerp", {"t": 0.25}, [3, 12]),
        ("ties", {"density": 0.2}, [6, 20]),
        ("dare", {"density": 0.5}, [12, 30]),
        ("dare-ties", {}, [6, 20]),
    ],
)
def test_counters_are_added_up_without_trimming_dropping_or_arcs(
    name: str, options: dict[str, float], expected: list[int]
) -> None:
    base = np.array([0, 10])
    sides = [np.array([2, 10]), np.array([4, 20])] if name == "slerp" else None
    sides = sides or [np.array([2, 10]), np.array([10, 30])]
    expected = [2, 12] if name == "slerp" else expected
    assert made(name, base, sides, **options).tolist() == expected


@pytest.mark.parametrize("label", WHOLE)
@given(data=st.data())
def test_the_median_of_integers_is_one_of_them_or_between_two(
    label: str, data: st.DataObject
) -> None:
    rows = data.draw(
        st.lists(st.lists(numbers(label), min_size=3, max_size=3), min_size=1, max_size=6)
    )
    found = made("median", None, [np.array(row, label) for row in rows])
    for place in range(3):
        column = sorted(row[place] for row in rows)
        middle = column[(len(column) - 1) // 2], column[len(column) // 2]
        assert int(found[place]) == within(round(Fraction(sum(middle), 2)), label)
