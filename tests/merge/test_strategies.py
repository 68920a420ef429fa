from __future__ import annotations

import pytest

from mvc.base.errors import UsageError
from mvc.merge import integers
from mvc.merge.strategies import OPTIONS, STRATEGIES, Value, strategy
from mvc.merge.tensors import ALGORITHMS


def test_every_strategy_that_computes_has_an_algorithm_for_floats_and_for_integers() -> None:
    computing = {name for name, kind in STRATEGIES.items() if kind.computes}
    assert computing == set(ALGORITHMS) == set(integers.ALGORITHMS)


@pytest.mark.parametrize("name", STRATEGIES)
def test_defaults_are_those_of_the_table(name: str) -> None:
    assert strategy(name).options() == dict(STRATEGIES[name].options)
    assert set(STRATEGIES[name].options) <= set(OPTIONS)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("slerp", {"t": "0.25"}, {"t": 0.25}),
        ("ties", {"density": 1, "lambda": "-2e-1"}, {"density": 1.0, "lambda": -0.2}),
        (
            "dare",
            {"seed": "18446744073709551615", "rescale": "l1"},
            {"density": 0.5, "lambda": 1.0, "rescale": "l1", "seed": 2**64 - 1},
        ),
        ("trimmed-mean", {"trim": 0}, {"trim": 0.0}),
    ],
)
def test_parameters_are_read_from_text_and_numbers(
    name: str, given: dict[str, Value], expected: dict[str, Value]
) -> None:
    assert strategy(name, given).options() == expected


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("slerp", "t", "1.1"),
        ("slerp", "t", "nan"),
        ("slerp", "t", ""),
        ("slerp", "t", True),
        ("ties", "density", 0),
        ("ties", "density", "-0.1"),
        ("ties", "density", "20%"),
        ("ties", "lambda", "inf"),
        ("dare", "seed", "-1"),
        ("dare", "seed", 2**64),
        ("dare", "seed", 1.5),
        ("dare", "seed", "\uff19"),
        ("dare", "rescale", "L1"),
        ("trimmed-mean", "trim", 0.5),
        ("slerp", "density", 0.5),
        ("ours", "t", 0.5),
    ],
)
def test_values_that_make_no_sense_are_refused(name: str, option: str, value: Value) -> None:
    with pytest.raises(UsageError) as found:
        strategy(name, {option: value})
    assert option in found.value.message
    assert found.value.hint


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(UsageError, match="no merge strategy 'medan'") as found:
        strategy("medan")
    assert found.value.hint == "did you mean median?"


@pytest.mark.parametrize(
    ("name", "sides", "base", "words"),
    [
        ("slerp", 3, True, "exactly 2 sides, not 3"),
        ("theirs", 1, True, "exactly 2 sides, not 1"),
        ("average", 0, True, "1 or more sides, not 0"),
        ("ties", 2, False, "needs a common base"),
    ],
)
def test_a_strategy_says_what_it_cannot_merge(
    name: str, sides: int, base: bool, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        strategy(name).check(sides, base=base)
