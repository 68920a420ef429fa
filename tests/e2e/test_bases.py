"""What a related model costs, however it is called and wherever its relative is."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from mvc.ops.checkout import switch
from mvc.ops.commit import CommitRequest, CommitResult, commit
from mvc.ops.commit_arrays import commit_arrays
from mvc.ops.mv import move
from mvc.ops.tag import create as tag
from tests.e2e.world import Part, World, safetensors, weights

LAYERS = 6
ROWS, COLUMNS = 192, 256
RAW = LAYERS * ROWS * COLUMNS * 4
CLOSE = 0.45
"""A step of training is this much of the raw bytes at most; without a base it is twice that."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


Layers = dict[str, np.ndarray]


def trained(seed: int = 1) -> Layers:
    return {
        f"encoder.layer.{n}.weight": np.frombuffer(
            weights(seed * 100 + n, ROWS * COLUMNS * 4), np.float32
        ).reshape(ROWS, COLUMNS)
        for n in range(LAYERS)
    }


def tuned(layers: Layers, seed: int = 7) -> Layers:
    draw = np.random.default_rng(seed)
    step = np.float32(2e-6)
    return {
        name: layer + draw.standard_normal(layer.shape, np.float32) * step
        for name, layer in layers.items()
    }


def prefixed(layers: Layers, prefix: str) -> Layers:
    return {prefix + name: layer for name, layer in layers.items()}


def saved(layers: Mapping[str, np.ndarray]) -> bytes:
    parts: list[Part] = [
        (name, "F32", list(layer.shape), layer.tobytes()) for name, layer in layers.items()
    ]
    return safetensors(parts)


def npz(layers: Layers) -> bytes:
    out = io.BytesIO()
    np.savez(out, **layers)
    return out.getvalue()


def shards(layers: Layers, count: int) -> dict[str, bytes]:
    names = list(layers)
    return {
        f"model-{n + 1:05}-of-{count:05}.safetensors": saved(
            {name: layers[name] for name in names[n::count]}
        )
        for n in range(count)
    }


def check(world: World, done: CommitResult, new: Mapping[str, bytes], tmp_path: Path) -> None:
    """Fail unless a version cost little and comes back byte for byte."""
    assert done.stored_bytes < CLOSE * sum(len(data) for data in new.values())
    out = world.exported(done.id.hex(), tmp_path / "out")
    for name, data in new.items():
        assert hashlib.sha256(out[name]).digest() == hashlib.sha256(data).digest()
    world.check()


def test_without_a_relative_it_costs_nearly_everything(world: World) -> None:
    done = world.save({"model.safetensors": saved(trained())})
    assert done.stored_bytes > 0.8 * RAW
    done = world.save({"model.safetensors": saved(trained(2))})
    assert done.stored_bytes > 0.8 * RAW


def test_a_prefix_was_added(world: World, tmp_path: Path) -> None:
    world.save({"model.safetensors": saved(trained())})
    new = {"model.safetensors": saved(prefixed(tuned(trained()), "bert."))}
    check(world, world.save(new), new, tmp_path)


def test_a_prefix_was_dropped_in_another_file(world: World, tmp_path: Path) -> None:
    world.save({"pretrained.safetensors": saved(prefixed(trained(), "module.model."))})
    new = {"tuned.safetensors": saved(tuned(trained()))}
    check(world, world.save(new), new, tmp_path)


def test_all_names_are_others(world: World, tmp_path: Path) -> None:
    world.save({"model.safetensors": saved(trained())})
    layers = [*tuned(trained()).values()]
    new = {"model.safetensors": saved({f"h{n + 1}/kernel": w for n, w in enumerate(layers)})}
    check(world, world.save(new), new, tmp_path)


def test_a_model_was_cut_into_shards(world: World, tmp_path: Path) -> None:
    world.save({"model.safetensors": saved(trained())})
    (world.root / "model.safetensors").unlink()
    new = shards(tuned(trained()), 3)
    check(world, world.save(new), new, tmp_path)


def test_a_model_was_cut_into_other_shards(world: World, tmp_path: Path) -> None:
    world.save(shards(trained(), 2))
    for path in world.root.glob("*.safetensors"):
        path.unlink()
    new = shards(tuned(trained()), 3)
    check(world, world.save(new), new, tmp_path)


def test_shards_became_one_file_of_another_format(world: World, tmp_path: Path) -> None:
    world.save(shards(trained(), 3))
    new = {"weights.npz": npz(tuned(trained()))}
    check(world, world.save(new), new, tmp_path)


def test_a_renamed_file_was_tuned(world: World, tmp_path: Path) -> None:
    world.save({"model.safetensors": saved(trained()), "other.safetensors": saved(trained(3))})
    (world.root / "v2").mkdir()
    move(world.repo, [world.root / "model.safetensors"], world.root / "v2" / "detector.safetensors")
    new = {"v2/detector.safetensors": saved(tuned(trained()))}
    check(world, world.save(new), new, tmp_path)


def test_all_snapshots_come_in_one_commit(world: World, tmp_path: Path) -> None:
    first = trained()
    second = tuned(first)
    new = {
        "step0000.safetensors": saved(first),
        "step0010.safetensors": saved(second),
        "step0020.npz": npz(tuned(second, 9)),
    }
    done = world.save(new)
    assert done.stored_bytes < (1 + 2 * CLOSE) * RAW
    assert world.exported("HEAD", tmp_path / "out") == new
    world.check()


def test_the_same_weights_twice_in_one_commit_are_stored_once(world: World) -> None:
    layers = trained()
    done = world.save({"a.safetensors": saved(layers), "b.npz": npz(layers)})
    assert done.stored_bytes < RAW


def test_another_branch_is_closer(world: World, tmp_path: Path) -> None:
    world.save({"model.safetensors": saved(trained())})
    switch(world.repo, "car-17", create=True)
    world.save({"model.safetensors": saved(trained(2))})
    switch(world.repo, "main")
    new = {"model.safetensors": saved(tuned(trained(2)))}
    done = world.save(new)
    assert world.exported("HEAD", tmp_path / "out") == new
    world.check()
    # Which of several candidates is taken is measured when a chunk is encoded.
    assert done.stored_bytes < CLOSE * RAW


def test_a_tag_is_closer(world: World, tmp_path: Path) -> None:
    world.save({"model.safetensors": saved(trained())})
    tag(world.repo, "v1.0")
    world.save({"model.safetensors": saved(trained(2))})
    new = {"model.safetensors": saved(tuned(trained()))}
    check(world, world.save(new), new, tmp_path)


def test_the_declared_base_is_closer(world: World, tmp_path: Path) -> None:
    release = world.save({"pretrained.safetensors": saved(prefixed(trained(), "model."))})
    (world.root / "pretrained.safetensors").unlink()
    world.save({"model.safetensors": saved(trained(2))})
    world.write("model.safetensors", saved(tuned(trained())))
    done = commit(world.repo, CommitRequest("from the release", base="HEAD~1"))
    new = {"model.safetensors": saved(tuned(trained()))}
    check(world, done, new, tmp_path)
    assert world.repo.commit(done.id).base == release.id


def test_more_words_and_fewer(world: World, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    words = (draw.standard_normal((3000, 64), np.float32)) * np.float32(0.02)
    more = np.concatenate([words, words[:7] * 2])
    world.save({"model.safetensors": saved({"embeddings": words})})
    new = {"model.safetensors": saved(tuned({"embeddings": more}))}
    check(world, world.save(new), new, tmp_path)
    new = {"model.safetensors": saved(tuned({"embeddings": more[:2900]}))}
    check(world, world.save(new), new, tmp_path / "fewer")


def test_arrays_from_memory_are_compared_too(world: World) -> None:
    commit_arrays(world.repo, trained(), "model.safetensors", CommitRequest("one"))
    before = world.stored()
    renamed = prefixed(tuned(trained()), "bert.")
    commit_arrays(world.repo, renamed, "other/tuned.safetensors", CommitRequest("two"))
    assert world.stored() - before < CLOSE * RAW
    world.check()
