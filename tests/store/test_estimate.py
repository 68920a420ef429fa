from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mvc.base.dtypes import Family
from mvc.base.ids import ObjectId
from mvc.codec import chunk as codec
from mvc.codec.segments import split
from mvc.store import estimate
from mvc.store.census import census, nearest
from mvc.store.estimate import SAMPLE_WORDS, Samples
from mvc.store.lineage import Kind, Member
from tests.e2e.world import World, network, nudged, safetensors, weights

COUNT = 1 << 16
DRAW = np.random.default_rng(3)


def floats(dtype: str = "<f4") -> np.ndarray:
    return (DRAW.standard_normal(COUNT) * 0.02).astype(dtype)


def words(values: np.ndarray) -> np.ndarray:
    return values.view(f"<u{values.itemsize}")


def stored(new: np.ndarray, base: np.ndarray | None, family: Family) -> float:
    """Return the bytes that a word really takes."""
    parts = [None if one is None else split(one.tobytes(), one.itemsize) for one in (new, base)]
    assert parts[0] is not None
    return codec.encode(parts[0], family, parts[1]).size / len(new)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_floats_alone_are_told_within_a_tenth(dtype: str) -> None:
    values = floats(dtype)
    sample = words(values)[:SAMPLE_WORDS]
    assert estimate.alone(sample, "float") == pytest.approx(stored(values, None, "float"), rel=0.1)


@pytest.mark.parametrize("step", [1e-7, 1e-6, 1e-4])
def test_floats_against_a_base_are_told_within_a_third_and_in_order(step: float) -> None:
    """Groups make records smaller than that; planners compare, and scale by what they know."""
    base = floats()
    near, far = (
        (base + DRAW.standard_normal(COUNT) * size).astype("<f4") for size in (step, 8 * step)
    )
    told = [
        estimate.against(words(one)[:SAMPLE_WORDS], words(base)[:SAMPLE_WORDS], "float")
        for one in (near, far)
    ]
    assert told[0] < told[1]
    assert told[0] == pytest.approx(stored(near, base, "float"), rel=0.34)


def test_what_is_equal_takes_nothing() -> None:
    for family in ("float", "int", "opaque"):
        sample = words(floats())[:SAMPLE_WORDS]
        assert estimate.against(sample, sample, family) < 0.01  # type: ignore[arg-type]


def test_integers_that_count_up_take_little_against_each_other() -> None:
    base = DRAW.integers(0, 1 << 30, COUNT).astype("<u4")
    assert estimate.against((base + 3)[:SAMPLE_WORDS], base[:SAMPLE_WORDS], "int") < 0.1
    assert estimate.alone(base[:SAMPLE_WORDS], "int") > 3.5


def world_of(root: Path, *bodies: bytes) -> tuple[World, list[ObjectId]]:
    """Return a repository and the chunks of each body, in order."""
    world = World(root)
    found: list[ObjectId] = []
    for body in bodies:
        world.save({"m.safetensors": body})
        known = nearest(census(world.repo.store))
        found += [name for name, record in known.items() if name not in found and record.word == 4]
    return world, found


def test_samples_are_of_equal_places_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    body = weights(1, 4 * COUNT)
    bodies = [
        network({"body": one}) for one in (body, nudged(body, 1, 1e-6), nudged(body, 2, 1e-6))
    ]
    world, ids = world_of(tmp_path / "w", *bodies)
    samples = Samples(world.repo.store, 4 * SAMPLE_WORDS)
    one, two = (samples.get(name) for name in ids[:2])
    assert len(one) == len(two) == SAMPLE_WORDS
    assert np.abs(one.view("<f4") - two.view("<f4")).max() < 1e-4
    assert samples.get(ids[1]) is two
    assert samples.get(ids[0]) is not one
    assert (samples.get(ids[0]) == one).all()


def test_a_low_rank_delta_is_told_to_the_byte_and_its_absence_too(tmp_path: Path) -> None:
    base = DRAW.standard_normal((256, 256)).astype("<f4")
    added = DRAW.standard_normal((256, 4)) @ DRAW.standard_normal((4, 256)) * 1e-3
    full = DRAW.standard_normal((256, 256)) * 1e-3
    bodies = [
        safetensors([("w", "F32", [256, 256], (base + change).astype("<f4").tobytes())])
        for change in (0 * full, added, full)
    ]
    world, ids = world_of(tmp_path / "w", *bodies)
    first, merged, trained = (Member(name, -1, Kind("float", "float32", 256), 0) for name in ids)
    records = nearest(census(world.repo.store))
    told = estimate.merged(world.repo.store, merged, first)
    assert told is not None
    factor = records[records[merged.id].references[1]]
    assert told == pytest.approx(records[merged.id].stored + factor.stored, rel=0.02)
    assert estimate.merged(world.repo.store, trained, first) is None
