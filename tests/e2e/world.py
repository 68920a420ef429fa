"""A repository with its working copy in a folder, in few words, and files to put there."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mvc.base import fileio
from mvc.ops.add import AddResult, add
from mvc.ops.commit import CommitRequest, CommitResult, commit
from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.ops.status import StatusResult, status
from mvc.repo.repository import Environment, Repository

ENVIRONMENT = Environment(author="Tester <tester@example.org>")
Part = tuple[str, str, Sequence[int], bytes]


class World:
    """A repository in `root`, made if there is none."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = Repository.init(root, environment=ENVIRONMENT)

    def write(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def add(self, *names: str) -> AddResult:
        return add(self.repo, [self.root / name for name in names or (".",)])

    def commit(self, message: str = "a version") -> CommitResult:
        return commit(self.repo, CommitRequest(message))

    def save(self, files: Mapping[str, bytes], message: str = "a version") -> CommitResult:
        for name, data in files.items():
            self.write(name, data)
        self.add()
        return self.commit(message)

    def status(self) -> StatusResult:
        return status(self.repo)

    def exported(self, revision: str, target: Path) -> dict[str, bytes]:
        export(self.repo, revision, target)
        return contents(target)

    def check(self) -> None:
        """Fail unless everything stored is whole."""
        report = fsck(self.repo)
        assert report.ok, report.problems

    def reopen(self) -> None:
        self.repo.close()
        self.repo = Repository(self.repo.folder, self.root, ENVIRONMENT)

    def packs(self) -> dict[str, int]:
        folder = self.repo.folder / "packs"
        return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}

    def stored(self) -> int:
        return sum(self.packs().values())

    def leftovers(self) -> list[str]:
        """Return the files of unfinished work."""
        found = fileio.walk_files(self.repo.folder / "tmp", ())
        return ["/".join(entry.parts) for entry in found if entry.parts != ("lock",)]


def contents(root: Path) -> dict[str, bytes]:
    """Return all files below a folder but those of a repository."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".mvc" not in path.relative_to(root).parts
    }


def sha256s(root: Path) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in contents(root).items()}


def weights(seed: int, size: int) -> bytes:
    """Return fp32 words as a layer has them after training, `size` bytes."""
    draw = np.random.default_rng(seed)
    return (draw.standard_normal(size // 4, np.float32) * np.float32(0.02)).tobytes()


def nudged(data: bytes, seed: int, step: float = 1e-4) -> bytes:
    """Return fp32 words as they are some steps of training later."""
    draw = np.random.default_rng(seed)
    words = np.frombuffer(data, np.float32)
    return (words + draw.standard_normal(len(words), np.float32) * np.float32(step)).tobytes()


def safetensors(parts: Sequence[Part], *, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file of (name, dtype, shape, bytes), in this order."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, label, shape, data in parts:
        offsets = [at, at + len(data)]
        header[name] = {"dtype": label, "shape": list(shape), "data_offsets": offsets}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(part[3] for part in parts)


def network(layers: Mapping[str, bytes]) -> bytes:
    """Return a safetensors file of fp32 layers."""
    return safetensors([(name, "F32", [len(data) // 4], data) for name, data in layers.items()])
