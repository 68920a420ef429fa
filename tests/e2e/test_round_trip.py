"""Every kind of float comes back bit for bit, and equal weights are stored once."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_files import save_legacy, save_zip, state_dict

from mvc.base.errors import NegativeAnswer
from mvc.ops.show import ShownCheckpoint, show
from tests.e2e import files
from tests.e2e.world import World, network, nudged, safetensors, weights

MB = 1 << 20
PATIENCE = 60


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def comes_back(world: World, name: str, data: bytes, target: Path) -> None:
    world.save({name: data})
    found = world.exported("HEAD", target)[name]
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("shape", files.SHAPES, ids=str)
@pytest.mark.parametrize("label", files.BITS)
def test_a_tensor_of_every_type_and_shape_comes_back_alone_and_as_a_delta(
    world: World, tmp_path: Path, label: str, shape: tuple[int, ...]
) -> None:
    if label == "F4":
        shape = (*shape, 2)
    first = files.payload(label, shape, 1)
    second = bytearray(first)
    second[::7] = bytes((byte + 1) & 0xFF for byte in second[::7])
    comes_back(world, "m", safetensors([("w", label, shape, first)]), tmp_path / "1")
    shown = show(world.repo, "HEAD:m")
    assert isinstance(shown, ShownCheckpoint)
    assert [(row.name, row.shape, row.bytes) for row in shown.tensors] == [("w", shape, len(first))]
    if first:
        comes_back(world, "m", safetensors([("w", label, shape, bytes(second))]), tmp_path / "2")
        assert world.exported("HEAD~1", tmp_path / "3")["m"].endswith(first)
    world.check()


@given(files.parts(), files.parts(), st.integers(0, 99))
@settings(max_examples=15)
def test_any_two_versions_of_a_file_come_back(
    tmp_path_factory: pytest.TempPathFactory,
    one: list[files.Part],
    two: list[files.Part],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    with_new_bits = [
        (name, label, shape, files.payload(label, tuple(shape), seed) if data else data)
        for name, label, shape, data in one
    ]
    world = World(folder / "w")
    for number, parts in enumerate((one, with_new_bits, two, one)):
        data = safetensors(parts)
        if (world.root / "m").exists() and world.read("m") == data:
            continue
        comes_back(world, "m", data, folder / str(number))
    world.check()
    world.repo.close()


@pytest.mark.parametrize("form", ["safetensors", "npz", "pt"])
def test_a_hundred_thousand_tensors_in_one_file_come_back_in_seconds(
    world: World, tmp_path: Path, form: str
) -> None:
    begun = time.process_time()
    count = 100_000 if form == "safetensors" else 5_000
    data = np.random.default_rng(1).bytes(16 * count)
    pieces = {
        f"layers.{number // 100}.weight.{number}": data[16 * number : 16 * number + 16]
        for number in range(count)
    }
    content = _file_of(form, {name: np.frombuffer(raw, "<f4") for name, raw in pieces.items()})
    comes_back(world, "m", content, tmp_path / "1")
    first = world.stored()
    at = content.index(data[16_000:16_016])
    changed = content[:at] + bytes(16) + content[at + 16 :] if form != "pt" else content + b"\0"
    comes_back(world, "m", changed, tmp_path / "2")
    if form == "safetensors":
        assert world.stored() - first < MB
    world.check()
    assert time.process_time() - begun < PATIENCE


def _file_of(form: str, arrays: dict[str, np.ndarray]) -> bytes:
    if form == "safetensors":
        return safetensors(
            [(name, "F32", item.shape, item.tobytes()) for name, item in arrays.items()]
        )
    if form == "npz":
        out = io.BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()
    packed = {name: ("float32", item.shape, item.tobytes()) for name, item in arrays.items()}
    top, plain, counted = state_dict(packed)
    return save_zip(top, plain) if form == "pt" else save_legacy(top, counted)


def test_committing_again_with_nothing_changed_creates_nothing(world: World) -> None:
    world.save({"m": network({"w": weights(1, MB)}), "note": b"text"})
    before = world.packs(), world.repo.head_commit(), (world.repo.folder / "logs/HEAD").read_bytes()
    size = (world.repo.folder / "index.sqlite").stat().st_size
    touch: list[Callable[[], object]] = [
        lambda: None,
        lambda: (world.root / "m").touch(),
        lambda: world.write("m", world.read("m")),
        lambda: world.write("untracked", b"new"),
        world.reopen,
    ]
    for action in touch:
        action()
        with pytest.raises(NegativeAnswer, match="nothing to commit"):
            world.commit()
        log = (world.repo.folder / "logs/HEAD").read_bytes()
        assert (world.packs(), world.repo.head_commit(), log) == before
        assert (world.repo.folder / "index.sqlite").stat().st_size == size
        assert world.leftovers() == []


def test_going_back_to_old_content_stores_no_tensor_again(world: World) -> None:
    first, second = network({"w": weights(1, MB)}), network({"w": weights(2, MB)})
    world.save({"m": first})
    world.save({"m": second})
    before = world.stored()
    world.save({"m": first})
    assert world.stored() - before < 2000


@pytest.mark.parametrize("change", ["replaced by noise", "trained a little"])
def test_one_changed_tensor_in_90_mb_adds_at_most_that_tensor_and_64_kb(
    world: World, change: str, record_property: pytest.RecordProperty
) -> None:
    layers = {f"layer.{number}.weight": weights(number, 3 * MB) for number in range(30)}
    world.save({"m.safetensors": network(layers)})
    index = world.repo.folder / "index.sqlite"
    packs, rows = world.stored(), index.stat().st_size
    name = "layer.17.weight"
    if change == "trained a little":
        layers[name] = nudged(layers[name], 1)
    else:
        layers[name] = np.random.default_rng(5).bytes(3 * MB)
    world.save({"m.safetensors": network(layers)})
    grown, indexed = world.stored() - packs, index.stat().st_size - rows
    record_property("bytes added to packs", grown)
    record_property("bytes added to the index", indexed)
    print(f"{change}: {grown} bytes in packs, {indexed} in the index")
    assert grown + indexed <= 3 * MB + 64 * 1024


@pytest.mark.parametrize("first", ["safetensors", "pt", "npz", "legacy"])
def test_the_same_weights_in_another_container_are_stored_once(
    world: World, tmp_path: Path, first: str, record_property: pytest.RecordProperty
) -> None:
    arrays = {
        f"layer.{number}.weight": np.frombuffer(weights(number, MB), "<f4").reshape(512, -1)
        for number in range(8)
    }
    forms = sorted(["safetensors", "pt", "npz", "legacy"], key=lambda form: form != first)
    costs = []
    made = {f"m.{form}": _file_of(form, arrays) for form in forms}
    for name, data in made.items():
        before = world.stored()
        world.save({name: data})
        costs.append(world.stored() - before)
    shares = [cost / costs[0] for cost in costs[1:]]
    print(dict(zip(forms[1:], (f"{share:.3%}" for share in shares), strict=True)))
    record_property("shares", shares)
    assert max(shares) < 0.02
    assert world.exported("HEAD", tmp_path / "out") == made
