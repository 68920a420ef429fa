"""Words from their top segments alone."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mvc.base.dtypes import is_shortened
from mvc.base.errors import IntegrityError, UsageError
from mvc.objects.model import Tensor
from mvc.objects.tree import Entry
from mvc.ops.export import export
from mvc.repo import revisions, trees
from mvc.repo.arrays import load_checkpoint
from mvc.repo.metadata import read_checkpoint, read_tensor
from mvc.repo.precision import load_words, loses_bits
from mvc.store.object_store import ObjectStore
from tests.e2e.world import World, contents, network, nudged, safetensors, weights
from tests.formats import torch_files
from tests.storage.faulty import FaultyStorage

MIXED = [
    ("long", "F32", [300_000], weights(1, 1_200_000)),
    ("short", "F32", [5], weights(2, 20)),
    ("odd", "F32", [6], np.array([0x7F800001, 0x80000001, 0xFFFFFFFF, 1, 0x7FC00000, 0x8000FFFF],
                                 "<u4").tobytes()),
    ("double", "F64", [2000], np.random.default_rng(3).standard_normal(2000).tobytes()),
    ("half", "BF16", [1000], weights(4, 2000)),
    ("counts", "I64", [100], np.arange(100).tobytes()),
    ("steps", "I32", [10], np.arange(10, dtype="<i4").tobytes()),
    ("bytes", "U8", [7], b"\1\2\3\4\5\6\7"),
]  # fmt: skip


def short(data: bytes, word: int) -> bytes:
    """Return words with their low bits zero, the other way round."""
    words = np.frombuffer(data, f"<u{word}")
    return (words & words.dtype.type(0xFFFF << (8 * word - 16))).tobytes()


def entry_of(world: World, path: str) -> Entry:
    return revisions.find(world.repo, f"HEAD:{path}").entry


def expected(parts: list[tuple[str, str, list[int], bytes]]) -> bytes:
    word = {"F32": 4, "F64": 8}
    return safetensors(
        [
            (name, label, shape, short(data, word[label]) if label in word else data)
            for name, label, shape, data in parts
        ]
    )


def test_float_words_keep_their_top_bits_and_all_others_are_whole(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"m": safetensors(MIXED), "notes": b"text"})
    done = export(world.repo, "HEAD", tmp_path / "out", precision=16)
    assert contents(tmp_path / "out") == {"m": expected(MIXED), "notes": b"text"}
    assert done.reduced == ("m",)


def test_arrays_in_memory_come_with_their_top_bits(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"m": safetensors(MIXED)})
    found = load_checkpoint(world.repo.store, entry_of(world, "m").id, 16)
    whole = load_checkpoint(world.repo.store, entry_of(world, "m").id)
    assert found["long"].tobytes() == short(MIXED[0][3], 4)
    assert found["double"].tobytes() == short(MIXED[3][3], 8)
    assert (found["counts"] == whole["counts"]).all()
    assert found["long"].dtype == whole["long"].dtype
    with pytest.raises(UsageError):
        load_checkpoint(world.repo.store, entry_of(world, "m").id, 12)


@pytest.mark.parametrize("step", [None, 1e-4], ids=["alone", "beside a relative"])
def test_no_byte_of_a_tail_is_read(tmp_path: Path, step: float | None) -> None:
    world = World(tmp_path / "w")
    data = weights(5, 5 << 20)
    world.save({"m": network({"w": data})})
    if step:
        data = nudged(data, 6, step)
        world.save({"m": network({"w": data})})
    storage = FaultyStorage(world.repo.storage)
    storage.fails = lambda call, key: call.startswith("read") and key.endswith(".tail")
    store = ObjectStore(storage, None)
    store.refresh = lambda: False  # type: ignore[method-assign]
    store.index = world.repo.store.index
    found = load_checkpoint(store, entry_of(world, "m").id, 16)
    assert found["w"].tobytes() == short(data, 4)
    assert any(key.endswith(".head") for _, key in storage.calls)
    for path in (world.repo.folder / "packs").glob("*.tail"):
        path.rename(path.with_suffix(".away"))
    world.reopen()
    export(world.repo, "HEAD", tmp_path / "out", precision=16)
    assert (tmp_path / "out/m").read_bytes() == network({"w": short(data, 4)})


def test_top_bits_are_verified(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"m": network({"w": weights(5, 1 << 20)})})
    (pack,) = (world.repo.folder / "packs").glob("*.head")
    data = bytearray(pack.read_bytes())
    data[len(data) // 3] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    world.reopen()
    with pytest.raises(IntegrityError):
        export(world.repo, "HEAD", tmp_path / "out", precision=16)
    assert not (tmp_path / "out/m").exists()


def test_a_chunk_of_other_words_than_its_tensor_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"m": network({"w": weights(5, 8192)})})
    store = world.repo.store
    found = trees.tensors(store, read_checkpoint(store, entry_of(world, "m").id).tensors)
    tensor: Tensor = read_tensor(store, found["w"].id)
    (chunk,) = tensor.content.chunks
    for word, size in ((8, 8192), (4, 8188)):
        with pytest.raises(IntegrityError, match="another size"):
            load_words(store, chunk, word, size, top=True)


def test_only_files_with_wide_floats_lose_bits(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save(
        {
            "wide": safetensors(MIXED[:1]),
            "narrow": safetensors(MIXED[4:]),
            "empty": safetensors([("e", "F32", [0], b"")]),
            "text": b"text",
        }
    )
    store = world.repo.store
    lossy = [
        n for n in ("wide", "narrow", "empty", "text") if loses_bits(store, entry_of(world, n))
    ]
    assert lossy == ["wide"]
    done = export(world.repo, "HEAD", tmp_path / "out", precision=16)
    assert done.reduced == ("wide",)
    assert is_shortened("float64")
    assert not any(map(is_shortened, ("bfloat16", "float16", "int64", "float8_e5m2", "ggml_q4_1")))


def test_words_with_their_bytes_in_the_other_order_keep_the_same_bits(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    data = np.frombuffer(weights(7, 400_000), "<f4")
    for name, array in {"big": data.astype(">f4"), "small": data}.items():
        np.save(world.root / f"{name}.npy", array)
    world.add()
    world.commit()
    export(world.repo, "HEAD", tmp_path / "out", precision=16)
    big, small = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("big", "small"))
    assert big.dtype == np.dtype(">f4")
    assert (big == small).all()
    assert small.tobytes() == short(data.tobytes(), 4)


def test_archives_of_arrays_pass_their_own_check(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    data = np.frombuffer(weights(8, 400_000), "<f4")
    np.savez(world.root / "a.npz", w=data, v=data[:9].astype("<f8"), n=np.arange(3))
    counts = np.arange(4).tobytes()
    state = {"w": ("float32", [len(data)], data.tobytes()), "n": ("int64", [4], counts)}
    value, storages, _ = torch_files.state_dict(state)
    world.write("a.pt", torch_files.save_zip(value, storages))
    world.add()
    world.commit()
    assert export(world.repo, "HEAD", tmp_path / "out", precision=16).reduced == ("a.npz", "a.pt")
    with np.load(tmp_path / "out/a.npz") as found:
        assert found["w"].tobytes() == short(data.tobytes(), 4)
        assert found["v"].tobytes() == short(data[:9].astype("<f8").tobytes(), 8)
        assert found["n"].tolist() == [0, 1, 2]
    with zipfile.ZipFile(io.BytesIO((tmp_path / "out/a.pt").read_bytes())) as archive:
        assert archive.testzip() is None
    again = World(tmp_path / "again")
    again.save(contents(tmp_path / "out"))
    arrays = load_checkpoint(again.repo.store, entry_of(again, "a.pt").id)
    assert arrays["w"].tobytes() == short(data.tobytes(), 4)


def test_an_export_at_reduced_precision_is_completed_by_running_it_again(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    world.save({"m": safetensors(MIXED), "n": network({"w": weights(9, 40_000)})})
    out = tmp_path / "out"
    export(world.repo, "HEAD", out, precision=16)
    before = contents(out)
    (out / "n").unlink()
    kept = (out / "m").stat().st_ino
    export(world.repo, "HEAD", out, precision=16)
    assert contents(out) == before
    assert (out / "m").stat().st_ino == kept
