from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.codec import delta, ordering
from mvc.codec.segments import UNITS, join, split
from tests.codec.material import SPECIAL, WORDS, same

pytestmark = pytest.mark.usefixtures("each_kernels")


@st.composite
def pairs(draw: st.DrawFn) -> tuple[int, bytes, bytes]:
    word = draw(st.sampled_from(WORDS))
    unit = st.sampled_from(SPECIAL[word]) | st.integers(0, 256**word - 1)
    held = draw(st.lists(st.tuples(unit, unit), min_size=1, max_size=40))
    one, two = (np.array(side, f"<u{word}").tobytes() for side in zip(*held, strict=True))
    return word, one, two


@given(pairs(), st.booleans())
def test_every_word_comes_back_from_its_difference(
    pair: tuple[int, bytes, bytes], floats: bool
) -> None:
    word, new, base = pair
    segments, held = split(new, word), split(base, word)
    differences = delta.residual(segments, held, floats=floats)
    assert [part.dtype for part in differences] == [part.dtype for part in segments]
    for some in range(1, len(segments) + 1):
        assert same(delta.restore(differences[:some], held, floats=floats), segments[:some])


@given(pairs())
def test_the_difference_from_itself_is_zero(pair: tuple[int, bytes, bytes]) -> None:
    word, new, _ = pair
    for floats in (False, True):
        for part in delta.residual(split(new, word), split(new, word), floats=floats):
            assert not part.any()


@given(pairs())
def test_a_rotated_unit_comes_back_with_its_sign(pair: tuple[int, bytes, bytes]) -> None:
    word, new, _ = pair
    top = split(new, word)[0]
    turned = delta.rotate(top)
    assert ((turned & 1) == (top >> (top.itemsize * 8 - 1))).all()
    assert same((delta.unrotate(turned),), (top,))


def test_the_order_of_mapped_words_is_that_of_the_floats() -> None:
    values = np.array([-np.inf, -2.5, -1, -1e-40, -0.0, 0.0, 1e-40, 1, 2.5, np.inf], "<f4")
    mapped = ordering.ordered(split(values.tobytes(), 4))
    whole = np.frombuffer(join(mapped, 4), "<u4")
    assert np.all(np.diff(whole.astype(np.int64)) > 0)


@pytest.mark.parametrize("width", sorted(UNITS))
def test_a_step_up_or_down_is_a_small_number(width: int) -> None:
    base = np.array([0, 5, 256**width - 1], UNITS[width])
    up, down = base + UNITS[width].type(1), base - UNITS[width].type(1)
    assert delta.residual((up,), (base,), floats=False)[0].tolist() == [2, 2, 2]
    assert delta.residual((down,), (base,), floats=False)[0].tolist() == [1, 1, 1]


def test_a_step_of_a_float_towards_infinity_or_away_is_small_on_both_sides_of_zero() -> None:
    values = np.array([1.0, -1.0, 1e-30, -1e-30], "<f4")
    up = np.nextafter(values, np.float32(np.inf)).astype("<f4")
    _, low = delta.residual(split(up.tobytes(), 4), split(values.tobytes(), 4), floats=True)
    assert low.tolist() == [2, 2, 2, 2]
