"""The same tensors merged by mergekit, recorded for slices and asked for whole models.

Told to compute in float64, mergekit gives the same bits or their neighbours. Left to itself it
computes in float32, or for changes in the dtype of the tensors; where it then is more than one unit
in the last place away, arithmetic in extended precision says who is nearer to the definition.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from mvc.merge.numbers import numbers
from tests.merge.mergekit_cases import (
    CASES,
    DATA,
    FAMILIES,
    KINDS,
    TENSOR,
    WORKS,
    Case,
    exact,
    family,
    ours,
    theirs,
    ulps,
)

GIVEN_FAMILIES = os.environ.get("MVC_TEST_FAMILIES")  # noqa: TID251
MERGEKIT = os.environ.get("MVC_TEST_MERGEKIT")  # noqa: TID251
WHOLE = (TENSOR, "encoder.layer.5.output.LayerNorm.weight", "embeddings.position_embeddings.weight")


@cache
def recorded() -> dict[str, np.ndarray]:
    with safe_open(DATA, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@cache
def slices(name: str) -> list[np.ndarray]:
    return [recorded()[f"{name}/{place}"] for place in range(3)]


@cache
def merged(name: str, case_number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what mvc makes of a slice, and what the definition says."""
    case = CASES[case_number]
    return ours(case, slices(name), TENSOR), exact(case, slices(name), TENSOR)


def told(name: str, case: Case, work: str) -> np.ndarray:
    return recorded()[f"{name}|{case.key}|{work}"]


def rounded(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    kind = numbers(like.dtype.name)
    assert kind is not None
    return kind.rounded(values.astype(np.float64)).view(like.dtype)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.key for case in CASES])
def test_results_are_the_definition_rounded_once(name: str, number: int) -> None:
    found, defined = merged(name, number)
    nearest = rounded(defined, found)
    assert ulps(found, nearest).max() <= 1
    # Where the definition is in the middle of two numbers, either will do.
    mine, best = (np.abs(one.astype(np.longdouble) - defined) for one in (found, nearest))
    assert (mine <= best * (1 + 1e-6)).all()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.key for case in CASES])
def test_mergekit_in_float64_is_within_one_unit_in_the_last_place(name: str, number: int) -> None:
    if CASES[number].masked and name.endswith("float32"):
        pytest.skip("mergekit rounds the changes to float32 for dare whatever it is told")
    found, _ = merged(name, number)
    assert ulps(found, told(name, CASES[number], "float64")).max() <= 1


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.endswith("16")])
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.key for case in CASES])
def test_mergekit_in_float32_is_within_one_unit_of_16_bit_types(name: str, number: int) -> None:
    found, _ = merged(name, number)
    assert ulps(found, told(name, CASES[number], "float32")).max() <= 1


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.endswith("float32")])
@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.key for case in CASES])
def test_where_float32_is_further_off_the_definition_is_nearer_to_ours(
    name: str, work: str, number: int
) -> None:
    found, defined = merged(name, number)
    other = told(name, CASES[number], work)
    far = ulps(found, other) > 1
    mine, its = (np.abs(array.astype(np.longdouble) - defined) for array in (found, other))
    assert (mine[far] < its[far]).all()
    # Fine-tunes are near their base, so sums hardly cancel; strangers' sums do.
    assert name != "near-float32" or far.mean() < 0.01


@pytest.mark.real
@pytest.mark.parametrize("tensor", WHOLE)
@pytest.mark.parametrize("name", FAMILIES)
def test_whole_tensors_agree_with_mergekit(name: str, tensor: str) -> None:
    if not MERGEKIT or not GIVEN_FAMILIES:
        pytest.skip(
            "MVC_TEST_MERGEKIT names no Python with mergekit, or MVC_TEST_FAMILIES no family"
        )
    if subprocess.run([MERGEKIT, "-c", "import mergekit"], check=False).returncode:
        pytest.skip(f"{MERGEKIT} has no mergekit")
    arrays = family(Path(GIVEN_FAMILIES), name, tensor)
    results = theirs(MERGEKIT, {name: (tensor, arrays)}, WORKS)
    for case in CASES:
        found = ours(case, arrays, tensor).reshape(-1)
        assert found.dtype == KINDS[name.partition("-")[2]]
        defined = exact(case, arrays, tensor)
        for work in WORKS:
            other = results[name, case.key, work].reshape(-1)
            apart = ulps(found, other)
            far = apart > 1
            print(
                f"{name} {tensor} {case.key} in {work}: {(apart > 0).mean():.4%} differ, "
                f"{far.mean():.4%} by more than a unit"
            )
            mine, its = (np.abs(one.astype(np.longdouble) - defined) for one in (found, other))
            assert (mine[far] <= its[far]).all()
            if case.masked and name.endswith("float32"):
                continue
            if work == "float64":
                assert not far.any()
            elif name.endswith("16"):
                # Signs and sizes that are equal but for rounding, as 0.6 * 4 and 0.8 * 3.
                assert far.mean() < (1e-4 if "ties" in case.name else 1e-9)
