from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mvc.diff.weights import Histogram
from mvc.web.histogram import MOST_BINS, TAIL, path, picture

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=200)


@given(COUNTS, st.integers(-1074, 900), st.integers(0, 9))
def test_a_picture_has_all_elements_but_those_it_counts(
    counts: list[int], first: int, zero: int
) -> None:
    found = Histogram(zero, first, tuple(counts), tuple(reversed(counts)))
    drawn = picture(found)
    if drawn is None:
        assert not any(counts)
        return
    assert drawn.changed == 2 * sum(counts)
    assert len(drawn.bars) <= MOST_BINS
    assert max(max(bar.up, bar.down) for bar in drawn.bars) == 1
    assert all(0 <= bar.x <= 1 and bar.x + bar.width <= 1.000001 for bar in drawn.bars)
    if len(counts) <= MOST_BINS:
        assert drawn.less <= TAIL * drawn.changed


def test_nothing_makes_no_picture() -> None:
    assert picture(None) is None
    assert picture(Histogram(5)) is None


def test_the_ends_of_the_greatest_floats_are_numbers() -> None:
    drawn = picture(Histogram(0, 1023, (1,), (0,)))
    assert drawn is not None
    assert drawn.ends[0] == 2.0**1023
    assert "1 grew" in drawn.bars[0].title


def test_a_path_has_a_piece_a_bar() -> None:
    assert path([(1.0, 0.5), (0.0, 0.0), (0.2, 0.0)], 30, 20).count("z") == 2
