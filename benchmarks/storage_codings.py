"""One coding over the versions of one history: what it would store, and how fast.

    python -m benchmarks.storage_codings HISTORY CODING --families FAMILIES --json FILE

`benchmarks.storage` runs this in a process of its own for each coding, so that its memory can be
measured. Tensors are found by mvc's readers; a coding with bases gets the tensor of the same name,
shape and type in the parent, and stores what it has met before only once. Everything is decoded
and compared. Bytes outside tensors are counted as zstd-3 leaves them. Times are those of encoding
and decoding alone, on one thread, each the best of the repeats.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import zstandard

from benchmarks.codings import MAKERS, Coding
from benchmarks.contenders import CODINGS, Kind
from benchmarks.extras import MissingExtra
from benchmarks.histories import File, History, find
from benchmarks.results import Effort, Result
from benchmarks.words import UNSIGNED, Words
from mvc.base import dtypes
from mvc.formats.base import BytesSource
from mvc.formats.registry import locate

T = TypeVar("T")


class NotLossless(Exception):
    """A coding gave back something else."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a file; its key is what a base must agree in."""

    key: tuple[str, str, tuple[int, ...]]
    words: Words

    @property
    def dtype(self) -> str:
        """Its element type."""
        return self.key[1]


@dataclass(frozen=True, slots=True)
class Content:
    """A file as tensors and the bytes around them."""

    tensors: tuple[Tensor, ...]
    rest: bytes


@lru_cache(maxsize=8)
def contents(path: Path) -> Content:
    """Read a file and find its tensors."""
    data = path.read_bytes()
    located = locate(BytesSource(data)).located
    tensors, rest, end = [], [], 0
    for extent in located.extents if located else ():
        rest.append(data[end : extent.offset])
        end = extent.offset + extent.length
        size = dtypes.dtype(extent.dtype, extent.word).word
        kind = UNSIGNED[size if size in UNSIGNED and extent.length % size == 0 else 1]
        words = np.frombuffer(data[extent.offset : end], kind)
        tensors.append(Tensor((extent.name, extent.dtype, extent.shape), words))
    return Content(tuple(tensors), b"".join([*rest, data[end:]]))


def whole(path: Path) -> Content:
    """Read a file as a single tensor of bytes, for codings that know no others."""
    words = np.frombuffer(path.read_bytes(), np.uint8)
    return Content((Tensor(("", "uint8", words.shape), words),), b"")


@dataclass(slots=True)
class Clock:
    """Adds up the best of repeated runs."""

    repeats: int
    bytes: int = 0
    wall: float = 0.0
    cpu: float = 0.0

    def best(self, action: Callable[[], T], size: int) -> T:
        """Run an action a few times and add the shortest."""
        walls, cpus = [], []
        for _ in range(self.repeats):
            wall, cpu = time.perf_counter(), time.process_time()
            result = action()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        self.bytes, self.wall = self.bytes + size, self.wall + min(walls)
        self.cpu += min(cpus)
        return result

    def effort(self) -> Effort:
        """What was added up."""
        return Effort(self.bytes, self.wall, self.cpu)


class Run:
    """A coding on its way through a history."""

    def __init__(self, kind: Kind, repeats: int) -> None:
        self._kind = kind
        self._coding: Coding = MAKERS[kind.name]()
        self._rest = zstandard.ZstdCompressor(level=3)
        self._seen: set[bytes] = set()
        self.encoding, self.decoding = Clock(repeats), Clock(repeats)

    def file(self, path: Path, parent: Path | None) -> float:
        """Encode a file, check that it comes back, and return the bytes it adds."""
        content = whole(path) if self._kind.whole else contents(path)
        bases = {}
        if parent and self._kind.bases:
            bases = {tensor.key: tensor.words for tensor in contents(parent).tensors}
        stored = float(len(self._rest.compress(content.rest))) if content.rest else 0.0
        for tensor in content.tensors:
            stored += self._tensor(tensor, bases.get(tensor.key))
        return stored

    def _tensor(self, tensor: Tensor, base: Words | None) -> float:
        words, dtype = tensor.words, tensor.dtype
        if self._kind.bases:
            digest = hashlib.sha256(words.tobytes() + dtype.encode()).digest()
            if digest in self._seen:
                return 0.0
            self._seen.add(digest)
        coding = self._coding
        code = self.encoding.best(lambda: coding.encode(words, dtype, base), words.nbytes)
        back = self.decoding.best(lambda: coding.decode(code, dtype, base), words.nbytes)
        if not np.array_equal(back, words):
            raise NotLossless(f"{self._kind.name} gave {tensor.key[0]} back as something else")
        return code.size


def nearest(files: Sequence[File]) -> Iterator[File]:
    """Give each file with the nearest earlier one of the same tensors as its parent."""
    earlier: dict[tuple[object, ...], list[tuple[Path, Words]]] = {}
    for file in files:
        tensors = [t for t in contents(file.source).tensors if t.dtype == "float32"]
        shape = tuple(tensor.key for tensor in tensors)
        values = np.concatenate([np.empty(0, "<f4"), *(t.words.view("<f4") for t in tensors)])
        others = earlier.setdefault(shape, [])
        distances = [float(np.abs(values - other).mean()) for _, other in others]
        parent = others[int(np.argmin(distances))][0] if distances else None
        others.append((file.source, values))
        yield File(file.source, file.place, parent)


def measure(history: History, kind: Kind, repeats: int) -> Result:
    """Take a coding through a history.

    Raises:
        MissingExtra: The package behind it is not installed.
        NotLossless: Something came back differently.
    """
    run = Run(kind, repeats)
    stored = []
    for version in history.versions:
        files = version.files
        if history.find_bases and kind.bases:
            files = tuple(nearest(files))
        stored.append(sum(run.file(file.source, file.parent) for file in files))
    raw = tuple(version.size for version in history.versions)
    return Result(
        history.name, kind.name, raw, tuple(stored),
        None if kind.bound else run.encoding.effort(),
        None if kind.bound else run.decoding.effort(),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage_codings")
    parser.add_argument("history")
    parser.add_argument("coding", choices=CODINGS)
    parser.add_argument("--families", type=Path, nargs="+", default=[])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args(argv)
    (history,) = find([args.history], args.families, args.models)
    try:
        result = measure(history, CODINGS[args.coding], args.repeats)
    except MissingExtra as error:
        result = Result(args.history, args.coding, failure=str(error))
    except NotLossless as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    args.json.write_text(json.dumps(asdict(result)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
