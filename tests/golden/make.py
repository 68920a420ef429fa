"""Makes the golden repository of the stored format as it is: `python -m tests.golden.make FOLDER`.

FOLDER is `tests/golden/format-N-by-VERSION`, and must not be there: what a release wrote is never
made again. Beside `repository` there is `light`, a copy that gave its lower bits up to it and went
on, and `reduced.json`, the SHA-256 of its files at 16 bits.

It fails unless every mode of sections, every transform, and packs from commits, from `repack`,
from `gc` and of tails that came back are in it.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from mvc.codec import merged
from mvc.codec.chunk import Transform
from mvc.codec.segments import split
from mvc.objects.history import Metric
from mvc.ops import tag
from mvc.ops.add import add
from mvc.ops.checkout import checkout, switch
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.export import export
from mvc.ops.gc import GcRequest, gc
from mvc.ops.offload import bring_back, offload
from mvc.ops.repack import RepackRequest, repack
from mvc.repo.repository import Environment, Repository
from mvc.store.object_store import ObjectStore
from tests.codec.material import anatomy
from tests.e2e.world import Part, safetensors, sha256s
from tests.formats import torch_files
from tests.formats.test_gguf import Writer

ELSEWHERE = "@repository@"
"""Stands in the list of offloaded tails for the folder that holds them."""

LOCAL = ("index.sqlite", "locks", "tmp", "worktree", "config.toml", "unreachable", "repacked")
LABELS = {
    "bfloat16": "BF16",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "int64": "I64",
    "uint8": "U8",
    "bool": "BOOL",
}
WANTED = {
    *("PLAIN", "ROTATED", "INTEGER_DELTA", "FLOAT_DELTA", "LOW_RANK"),
    *("constant", "raw", "planes:zstd", "planes:constant", "pco", "gaps", "lookup", "sparse"),
    *("groups:base", "groups:magnitude", "groups:size", "groups:as above"),
    *("groups:column", "groups:place"),
}
ROWS, COLUMNS = 128, 96

Array = NDArray[np.generic]
Arrays = dict[str, Array]


@dataclass
class Making:
    """A repository that is being filled, and what its versions are to give back."""

    root: Path
    clock: Iterator[int]

    def __post_init__(self) -> None:
        environment = Environment(
            author="Golden <golden@example.org>", clock=lambda: next(self.clock) * 60_000_000
        )
        self.repo = Repository.init(self.root, environment=environment)
        self.expected: dict[str, dict[str, str]] = {}

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def commit(self, request: CommitRequest) -> str:
        add(self.repo, [self.root])
        name = commit(self.repo, request).id.hex()
        self.expected[name] = sha256s(self.root)
        return name

    def save(self, arrays: Arrays, message: str, codec: str | None = None) -> str:
        self.write("family.safetensors", stored(arrays))
        return self.commit(CommitRequest(message, codec=codec))


def stored(arrays: Arrays) -> bytes:
    parts: list[Part] = [
        (name, LABELS[array.dtype.name], array.shape, array.tobytes())
        for name, array in arrays.items()
    ]
    return safetensors(parts)


def usual(round_: int) -> Arrays:
    """Return the arrays of a small model after some rounds on a device."""
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((96, 64)).astype(np.float32)
    weight += np.float32(round_ * 1e-4) * rng.standard_normal((96, 64)).astype(np.float32)
    special = np.array([0x7FC00001, 0x80000000, 0x00000001, 0xFF800000], np.uint32)
    weight.reshape(-1)[:4] = special.view(np.float32)
    with np.errstate(invalid="ignore"):
        return {
            "encoder.layer.0.weight": weight,
            "encoder.layer.0.bias": np.zeros(64, np.float32),
            "half": weight[:40].astype(np.float16),
            "brain": weight.astype(ml_dtypes.bfloat16),
            "double": weight.astype(np.float64)[:30],
            "ids": np.arange(900, dtype=np.int64),
            "tiny": np.array(3.5, np.float32),
            "empty": np.zeros((0, 4), np.float32),
            "flags": np.array([True, False]),
            "small8": weight.astype(ml_dtypes.float8_e4m3fn),
        }


def others() -> Iterator[tuple[str, bytes]]:
    """Yield files in other formats, and such as are no models."""
    arrays = usual(0)
    for name, save, held in (
        ("arrays", np.savez, {"w": np.asfortranarray(arrays["encoder.layer.0.weight"])}),
        ("deflated", np.savez_compressed, {"w": arrays["double"]}),
    ):
        file = io.BytesIO()
        save(file, big=np.arange(700, dtype=">f4"), **held)
        yield f"nets/{name}.npz", file.getvalue()
    known = {
        name: (array.dtype.name, array.shape, array.tobytes())
        for name, array in arrays.items()
        if array.dtype.name in ("float32", "int64", "float16") and array.size
    }
    value, plain, counted = torch_files.state_dict(known)
    yield "nets/state.pt", torch_files.save_zip(value, plain)
    yield "nets/old.pt", torch_files.save_legacy(value, counted)
    wide = np.zeros(1_100_000, np.uint8)
    wide[::50_000] = 7
    file = io.BytesIO()
    np.save(file, wide)
    yield "nets/wide.npy", file.getvalue()
    scales = np.random.default_rng(5).normal(0, 0.01, 400).astype("<f2").view(np.uint8)
    codes = np.random.default_rng(6).normal(0, 30, (400, 32)).astype(np.int8).view(np.uint8)
    blocks = np.hstack([scales.reshape(-1, 2), codes]).tobytes()
    yield "nets/blocks.gguf", Writer().add("blocks", [32 * 400], 8, blocks).build()
    yield "config/vocabulary.txt", "\n".join(f"word{number}" for number in range(2000)).encode()
    yield "config/settings.json", b'{"layers": 1}\n'
    yield "empty", b""


def family() -> Arrays:
    rng = np.random.default_rng(11)
    matrix = rng.normal(0, 0.05, (ROWS, COLUMNS))
    return {
        "wide": matrix.astype(np.float32),
        "brain": matrix.astype(ml_dtypes.bfloat16),
        "half": matrix.astype(np.float16),
        "rows": rng.normal(0, 0.05, (ROWS, 100)).astype(np.float32),
        "double": rng.normal(0, 0.05, 1500),
        "grid": (rng.integers(-8, 8, 20_000) * np.float32(0.0123)).astype(np.float32),
        "steps": (rng.integers(0, 3, 9000) * 7).astype(np.uint8),
        "count": np.arange(1000, dtype=np.int64),
        "same": np.full(3000, 0.5, np.float32),
    }


def changed(arrays: Arrays, seed: int, how: str) -> Arrays:
    """Return arrays after some training, a merged adapter, or an edit of few of their words."""
    rng = np.random.default_rng(seed)
    out = {name: array.copy() for name, array in arrays.items()}
    adapter = rng.normal(0, 0.02, (ROWS, 3)) @ rng.normal(0, 0.05, (3, COLUMNS))
    for name, array in arrays.items():
        values = array.astype(np.float64)
        if how == "merge" and array.shape == (ROWS, COLUMNS):
            out[name] = (values + adapter).astype(array.dtype)
        if how == "train" and array.dtype.kind == "f" and name != "same":
            moved = values * (1 - 1e-4) + rng.choice([-1, 1], array.shape) * 3e-5
            out[name] = moved.astype(array.dtype)
        if how == "rows" and array.ndim == 2:
            size = 2.0 ** -rng.integers(4, 16, (len(array), 1))
            out[name] = (values + size * rng.normal(0, 0.02, array.shape)).astype(array.dtype)
        if how == "few":
            flat = out[name].reshape(-1)
            flat[500:540] = flat[540:580].copy()
    out["count"] = arrays["count"] + np.int64(seed % 3)
    return out


def fill(making: Making) -> None:
    """Commit what the first golden repository has, and a family on a branch of its own."""
    making.write("model.safetensors", stored(usual(0)))
    for name, data in others():
        making.write(name, data)
    metrics = (Metric("accuracy", 0.91, "imagenet", "val"), Metric("loss", 0.5))
    params = {"lr": 1e-3, "epochs": 3, "frozen": True, "optimizer": "adam"}
    request = CommitRequest("base", params=params, metrics=metrics, labels={"device": "bench"})
    base = making.commit(request)
    tag.create(making.repo, "v1", base, message="first release")
    tag.create(making.repo, "light", base)
    switch(making.repo, "devices/car-17", create=True)
    for round_ in (1, 2):
        making.write("model.safetensors", stored(usual(round_)))
        making.commit(CommitRequest(f"car 17, round {round_}", labels={"device": "car-17"}))
    switch(making.repo, "main")
    making.write("config/settings.json", b'{"layers": 2}\n')
    making.commit(CommitRequest("settings"))
    switch(making.repo, "family", create=True)
    arrays = family()
    making.save(arrays, "a family")
    for seed, how in enumerate(("train", "merge", "train"), 1):
        arrays = changed(arrays, seed, how)
        making.save(arrays, how)
    repack(making.repo, RepackRequest(everything=True))
    gc(making.repo, GcRequest(grace_days=0))
    for seed, how in enumerate(("merge", "rows", "few"), 5):
        arrays = changed(arrays, seed, how)
        making.save(arrays, how)
    making.save(changed(arrays, 9, "train"), "quickly", "fast")


def tails_back(making: Making, scratch: Path) -> None:
    """Give the lower bits up to a repository with other packs, and take them back coded anew."""
    shutil.copytree(making.root, scratch)
    twin = Repository.init(scratch)
    repack(twin, RepackRequest(everything=True, max_depth=1))
    gc(twin, GcRequest(grace_days=0))
    given = offload(making.repo, scratch)
    back = bring_back(making.repo)
    assert given.packs, given
    assert back.coded, back
    twin.close()


def lighten(making: Making, folder: Path) -> None:
    """Make a copy that gave its lower bits up, and commit to it."""
    shutil.copytree(making.root, folder)
    light = Making(folder, making.clock)
    light.expected = making.expected
    assert offload(light.repo, making.root).packs
    light.save(changed(family(), 30, "train"), "without the lower bits")
    light.repo.close()


def pieces(store: ObjectStore) -> set[str]:
    """Return the transforms and section modes of all records in packs."""
    found = set()
    store.refresh()
    for name in store.of_kind("chunk"):
        for reader, entry in store.records(name):
            found.add(Transform(entry.transform).name)
            sections = list(reader.sections(entry, len(entry.sections)))
            if entry.transform == Transform.LOW_RANK:
                sections[0] = bytes(merged._split(sections[0])[-1])
            widths = [part.itemsize for part in split(bytes(entry.word), entry.word)]
            for data, width in zip(sections, widths, strict=True):
                for piece in anatomy(data, width):
                    whole = piece.split(">")[-1]
                    # Without the number of bits behind it.
                    found.add(whole.rstrip("0123456789").rstrip(":"))
    return found


def reduced(repo: Repository, scratch: Path, versions: list[str]) -> dict[str, dict[str, str]]:
    found = {}
    for name in versions:
        export(repo, name, scratch, precision=16)
        found[name] = sha256s(scratch)
        shutil.rmtree(scratch)
    return found


def take(source: Path, target: Path, elsewhere: Path) -> None:
    """Copy what a repository keeps, without what is local, and with the place of tails open."""
    shutil.copytree(source / ".mvc", target)
    for name in LOCAL:
        path = target / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    listing = target / "offloaded"
    if listing.exists():
        rows = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
        assert {row["source"] for row in rows} == {str(elsewhere / ".mvc")}
        lines = [json.dumps(row | {"source": ELSEWHERE}) + "\n" for row in rows]
        listing.write_text("".join(lines), encoding="utf-8")


def make(target: Path) -> None:
    """Make a golden repository in a folder that is not there."""
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name).resolve()
        making = Making(scratch / "main", itertools.count(29_333_334))
        fill(making)
        tails_back(making, scratch / "twin")
        checkout(making.repo, "main")
        expected = dict(making.expected)
        lacking = WANTED - pieces(making.repo.store)
        assert not lacking, f"no section or record of these is in it: {sorted(lacking)}"
        lighten(making, scratch / "light")
        low = reduced(making.repo, scratch / "out", [*expected])
        making.repo.close()
        take(scratch / "main", target / "repository", scratch / "main")
        take(scratch / "light", target / "light", scratch / "main")
        light = {name: files for name, files in making.expected.items() if name not in expected}
    for file, content in (("expected", expected), ("reduced", low), ("light", light)):
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        (target / f"{file}.json").write_text(text, encoding="utf-8")


def main() -> None:
    if len(sys.argv) != 2 or Path(sys.argv[1]).exists():
        sys.exit(__doc__)
    make(Path(sys.argv[1]))
    whole = hashlib.sha256()
    for path in sorted(Path(sys.argv[1]).rglob("*.head")):
        whole.update(path.read_bytes())
    print(f"heads: {whole.hexdigest()}")


if __name__ == "__main__":
    main()
