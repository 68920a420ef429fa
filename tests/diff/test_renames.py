from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.diff import naming, renames
from mvc.diff.naming import Rule, rule
from tests.diff.sources import compared, noise

LAYERS = {
    f"encoder.layer.{layer}.{part}": noise(10 * layer + number, 16, 24)
    for layer in range(3)
    for number, part in enumerate(("q.weight", "k.weight", "out.weight"))
} | {f"encoder.layer.{layer}.q.bias": np.zeros(24, "f4") for layer in range(3)}


def renamed(found: object) -> dict[str, str]:
    return {item.name: item.old_name for item in found.renamed}  # type: ignore[attr-defined]


def test_a_layer_with_another_name_is_renamed_and_not_removed_and_added() -> None:
    new = {name.replace("layer.1", "block.1"): array for name, array in LAYERS.items()}
    found = compared(LAYERS, new)
    assert (found.added, found.removed, found.changed) == ((), (), ())
    assert renamed(found) == {
        name.replace("layer.1", "block.1"): name for name in LAYERS if "layer.1" in name
    }
    (move,) = found.moves
    assert (move.old, move.new) == ("encoder.layer.1.*", "encoder.block.1.*")
    assert (move.tensors, move.equal) == (4, 4)
    assert found.unchanged == len(LAYERS) - 4


def test_a_renamed_layer_whose_words_changed_is_found_by_a_sample() -> None:
    new = {
        name.replace("encoder.layer", "blocks"): array + np.float32(0.01)
        for name, array in LAYERS.items()
    }
    found = compared(LAYERS, new)
    assert (found.added, found.removed, found.renamed) == ((), (), ())
    assert {item.name: item.old_name for item in found.changed} == {
        name.replace("encoder.layer", "blocks"): name for name in LAYERS
    }
    (move,) = found.moves
    assert (move.old, move.new, move.tensors, move.equal) == ("encoder.layer.*", "blocks.*", 12, 0)


def test_two_networks_of_one_form_are_not_called_renamed() -> None:
    other = {
        name.replace("encoder", "net"): noise(1000 + number, *array.shape)
        for number, (name, array) in enumerate(LAYERS.items())
    }
    found = compared(LAYERS, other)
    assert (found.renamed, found.changed, found.moves) == ((), (), ())
    assert len(found.added) == len(found.removed) == len(LAYERS)


def test_zeros_are_renamed_only_together_with_words_that_say_something() -> None:
    old = {"norm.bias": np.zeros(500, "f4"), "a.weight": noise(1, 30, 30)}
    alone = {"head.bias": np.zeros(500, "f4"), "a.weight": old["a.weight"]}
    found = compared(old, alone)
    assert [item.name for item in found.added] == ["head.bias"]
    assert found.renamed == ()
    beside = {"x.norm.bias": old["norm.bias"], "x.a.weight": old["a.weight"]}
    assert renamed(compared(old, beside)) == {"x.norm.bias": "norm.bias", "x.a.weight": "a.weight"}


def test_equal_layers_go_to_the_name_that_fits_best() -> None:
    weight = noise(1, 20, 20)
    old = {f"layer.{number}.weight": weight for number in range(4)} | {"x": noise(2, 30)}
    new = {f"block.{number}.weight": weight for number in range(4)} | {"x": old["x"]}
    assert renamed(compared(old, new)) == {
        f"block.{number}.weight": f"layer.{number}.weight" for number in range(4)
    }


def test_a_matrix_under_another_name_with_its_axes_swapped_is_found() -> None:
    old = {"dense.weight": noise(1, 40, 30), "bias": noise(2, 40)}
    new = {"onnx::MatMul_12": old["dense.weight"].T, "bias": old["bias"]}
    found = compared(old, new)
    (item,) = found.reshaped
    assert (item.name, item.old_name, item.transposed) == ("onnx::MatMul_12", "dense.weight", True)
    assert (found.added, found.removed) == ((), ())


def test_without_words_nothing_is_read_and_equal_words_still_decide() -> None:
    moved = {name.replace("layer", "block"): array for name, array in LAYERS.items()}
    assert len(compared(LAYERS, moved, words=False).renamed) == len(LAYERS)
    tuned = {name: array + np.float32(0.01) for name, array in moved.items()}
    found = compared(LAYERS, tuned, words=False)
    assert (found.renamed, found.changed) == ((), ())


def test_a_glob_counts_for_old_and_new_names() -> None:
    from mvc.diff.structure import compare_tensors
    from tests.diff.sources import source

    new = {name.replace("layer", "block"): array for name, array in LAYERS.items()}
    sides = source(LAYERS), source(new)
    for part in ("layer.2", "block.2"):
        found = compare_tensors(*sides, lambda name, part=part: part in name)
        assert len(found.renamed) == 4


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("encoder.layer.3.bias", "encoder.block.3.bias", Rule("layer", "block")),
        ("a.w", "module.a.w", Rule("", "module")),
        ("h.3.attn.w", "layers.3.attention.w", Rule("h.#.attn", "layers.#.attention")),
        ("layer.3.w", "layer.4.w", Rule("3", "4")),
        ("a/b/w", "a/c/w", Rule("b", "c")),
    ],
)
def test_a_rule_is_where_two_names_differ(old: str, new: str, expected: Rule) -> None:
    assert rule(old, new) == expected


NAMES = st.lists(st.sampled_from(["a", "b", "7", "12", "weight"]), min_size=1, max_size=6)


@given(NAMES, NAMES)
def test_moves_count_every_pair_once(old: list[str], new: list[str]) -> None:
    pairs = [(".".join(old), ".".join(new), True), (".".join(new), ".".join(old), False)]
    found = naming.moves(pairs)
    assert sum(move.tensors for move in found) == 2
    assert sum(move.equal for move in found) == 1


@given(st.permutations(list(LAYERS)))
def test_the_order_of_a_file_does_not_matter(order: list[str]) -> None:
    new = {name.replace("layer", "block"): LAYERS[name] + np.float32(0.01) for name in order}
    found = compared({name: LAYERS[name] for name in sorted(order)}, new)
    assert {item.name for item in found.changed} == set(new)
    assert all(item.old_name == item.name.replace("block", "layer") for item in found.changed)


def test_a_sample_of_constants_proves_nothing() -> None:
    ones = np.ones((4, 4))
    assert renames.correlation(ones, ones * 2) is None
    assert renames.correlation(None, ones) is None
    assert renames.correlation(np.arange(4.0), np.arange(4.0)) is None
    assert renames.correlation(np.arange(9.0), np.arange(9.0)) == pytest.approx(1)
