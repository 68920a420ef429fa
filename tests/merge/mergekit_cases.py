"""The strategies that mergekit has too, on tensors of real families.

    python -m tests.merge.mergekit_cases --families FAMILIES --python PYTHON

writes `data/mergekit.safetensors` anew: slices of real tensors, and what the mergekit of PYTHON
makes of them. FAMILIES is what `python -m benchmarks.families` writes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from mvc.merge import draws
from mvc.merge.strategies import Strategy, Value, strategy
from tests.merge.pieces import made

DATA = Path(__file__).parent / "data" / "mergekit.safetensors"
PROGRAM = Path(__file__).parent / "mergekit_reference.py"
WORKS = ("float32", "float64")
"""What mergekit is told to compute in; results have the dtype of the tensors in any case."""

KINDS = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
FAMILIES = {
    "near-float32": ("full-fp32", ("step0000", "step0020", "step0040")),
    "near-bfloat16": ("full-bf16", ("step0000", "step0016", "step0040")),
    "near-float16": ("full-fp16", ("step0000", "step0016", "step0040")),
    "far-float32": ("independent-fp32", ("seed11", "seed12", "seed13")),
}
"""Snapshots of fine-tunes, and models that share nothing but their shape: base and two sides."""

TENSOR = "encoder.layer.3.attention.self.query.weight"
SLICE = 1200


@dataclass(frozen=True)
class Case:
    """One strategy as both call it."""

    method: str
    parameters: Mapping[str, object]
    name: str
    options: Mapping[str, Value] = field(default_factory=dict)
    weights: tuple[float, ...] | None = None

    @property
    def key(self) -> str:
        return "-".join([self.name, *(f"{value}" for value in self.options.values())])

    @property
    def strategy(self) -> Strategy:
        return strategy(self.name, self.options)

    @property
    def masked(self) -> bool:
        return self.name.startswith("dare")


def _changes(method: str, name: str, weights: tuple[float, ...], **options: Value) -> Case:
    parameters: dict[str, object] = {"weight": list(weights)}
    if "density" in options:
        parameters["density"] = [options["density"]] * len(weights)
    if "lambda_" in options:
        parameters["lambda"] = options["lambda_"]
    if name == "dare-ties":
        parameters["normalize"] = True
    if name.startswith("dare"):
        options["rescale"] = "l1"
    named = {option.rstrip("_"): value for option, value in options.items()}
    return Case(method, parameters, name, named, weights)


CASES = (
    _changes("task_arithmetic", "task-arithmetic", (0.6, 0.8), lambda_=0.9),
    _changes("ties", "ties", (0.6, 0.8), density=0.2),
    _changes("ties", "ties", (1.0, 1.0), density=0.5, lambda_=0.7),
    _changes("dare_linear", "dare", (0.5, 0.5), density=0.5, seed=7),
    _changes("dare_ties", "dare-ties", (0.5, 0.5), density=0.3, seed=9),
    Case("slerp", {"t": 0.3}, "slerp", {"t": 0.3}),
)


def ours(case: Case, tensors: list[np.ndarray], name: str) -> np.ndarray:
    """Return what mvc makes of a base and two sides; slerp goes from the first side on."""
    label = tensors[0].dtype.name
    base = None if case.name == "slerp" else tensors[0]
    options = {f"{option}": value for option, value in case.options.items()}
    return made(
        case.name, base, tensors[1:], case.weights, label=label, tensor=name, **options
    )  # fmt: skip


def theirs(
    python: str, families: Mapping[str, tuple[str, list[np.ndarray]]], works: tuple[str, ...]
) -> dict[tuple[str, str, str], np.ndarray]:
    """Return what mergekit makes of (tensor name, base and sides), by family, case and work."""
    tensors: dict[str, np.ndarray] = {}
    told = []
    for family, (tensor, arrays) in families.items():
        for case in CASES:
            given = arrays[1:] if case.name == "slerp" else arrays
            for work in works:
                name = f"{family}|{case.key}|{work}"
                told.append(
                    {
                        "name": name,
                        "method": case.method,
                        "parameters": case.parameters,
                        "count": len(given),
                        "work": work,
                        "masked": case.masked,
                    }
                )
                tensors |= {f"{name}/{place}": one for place, one in enumerate(given)}
                if case.masked:
                    tensors |= dict(_masks(case, name, tensor, given[0].shape))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file(tensors, source, metadata={"cases": json.dumps(told)})
        subprocess.run([python, str(PROGRAM), str(source), str(target)], check=True)
        with safe_open(target, "np") as file:
            return {_key(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _key(name: str) -> tuple[str, str, str]:
    family, case, work = name.split("|")
    return family, case, work


def _masks(
    case: Case, name: str, tensor: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, np.ndarray]]:
    density = case.strategy.density
    for side in range(2):
        key = draws.key(case.strategy.seed, tensor, side)
        count = int(np.prod(shape))
        yield f"{name}/mask/{side + 1}", draws.kept(key, 0, count, density).reshape(shape)


def ulps(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Return how many numbers of their type lie between two arrays."""
    places = []
    for array in (one, two):
        bits = 8 * array.dtype.itemsize
        words = array.reshape(-1).view(f"u{array.dtype.itemsize}").astype(np.int64)
        size = words & ((1 << bits - 1) - 1)
        places.append(np.where(words >> (bits - 1), -size, size))
    return np.abs(places[0] - places[1])


def exact(case: Case, tensors: list[np.ndarray], name: str) -> np.ndarray:
    """Return what a strategy gives by its definition, on whole arrays in extended precision."""
    base, one, two = (array.reshape(-1).astype(np.longdouble) for array in tensors)
    known = case.strategy
    if case.name == "slerp":
        norms = [np.sqrt((array * array).sum()) for array in (one, two)]
        cosine = float((one * two).sum() / norms[0] / norms[1])
        t = np.longdouble(known.t)
        if abs(cosine) > 0.9995:
            return (1 - t) * one + t * two
        angle = np.arccos(np.longdouble((one * two).sum() / norms[0] / norms[1]))
        return (np.sin((1 - t) * angle) * one + np.sin(t * angle) * two) / np.sin(angle)
    rest = []
    for place, side in enumerate((one, two)):
        change = side - base
        if case.name == "ties":
            order = np.argsort(-np.abs(change), kind="stable")
            change[order[max(1, int(known.density * len(change))) :]] = 0
        elif case.masked:
            key = draws.key(known.seed, name, place)
            left = change * draws.kept(key, 0, len(change), known.density)
            rescale = np.abs(change).sum() / (np.abs(left).sum() or 1)
            change = left * rescale
        rest.append(change * np.longdouble((case.weights or (1, 1))[place]))
    changes = np.array(rest)
    if "ties" not in case.name:
        return base + known.scale * changes.sum(axis=0)
    sign = np.where(changes.sum(axis=0) >= 0, 1, -1)
    agrees = np.sign(changes) == sign
    share = (np.array(case.weights, np.longdouble)[:, None] * agrees).sum(axis=0)
    share[share == 0] = 1
    return base + known.scale * (changes * agrees).sum(axis=0) / share


def family(folder: Path, name: str, tensor: str) -> list[np.ndarray]:
    """Return a base and two sides of a real family."""
    place, steps = FAMILIES[name]
    found = []
    for step in steps:
        with safe_open(folder / place / f"{step}.safetensors", "np") as file:
            found.append(file.get_tensor(tensor))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=Path, required=True)
    parser.add_argument("--python", required=True)
    args = parser.parse_args()
    slices = {
        name: [array.reshape(-1)[:SLICE].copy() for array in family(args.families, name, TENSOR)]
        for name in FAMILIES
    }
    results = theirs(
        args.python, {name: (TENSOR, arrays) for name, arrays in slices.items()}, WORKS
    )
    kept = {
        f"{name}/{place}": a for name, arrays in slices.items() for place, a in enumerate(arrays)
    }
    kept |= {"|".join(key): array for key, array in results.items()}
    DATA.parent.mkdir(exist_ok=True)
    save_file(kept, DATA)
    print(f"{DATA.name}: {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
