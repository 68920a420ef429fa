from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mvc.diff.results import DiffRequest, TensorDiff
from mvc.diff.transposed import is_transposed
from mvc.ops.diff_files import diff_files
from tests.diff.sources import noise, source
from tests.diff.versions import Arrays, model

SQUARE = noise(1, 60, 60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def compared(folder: Path, old: Arrays, new: Arrays, *, weights: bool = True) -> TensorDiff:
    for name, arrays in (("old", old), ("new", new)):
        (folder / name).write_bytes(model(arrays))
    request = DiffRequest(folder=folder, weights=weights)
    (file,) = diff_files(Path("old"), Path("new"), request).files
    assert file.tensors is not None
    return file.tensors


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4", "u1"])
@pytest.mark.parametrize("shape", [(60, 60), (30, 50), (2, 2), (2, 700)])
def test_a_matrix_whose_axes_were_swapped_is_transposed_words_equal(
    folder: Path, dtype: str, shape: tuple[int, int]
) -> None:
    matrix = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = compared(folder, {"w": matrix}, {"w": matrix.T})
    (item,) = found.reshaped
    assert (item.name, item.transposed, item.same_words) == ("w", True, False)
    assert (found.changed, found.unchanged) == ((), 0)
    assert found.summary == ("w transposed, words equal",)


def test_many_transposed_matrices_are_one_sentence(folder: Path) -> None:
    old = {f"layer.{number}": noise(number, 40, 40) for number in range(12)}
    found = compared(folder, old, {name: array.T for name, array in old.items()})
    assert found.summary == ("12 tensors transposed, words equal",)
    assert len(found.reshaped) == 12


def test_one_element_more_that_differs_makes_it_a_change(folder: Path) -> None:
    other = SQUARE.T.copy()
    other[7, 3] += 1
    found = compared(folder, {"w": SQUARE}, {"w": other})
    assert (found.reshaped, [item.name for item in found.changed]) == ((), ["w"])


@pytest.mark.parametrize("signs", [-1, 1])
def test_equal_norms_alone_prove_nothing(folder: Path, signs: int) -> None:
    found = compared(folder, {"w": SQUARE}, {"w": signs * SQUARE[::-1]})
    assert (found.reshaped, len(found.changed)) == ((), 1)


def test_what_is_not_finite_is_transposed_as_well(folder: Path) -> None:
    odd = SQUARE.copy()
    odd[1, 2], odd[9, 9], odd[5, 4] = np.nan, np.inf, -0.0
    assert [item.name for item in compared(folder, {"w": odd}, {"w": odd.T}).reshaped] == ["w"]


def test_symmetric_and_constant_matrices_are_never_called_transposed(folder: Path) -> None:
    old = {"s": SQUARE + SQUARE.T, "ones": np.ones((40, 40), "f4"), "w": SQUARE}
    new = {"s": old["s"].T, "ones": old["ones"].T, "w": SQUARE.T}
    assert [item.name for item in compared(folder, old, new).reshaped] == ["w"]
    (item,) = compared(folder, {"c": np.ones((4, 9))}, {"c": np.ones((9, 4))}).reshaped
    assert (item.transposed, item.same_words) == (False, True)


def test_without_weights_nothing_is_read_and_nothing_claimed(folder: Path) -> None:
    found = compared(folder, {"w": SQUARE}, {"w": SQUARE.T}, weights=False)
    assert (found.reshaped, [item.name for item in found.changed]) == ((), ["w"])


def test_a_renamed_square_matrix_with_axes_swapped_has_both_names(folder: Path) -> None:
    found = compared(folder, {"layer.0.w": SQUARE}, {"layer.0.weight": SQUARE.T})
    (item,) = found.reshaped
    assert (item.old_name, item.name, item.transposed) == ("layer.0.w", "layer.0.weight", True)


@given(
    hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)),
    st.booleans(),
)
def test_only_the_transpose_is_the_transpose(matrix: np.ndarray, turn: bool) -> None:
    other = np.ascontiguousarray(matrix.T) if turn else matrix[::-1].reshape(matrix.T.shape)
    found = is_transposed(source({"w": matrix}).get("w"), source({"w": other}).get("w"))
    alike = other.tobytes() == matrix.tobytes() or min(matrix.shape) < 2
    assert found == (np.array_equal(other, matrix.T) and not alike)
