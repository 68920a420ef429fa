from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from mvc.web.heat import LEVELS, MOST_DECADES, Scale

SIZES = st.lists(st.floats(min_value=0, max_value=1e30), min_size=1)


@given(SIZES)
def test_the_greatest_value_has_the_deepest_colour_and_none_has_none(values: list[float]) -> None:
    scale = Scale.of(values)
    levels = [scale.level(value) for value in values]
    assert all(0 <= level <= LEVELS for level in levels)
    assert all((level == 0) == (value == 0) for level, value in zip(levels, values, strict=True))
    if max(values) > 1e-300:
        assert scale.level(max(values)) == LEVELS


@given(SIZES)
def test_more_is_never_paler(values: list[float]) -> None:
    scale = Scale.of(values)
    levels = [scale.level(value) for value in sorted(values)]
    assert levels == sorted(levels)


def test_the_scale_has_one_to_five_decades() -> None:
    assert Scale.of([1.0, 0.9]).low == 0.1
    assert Scale.of([1.0, 1e-9]).low == 10.0**-MOST_DECADES
    assert Scale.of([None, 0.0, math.inf]) == Scale(0.0, 0.0)
    assert Scale(0.0, 0.0).level(1.0) >= 0
