"""Versions of small model files for tests of comparisons."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from mvc.base.ids import ObjectId
from mvc.ops.add import add
from mvc.ops.commit import CommitRequest, commit
from mvc.repo.repository import Environment, Repository

Arrays = Mapping[str, np.ndarray]


class Project:
    """A working copy whose files are given as bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo = Repository.init(path, environment=Environment(author="Ada <ada@example.org>"))

    def write(self, **files: bytes | Arrays | None) -> None:
        for name, content in files.items():
            target = self.path / name.replace("__", ".")
            if content is None:
                target.unlink()
                continue
            data = content if isinstance(content, bytes) else model(content)
            target.write_bytes(data)
            # A stat of the same instant would not tell two contents apart.
            stat = target.stat()
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns - 10**9))

    def commit(self, **files: bytes | Arrays | None) -> ObjectId:
        self.write(**files)
        names = [name.replace("__", ".") for name, data in files.items() if data is not None]
        add(self.repo, [self.path / name for name in names])
        return commit(self.repo, CommitRequest(message="version", allow_empty=True)).id


def model(arrays: Arrays) -> bytes:
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
