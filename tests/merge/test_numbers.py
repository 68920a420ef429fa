from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import dtypes
from mvc.merge.numbers import numbers, to_odd

FLOATS = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
]
SMALL = [label for label in FLOATS if dtypes.KNOWN[label].bits <= 16]
INTEGERS = [label for label, kind in dtypes.KNOWN.items() if kind.family == "int"]


def every_number(label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all finite numbers of a small type in order, and their words; -0.0 is left out."""
    kind = numbers(label)
    assert kind is not None
    words = np.arange(1 << dtypes.KNOWN[label].bits).astype(kind.word)
    values = kind.values(words)
    words, values = words[np.isfinite(values)], values[np.isfinite(values)]
    words = words[~(np.signbit(values) & (values == 0))]
    values = kind.values(words)
    order = np.argsort(values)
    return values[order], words[order]


@pytest.mark.parametrize("label", SMALL)
def test_every_number_comes_back_as_the_same_word(label: str) -> None:
    kind = numbers(label)
    assert kind is not None
    words = np.arange(1 << dtypes.KNOWN[label].bits).astype(kind.word)
    values = kind.values(words)
    fine = ~np.isnan(values)
    assert (kind.rounded(values[fine]) == words[fine]).all()


@pytest.mark.parametrize("label", SMALL)
def test_what_lies_between_two_neighbours_goes_to_the_nearer_and_the_middle_to_the_even(
    label: str,
) -> None:
    kind = numbers(label)
    assert kind is not None
    values, words = every_number(label)
    middle = (values[:-1] + values[1:]) / 2
    even = np.where(words[:-1] & 1, words[1:], words[:-1])
    assert (kind.values(kind.rounded(middle)) == kind.values(even)).all()
    # One float64 step from the middle: a detour over float32 would lose it.
    above, below = np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)
    assert (kind.values(kind.rounded(above)) == values[1:]).all()
    assert (kind.values(kind.rounded(below)) == values[:-1]).all()


@pytest.mark.parametrize("label", SMALL)
def test_too_large_numbers_become_infinite_or_the_largest_there_is(label: str) -> None:
    kind = numbers(label)
    assert kind is not None
    values, _ = every_number(label)
    top = values[-1] + (values[-1] - values[-2]) / 2
    given = np.array([top, -top, 1e300, -1e300, np.inf, np.nextafter(top, 0)])
    found = kind.values(kind.rounded(given))
    most = np.inf if label in ("float16", "bfloat16", "float8_e5m2") else values[-1]
    assert found.tolist() == [most, -most, most, -most, most, values[-1]]


@pytest.mark.parametrize("label", FLOATS)
def test_nan_has_one_pattern_whatever_its_sign_and_payload(label: str) -> None:
    kind = numbers(label)
    assert kind is not None
    given = np.array([0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0 << 48 | 1, (1 << 64) - 1], np.uint64)
    words = kind.rounded(given.view(np.float64))
    assert len(set(words.tolist())) == 1
    assert np.isnan(kind.values(words)).all()


@given(st.lists(st.floats(-3.4e38, 3.4e38), min_size=1, max_size=20))
def test_rounding_to_odd_cuts_off_and_notes_it_in_the_last_bit(given: list[float]) -> None:
    values = np.array(given)
    found = to_odd(values)
    for value, near in zip(values, found, strict=True):
        if float(near) == value:
            continue
        around = [float(np.nextafter(near, np.float32(end))) for end in (-np.inf, np.inf)]
        assert around[0] < value < around[1]
        assert int(near.view(np.uint32)) & 1
        assert np.signbit(near) == np.signbit(value)


@pytest.mark.parametrize("label", INTEGERS)
@given(given=st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_integers_round_half_to_even_and_stay_in_range(label: str, given: list[float]) -> None:
    kind = numbers(label)
    assert kind is not None
    assert kind.integer is not None
    low, high = kind.integer.low, kind.integer.high
    found = kind.integer.seen(kind.rounded(np.array(given)))
    for value, whole in zip(given, found.tolist(), strict=True):
        exact = (low if value < 0 else high) if np.isinf(value) else round(Fraction(value))
        assert whole == min(max(exact, low), high)


@pytest.mark.parametrize("label", ["int4", "uint2", "float4_e2m1fn", "ggml_q4_1", "float8_e8m0fnu"])
def test_packed_types_and_the_exponents_of_blocks_are_no_numbers(label: str) -> None:
    assert numbers(label) is None
