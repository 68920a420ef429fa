"""Any history at 16 bits: wide floats lose their low bits, nothing else does, no tail is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.base.errors import MvcError
from mvc.codec import merged
from mvc.codec.chunk import Transform
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.export import export
from mvc.repo import revisions
from mvc.repo.arrays import load_checkpoint
from mvc.repo.repository import Repository
from mvc.store.object_store import ObjectStore
from tests.codec.material import AGAINST, ALONE
from tests.codec.test_lowrank_fit import TYPES, low_rank
from tests.codec.test_lowrank_fit import matrix as values
from tests.e2e.world import ENVIRONMENT, Part, World, contents, nudged, safetensors, weights
from tests.repo.test_precision import short
from tests.storage.faulty import FaultyStorage

WORDS = {
    "F32": 4,
    "F64": 8,
    "C64": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "U8": 1,
    "I32": 4,
    "I64": 8,
}
SHORTENED = {"F32", "F64", "C64"}
EXACT = {"I32", "I64"}
LABELS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}

Version = list[Part]


@dataclass
class Reads:
    """How many bytes a reader took from heads and from tails."""

    head: int = 0
    tail: int = 0


class CountingStorage(FaultyStorage):
    """Counts the bytes of each read, beside what a faulty storage counts."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self.reads = Reads()

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        data = super().read_range(key, offset, length)
        if key.endswith(".tail"):
            self.reads.tail += len(data)
        else:
            self.reads.head += len(data)
        return data


def counted(world: World, revision: str, path: str, precision: int | None) -> Reads:
    """Return what loading a checkpoint reads, the index being there."""
    storage = CountingStorage(world.repo.storage)
    store = ObjectStore(storage, None)
    store.index = world.repo.store.index
    store.refresh = lambda: False  # type: ignore[method-assign]
    entry = revisions.find(world.repo, f"{revision}:{path}").entry
    load_checkpoint(store, entry.id, precision)
    return storage.reads


def at_16(version: Version) -> bytes:
    return safetensors(
        [
            (name, label, shape, short(data, WORDS[label]) if label in SHORTENED else data)
            for name, label, shape, data in version
        ]
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Version]:
    """Return versions of a file with tensors of every type and of any bits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = draw(st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=4))
    first: Version = []
    for number, label in enumerate(labels):
        pair = 2 if label == "C64" else 1
        count = draw(st.sampled_from([1, 100, 255, 256, 257, 3000, 9000]))
        words = ALONE[
            draw(st.sampled_from(["weights", "special", "noise", "constant", "palette"]))
        ](rng, count * pair, WORDS[label])
        first.append((f"t{number}", label, [count], words.tobytes()))
    versions = [first]
    for _ in range(draw(st.integers(0, 3))):
        version: Version = []
        for name, label, shape, data in versions[-1]:
            words = np.frombuffer(data, f"<u{WORDS[label]}")
            changed = AGAINST[
                draw(st.sampled_from(["equal", "stepped", "trained", "hardly", "far"]))
            ](rng, words)
            version.append((name, label, shape, changed.tobytes()))
        versions.append(version)
    return versions


@given(versions=histories(), codec=st.sampled_from(["default", "fast"]))
@settings(max_examples=40)
def test_wide_floats_of_any_bits_keep_their_top_16(
    versions: list[Version], codec: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("w")
    world = World(root / "w")
    for number, version in enumerate(versions):
        world.write("m", safetensors(version))
        world.write("n", b"%d" % number)
        world.add()
        commit(world.repo, CommitRequest("a version", codec=codec))
    for number, version in enumerate(reversed(versions)):
        target = root / f"out{number}"
        done = export(world.repo, f"HEAD~{number}", target, precision=16)
        assert contents(target)["m"] == at_16(version)
        loses = any(label in SHORTENED for _, label, _, _ in version)
        assert done.reduced == (("m",) if loses else ())
        if loses and not any(label in EXACT for _, label, _, _ in version):
            assert counted(world, f"HEAD~{number}", "m", 16).tail == 0
    world.repo.close()


@pytest.mark.parametrize("kind", merged.DTYPES)
def test_chains_of_low_rank_deltas_give_their_top_16_from_heads(kind: str, tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    current = values(200, 192).astype(TYPES[kind])
    versions = []
    for number in range(4):
        if number:
            added = low_rank(200, 192, 3, number)
            current = (current.astype(np.float64) + added).astype(TYPES[kind])
        flat = current.reshape(-1).view(f"<u{current.itemsize}").copy()
        # Words without a value in the middle of it.
        flat[:3] = [(1 << 8 * current.itemsize) - 1, 1 << 8 * current.itemsize - 1, 1]
        versions.append([("w", LABELS[kind], [200, 192], flat.tobytes())])
        world.save({"m": safetensors(versions[-1])})
    store = world.repo.store
    entries = [store.chunk_entry(name)[1] for name in store.of_kind("chunk")]
    assert sum(entry.transform == Transform.LOW_RANK for entry in entries) == 3
    for number, version in enumerate(reversed(versions)):
        export(world.repo, f"HEAD~{number}", tmp_path / str(number), precision=16)
        assert contents(tmp_path / str(number))["m"] == at_16(version)
        assert counted(world, f"HEAD~{number}", "m", 16).tail == 0


@pytest.mark.parametrize("step", [1e-6, 1e-4, 1e-2])
def test_sixteen_bits_take_at_most_55_percent_of_what_all_take(step: float, tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    data = weights(1, 4 << 20)
    for number in range(3):
        world.save({"m": safetensors([("w", "F32", [1 << 20], data)])})
        data = nudged(data, number, step)
    for revision in ("HEAD~2", "HEAD~1", "HEAD"):
        low, full = (counted(world, revision, "m", precision) for precision in (16, None))
        assert low.tail == 0
        assert low.head <= 0.55 * (full.head + full.tail)


def test_integers_alone_are_read_from_tails(tmp_path: Path) -> None:
    world = World(tmp_path / "w")
    counts = np.random.default_rng(1).integers(0, 1 << 62, 2000).tobytes()
    parts: Version = [
        ("n", "I64", [2000], counts),
        ("w", "F32", [1 << 18], weights(2, 1 << 20)),
    ]
    world.save({"m": safetensors(parts)})
    reads = counted(world, "HEAD", "m", 16)
    assert 0 < reads.tail <= 2000 * 6 + 20
    export(world.repo, "HEAD", tmp_path / "out", precision=16)
    assert contents(tmp_path / "out")["m"] == at_16(parts)


def test_a_lie_about_the_top_is_found_however_it_is_coded(tmp_path: Path) -> None:
    """A reader of tops has no word beside them; the digests of the rest make the id."""
    world = World(tmp_path / "w")
    old = weights(1, 1 << 16)
    for data in (old, nudged(old, 1, 1e-5)):
        world.save({"m": safetensors([("w", "F32", [1 << 14], data)])})
    newest = max(
        (world.repo.folder / "packs").glob("*.head"), key=lambda path: path.stat().st_mtime_ns
    )
    sound = newest.read_bytes()
    newest.chmod(0o644)
    expected = at_16([("w", "F32", [1 << 14], nudged(old, 1, 1e-5))])
    told = wrong = 0
    for at in range(8, len(sound), max(1, len(sound) // 60)):
        damaged = bytearray(sound)
        damaged[at] ^= 0x10
        newest.write_bytes(damaged)
        repo = Repository(world.repo.folder, world.root, ENVIRONMENT)
        target = tmp_path / f"out{at}"
        try:
            export(repo, "HEAD", target, precision=16)
        except MvcError:
            told += 1
        else:
            wrong += contents(target)["m"] != expected
        repo.close()
    assert wrong == 0
    assert told > 10
