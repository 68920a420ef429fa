from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.diff import rank
from mvc.diff.rank import effective_rank
from mvc.diff.structure import Pair
from tests.diff.test_weights import held


def ranked(change: np.ndarray, label: str = "float64") -> float | None:
    count = -(-change.nbytes // (change.itemsize << 20))
    ids = [tuple(bytes([side, number]) * 16 for number in range(count)) for side in (1, 2)]
    sides = [np.zeros_like(change), change]
    one, two = (
        held(label, change.shape, side.tobytes(), name)
        for side, name in zip(sides, ids, strict=True)
    )
    return effective_rank(Pair("w", one, two))


def plain(change: np.ndarray) -> float:
    values = np.linalg.svd(change, compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**32))
def test_the_rank_is_that_of_roy_and_vetterli(rows: int, columns: int, seed: int) -> None:
    change = np.random.default_rng(seed).standard_normal((rows, columns))
    assert ranked(change) == pytest.approx(plain(change), rel=1e-5)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
@pytest.mark.parametrize("wanted", [1, 3])
def test_equal_directions_count_one_each(shape: tuple[int, int], wanted: int) -> None:
    change = np.zeros(shape)
    change[range(wanted), range(wanted)] = 0.5
    assert ranked(change) == pytest.approx(wanted, abs=1e-4)


def test_rows_may_lie_across_the_ends_of_parts() -> None:
    change = np.random.default_rng(1).standard_normal((1500, 801)).astype("f4")
    assert ranked(change, "float32") == pytest.approx(plain(change), rel=1e-4)


def test_a_kernel_is_a_matrix_of_its_first_axis() -> None:
    change = np.random.default_rng(2).standard_normal((6, 3, 2, 2))
    assert ranked(change) == pytest.approx(plain(change.reshape(6, 12)), rel=1e-5)


def test_a_wide_matrix_is_projected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "EXACT", 256)
    monkeypatch.setattr(rank, "HELD", 1)
    random = np.random.default_rng(3)
    change = random.standard_normal((900, 8)) @ random.standard_normal((8, 1200))
    found = ranked(change)
    assert found == pytest.approx(plain(change), rel=0.05)
    assert ranked(change) == found


@pytest.mark.parametrize("shape", [(), (5,), (0, 3)])
def test_vectors_and_nothing_have_no_rank(shape: tuple[int, ...]) -> None:
    assert ranked(np.ones(shape)) is None


def test_no_change_has_rank_zero_and_what_is_not_finite_does_not_count() -> None:
    assert ranked(np.zeros((4, 5))) == 0.0
    change = np.zeros((4, 5))
    change[0, 0], change[1, 1] = np.nan, 1.0
    assert ranked(change) == pytest.approx(1.0)
