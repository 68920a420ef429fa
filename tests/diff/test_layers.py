from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.diff.layers import Cell, combined, grid, layer_of, layers, summed
from mvc.diff.weights import Histogram, Weights
from tests.diff.test_weights import measured


@dataclass(frozen=True)
class Tensor:
    name: str
    weights: Weights | None
    bytes: int = 4


def weights(old: list[float], new: list[float], label: str = "float32") -> Weights:
    kind = np.dtype(label)
    sides = [np.array(side, kind).tobytes() for side in (old, new)]
    return measured(label, (len(old),), *sides)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder.layer.3.query.weight", "encoder.layer.3.query"),
        ("model/dense_1/kernel:0", "model/dense_1"),
        ("weight", "weight"),
        ("", ""),
        ("..", ".."),
        (".weight", ".weight"),
        ("a..b", "a"),
    ],
)
def test_a_layer_is_the_name_without_its_last_part(name: str, layer: str) -> None:
    assert layer_of(name) == layer


def test_layers_are_in_the_order_of_their_first_tensors() -> None:
    one = weights([1, 2], [2, 4])
    found = layers([Tensor("b.weight", one), Tensor("a.weight", one), Tensor("b.bias", one)])
    assert [(layer.name, layer.tensors, layer.bytes) for layer in found] == [
        ("b", ("b.weight", "b.bias"), 8),
        ("a", ("a.weight",), 4),
    ]


def test_a_layer_names_the_tensor_with_the_largest_change() -> None:
    found = layers(
        [
            Tensor("a.bias", weights([0, 0], [1, 0])),
            Tensor("a.weight", weights([0, 0, 0], [0, 0, -3])),
            Tensor("a.scale", weights([0], [3])),
        ]
    )[0]
    assert found.weights is not None
    assert (found.largest, found.weights.max_abs, found.weights.max_at) == ("a.weight", 3.0, (2,))


def test_a_layer_of_which_nothing_was_measured_has_no_numbers() -> None:
    (found,) = layers([Tensor("a.b", None), Tensor("a.c", None)])
    assert (found.weights, found.largest, len(found.tensors)) == (None, None, 2)


finite = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.lists(st.tuples(finite, finite), max_size=6), min_size=1, max_size=4))
def test_a_layer_has_the_numbers_of_one_tensor_with_all_elements(
    parts: list[list[tuple[float, float]]],
) -> None:
    each = [weights([old for old, _ in part], [new for _, new in part]) for part in parts]
    whole = [pair for part in parts for pair in part]
    expected = weights([old for old, _ in whole], [new for _, new in whole])
    found = combined(each)
    for field in ("elements", "changed", "grown", "shrunk", "sign_flips", "max_abs", "histogram"):
        assert getattr(found, field) == getattr(expected, field), field
    for field in ("norm", "new_norm", "l2", "relative_l2"):
        one, two = getattr(found, field), getattr(expected, field)
        assert (one is None) == (two is None), field
        assert one is None or one == pytest.approx(two, rel=1e-12), field
    scale = max((abs(new - old) for old, new in whole), default=1.0)
    for field, error in (("mean_shift", 1e-12 * scale), ("cosine", 1e-12)):
        one, two = getattr(found, field), getattr(expected, field)
        assert (one is None) == (two is None), field
        assert one is None or one == pytest.approx(two, abs=error), field


def test_what_is_not_finite_does_not_hide_the_rest_of_a_layer() -> None:
    bad = weights([np.nan], [1])
    good = weights([3, 4], [3, 5])
    found = combined([bad, good])
    assert (found.norm, found.l2, found.old_nonfinite) == (5.0, 1.0, 1)


def test_words_of_packed_types_are_counted_beside_numbers() -> None:
    packed = measured("int4", (4,), b"\0\0", b"\0\1")
    found = combined([packed, weights([1], [2])])
    assert (found.unit, found.elements, found.changed, found.l2) == ("element", 3, 2, 1.0)
    assert combined([packed]) == packed


def test_a_norm_that_is_too_large_leaves_no_sum() -> None:
    one = weights([1], [2])
    assert combined([one, replace(one, norm=None)]).norm is None


histograms = st.builds(
    lambda zero, first, pairs: (
        Histogram(zero, first, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        if pairs
        else Histogram(zero)
    ),
    st.integers(0, 9),
    st.integers(-1023, 1000),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=5),
)


@given(st.lists(histograms, max_size=4))
def test_histograms_add_up(items: list[Histogram]) -> None:
    def counts(item: Histogram) -> dict[tuple[str, int], int]:
        rows = (("grown", item.grown), ("shrunk", item.shrunk))
        return {
            (side, item.first + at): count
            for side, row in rows
            for at, count in enumerate(row)
            if count
        }

    found = summed(items)
    expected: dict[tuple[str, int], int] = {}
    for item in items:
        for key, count in counts(item).items():
            expected[key] = expected.get(key, 0) + count
    assert counts(found) == expected
    assert found.zero == sum(item.zero for item in items)


def test_the_grid_has_a_row_for_a_kind_and_a_column_for_a_block() -> None:
    names = ["layer3.query.weight", "layer4.query.weight", "h.0.norm", "h.11.norm", "head.bias"]
    assert grid(names) == {
        "layer3.query.weight": Cell("layer.query.weight", 3),
        "layer4.query.weight": Cell("layer.query.weight", 4),
        "h.0.norm": Cell("h.norm", 0),
        "h.11.norm": Cell("h.norm", 11),
        "head.bias": Cell("head.bias", None),
    }


def test_a_number_that_never_differs_is_no_block() -> None:
    names = [f"vit2.layers.{block}.norm1.weight" for block in range(3)]
    assert grid(names)[names[2]] == Cell("vit2.layers.norm1.weight", 2)


def test_experts_stay_apart_within_a_block() -> None:
    names = [f"h.{block}.experts.{expert}.w" for block in range(2) for expert in range(3)]
    assert grid(names)["h.1.experts.2.w"] == Cell("h.experts.2.w", 1)


def test_a_single_tensor_is_in_the_block_of_its_first_whole_number() -> None:
    name = "bert2.layer.7.dense.weight"
    assert grid([name])[name] == Cell("bert2.layer.dense.weight", 7)


def test_names_with_slashes_have_blocks_too() -> None:
    names = ["model/dense/kernel:0", "model/dense_1/kernel:0", "model/dense_2/kernel:0"]
    assert grid(names)[names[2]] == Cell("model/dense_/kernel:0", 2)


@given(st.lists(st.text(alphabet="ab.0/1\n٣", max_size=12), unique=True))
def test_every_name_has_a_place_whatever_it_looks_like(names: list[str]) -> None:
    found = grid(names)
    assert set(found) == set(names)
    for name, cell in found.items():
        assert (cell.block is None) == (cell.kind == name)
