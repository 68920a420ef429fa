"""A working copy with branches that went apart, for tests of merges."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from mvc.base.ids import ObjectId
from mvc.objects.history import Metric, Scalar
from mvc.ops.add import add
from mvc.ops.branch import create
from mvc.ops.checkout import switch
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.merge import MergeRequest, merge
from mvc.ops.merge_result import MergeResult
from mvc.ops.status import status
from mvc.repo.repository import Environment, Repository

Arrays = Mapping[str, np.ndarray]
MODEL = "model.safetensors"


def weights(seed: int, names: str = "abcd", size: int = 300) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {name: draw.standard_normal(size).astype(np.float32) for name in names}


class Lines:
    """A repository with a model on `main`."""

    def __init__(self, path: Path, files: Mapping[str, bytes | Arrays] | None = None) -> None:
        self.path = path
        self.repo = Repository.init(path, environment=Environment(author="Ada <ada@example.org>"))
        self.base = weights(0)
        self.root = self.save("base", files or {MODEL: self.base})

    def write(self, files: Mapping[str, bytes | Arrays | None]) -> None:
        for name, content in files.items():
            target = self.path / name
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else save(dict(content)))
            # A stat of the same instant would not tell two contents apart.
            stat = target.stat()
            os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns - 10**9))

    def save(
        self, message: str, files: Mapping[str, bytes | Arrays | None], **about: Scalar
    ) -> ObjectId:
        """Write and commit files; numbers in `about` are metrics."""
        self.write(files)
        present = [self.path / name for name, content in files.items() if content is not None]
        if present:
            add(self.repo, present)
        metrics = tuple(
            Metric(name, float(value))
            for name, value in about.items()
            if not isinstance(value, str)
        )
        return commit(self.repo, CommitRequest(message, metrics=metrics, allow_empty=True)).id

    def branch(
        self,
        name: str,
        files: Mapping[str, bytes | Arrays | None],
        start: str = "main",
        **about: Scalar,
    ) -> ObjectId:
        """Make a branch with one version more than `start`, and go back to main."""
        create(self.repo, name, start)
        switch(self.repo, name)
        made = self.save(name, files, **about)
        switch(self.repo, "main")
        return made

    def changed(self, **tensors: float) -> dict[str, np.ndarray]:
        """Return the base with numbers added to some tensors."""
        return {
            name: (array + np.float32(tensors.get(name, 0))).astype(np.float32)
            for name, array in self.base.items()
        }

    def merge(self, *revisions: str, **options: object) -> MergeResult:
        return merge(self.repo, MergeRequest(revisions, **options))  # type: ignore[arg-type]

    def model(self, name: str = MODEL) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = load((self.path / name).read_bytes())
        return found

    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.path).as_posix(): path.read_bytes()
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and ".mvc" not in path.parts
        }

    @property
    def clean(self) -> bool:
        found = status(self.repo)
        return found.clean and found.under_way is None and not found.untracked

    @property
    def head(self) -> ObjectId:
        found = self.repo.head_commit()
        assert found is not None
        return found

    def tree(self, commit: ObjectId | None) -> ObjectId:
        assert commit is not None
        return self.repo.commit(commit).tree
