from __future__ import annotations

import numpy as np
import pytest

from mvc.codec import sizes
from mvc.codec.segments import Segments, split

pytestmark = pytest.mark.usefixtures("each_kernels")


def test_rows_that_changed_more_have_higher_levels() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(0, 0.02, (8, 100)).astype(np.float32)
    step = rng.normal(0, 1e-6, (8, 100)) * 2.0 ** np.arange(8)[:, None]
    new = (base + step).astype(np.float32)
    found = sizes.measure(split(new.tobytes(), 4), split(base.tobytes(), 4), "float32", 100, 0, 12)
    assert found is not None
    levels = [*found.levels]
    assert levels[::2] == sorted(levels[::2])
    # A factor of two is an octave.
    assert 3 <= (levels[-1] - levels[0]) / 7 <= 5


def test_what_did_not_change_or_has_no_rows_has_no_sizes() -> None:
    words = split(np.ones(64, np.float32).tobytes(), 4)
    assert sizes.measure(words, words, "float32", 16, 0, 12) is None
    other = split(np.zeros(64, np.float32).tobytes(), 4)
    assert sizes.measure(words, other, "float32", 8, 0, 12) is None
    assert sizes.measure(words, other, "float32", 65, 0, 12) is None
    assert sizes.measure(words, other, "int8", 16, 0, 12) is None


def filled(value: int) -> Segments:
    return split(np.full(64, value, "<u8").tobytes(), 8)


def test_the_largest_changes_of_the_largest_words_have_a_level() -> None:
    found = sizes.measure(filled(0), filled(2**64 - 1), "float64", 16, 0, 12)
    assert found is not None
    assert len(found.levels) == 4
