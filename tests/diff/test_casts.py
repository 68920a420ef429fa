from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mvc.diff.findings import Cast
from mvc.diff.structure import Recoded
from mvc.diff.sums import BLOCK_WORDS
from mvc.diff.values import dot
from tests.diff.sources import compared, noise


def only(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> Recoded:
    found = compared(old, new)
    (item,) = found.recast
    return item


def cast(old: np.ndarray, new: np.ndarray) -> Cast:
    found = only({"w": old}, {"w": new}).cast
    assert found is not None
    return found


VALUES = noise(1, 700)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_the_nearest_words_of_another_type_are_rounded(dtype: type) -> None:
    found = cast(VALUES, VALUES.astype(dtype))
    assert (found.kind, found.differing, found.elements) == ("rounded", 0, 700)
    error = VALUES.astype(dtype).astype("f8") - VALUES
    assert found.l2 == pytest.approx(np.linalg.norm(error), rel=1e-12)
    assert found.max_abs == pytest.approx(np.abs(error).max(), rel=1e-12)


def test_a_wider_type_loses_nothing() -> None:
    half = VALUES.astype("f2")
    assert cast(half, half.astype("f4")).kind == "exact"
    assert cast(half, half.astype("f8")).relative_l2 == 0


def test_dropped_lower_bits_are_no_rounding() -> None:
    dropped = (VALUES.view("u4") >> 16).astype("u2").view(ml_dtypes.bfloat16)
    assert cast(VALUES, dropped).kind == "truncated"


def test_values_that_changed_are_not_called_a_cast() -> None:
    other = VALUES.copy()
    other[:7] += 1
    found = cast(VALUES, other.astype("f2"))
    assert (found.kind, found.differing) == ("changed", 7)


def test_not_a_number_is_no_difference_and_infinity_is_rounding() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 1e30, -0.0, 0.1] * 60, "f4")
    with np.errstate(over="ignore"):
        assert cast(odd, odd.astype("f2")).kind == "rounded"


@given(hnp.arrays(np.float32, 300, elements=st.floats(width=32, allow_nan=False)))
def test_every_array_is_its_own_nearest_cast(values: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        half = values.astype("f2")
    found = cast(values, half)
    exact = np.array_equal(half.astype("f4"), values)
    assert found.kind == ("exact" if exact else "rounded")


def quantised(values: np.ndarray, axis: int | None) -> tuple[np.ndarray, np.ndarray]:
    scale = np.abs(values).max(axis=axis, keepdims=axis is not None) / 127
    return np.rint(values / scale).astype("i1"), np.asarray(scale, "f4")


MATRIX = noise(2, 60, 40)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("suffix", ["", "_quantized", "_q"])
def test_integers_with_a_scale_are_quantised(axis: int | None, suffix: str) -> None:
    integers, scale = quantised(MATRIX, axis)
    item = only({"w": MATRIX}, {f"w{suffix}": integers, "w_scale": scale})
    found = item.cast
    assert found is not None
    assert (found.kind, found.differing, found.scale) == ("quantised", 0, "w_scale")
    error = integers * scale.astype("f8") - MATRIX
    expected = np.linalg.norm(error) / np.linalg.norm(MATRIX.astype("f8"))
    assert found.relative_l2 == pytest.approx(expected, rel=1e-9)
    assert item.old_name == ("w" if suffix else None)


def test_a_zero_point_and_a_scale_along_one_axis_count() -> None:
    low, high = MATRIX.min(axis=1), MATRIX.max(axis=1)
    scale = ((high - low) / 255).astype("f4")
    zero = np.rint(-low / scale).astype("u1")
    integers = np.clip(np.rint(MATRIX / scale[:, None]) + zero[:, None], 0, 255).astype("u1")
    new = {"w_quantized": integers, "w_scale": scale, "w_zero_point": zero}
    found = only({"w": MATRIX}, new).cast
    assert found is not None
    assert (found.kind, found.scale, found.zero_point) == ("quantised", "w_scale", "w_zero_point")
    assert found.relative_l2 is not None
    assert found.relative_l2 < 0.02


def test_quantised_weights_are_found_under_any_name_and_with_axes_swapped() -> None:
    integers, scale = quantised(np.ascontiguousarray(MATRIX.T), 0)
    decoy = {f"other.{number}": noise(5 + number, 60, 40) for number in range(3)}
    found = compared({"dense.weight": MATRIX, **decoy}, {"val_9_q": integers, "val_9_scale": scale})
    (item,) = found.recast
    assert (item.old_name, item.name, item.transposed) == ("dense.weight", "val_9_q", True)
    assert item.cast is not None
    assert item.cast.kind == "quantised"


def test_a_square_matrix_that_was_quantised_with_axes_swapped_is_so_called() -> None:
    square = MATRIX[:40]
    integers, scale = quantised(np.ascontiguousarray(square.T), 0)
    item = only({"w": square}, {"w": integers, "w_scale": scale})
    assert item.cast is not None
    assert (item.cast.kind, item.transposed) == ("quantised", True)
    back = only({"w": integers, "w_scale": scale}, {"w": square})
    assert back.cast is not None
    assert (back.cast.kind, back.transposed) == ("dequantised", True)


def test_integers_of_another_network_are_not_called_quantised() -> None:
    integers, scale = quantised(noise(77, 60, 40), 1)
    item = only({"w": MATRIX}, {"w": integers, "w_scale": scale})
    assert item.cast is not None
    assert item.cast.kind == "changed"
    found = compared({"w": MATRIX}, {"w_q": integers, "w_scale": scale})
    assert (found.recast, len(found.removed)) == ((), 1)


def test_floats_from_integers_are_dequantised() -> None:
    integers, scale = quantised(MATRIX, 1)
    item = only({"w": integers, "w_scale": scale}, {"w": (integers * scale).astype("f4")})
    assert item.cast is not None
    assert (item.cast.kind, item.cast.differing) == ("dequantised", 0)


def test_without_words_a_cast_is_not_judged() -> None:
    found = compared({"w": VALUES}, {"w": VALUES.astype("f2")}, words=False)
    assert found.recast[0].cast is None


def test_values_of_many_chunks_are_summed_over_all_of_them() -> None:
    large = noise(3, 3, 1 << 19)
    other = large.astype("f2")
    other[2, -1] += np.float16(1)
    found = cast(large, other)
    assert (found.kind, found.differing, found.elements) == ("changed", 1, large.size)


@given(st.integers(0, 40_000), st.integers(0, 3))
def test_products_are_rounded_one_by_one_and_added_pairwise(length: int, seed: int) -> None:
    one, two = noise(seed, 2, length, dtype="f8")
    expected = 0.0
    for start in range(0, length, BLOCK_WORDS):
        part = slice(start, start + BLOCK_WORDS)
        expected += float(np.add.reduce(one[part] * two[part]))
    assert dot(one, two) == expected
    assert dot(one, two) == pytest.approx(float(np.dot(one, two)), rel=1e-9, abs=1e-9)
