"""Random histories, packed and repacked, arrive whole however they are fetched."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mvc.base.ids import ObjectId
from mvc.ops.checkout import switch
from mvc.ops.fsck import fsck
from mvc.ops.gc import gc
from mvc.ops.repack import RepackRequest, repack
from mvc.repo.repository import Repository
from mvc.sync.grants import Grant, Grants
from tests.e2e.world import ENVIRONMENT, World, safetensors
from tests.sync.exchange import bare, client

SIDE, RANK = 96, 2
SCOPED = Grants("someone", frozenset({Grant("read", "refs/heads/some/")}))


class History:
    """A repository that grows at random."""

    def __init__(self, root: Path, seed: int) -> None:
        self.pick = random.Random(seed)
        self.draw = np.random.default_rng(seed)
        self.world = World(root)
        self.versions: list[ObjectId] = []
        self.branches = 0
        self.matrix = self.draw.standard_normal((SIDE, SIDE), np.float32) * np.float32(0.05)
        self.commit(self.matrix)

    def grow(self) -> None:
        kind = self.pick.choice(["step", "step", "adapter", "branch", "repack", "flat", "gc"])
        if kind == "step":
            noise = self.draw.standard_normal((SIDE, SIDE), np.float32)
            self.commit(self.matrix + noise * np.float32(1e-6))
        elif kind == "adapter":
            up = self.draw.standard_normal((SIDE, RANK), np.float32)
            down = self.draw.standard_normal((RANK, SIDE), np.float32)
            self.commit(self.matrix + (up @ down) * np.float32(1e-3))
        elif kind == "branch":
            self.branches += 1
            name = f"{self.pick.choice(['some', 'other'])}/{self.branches}"
            start = self.pick.choice(self.versions).hex()
            switch(self.world.repo, name, create=True, start=start)
            data = self.world.read("m.safetensors")[-self.matrix.nbytes :]
            self.matrix = np.frombuffer(data, np.float32).reshape(SIDE, SIDE)
        elif kind == "gc":
            gc(self.world.repo)
        else:
            depth = 1 if kind == "flat" else None
            everything = self.pick.random() < 0.5
            repack(self.world.repo, RepackRequest(max_depth=depth, everything=everything))

    def commit(self, matrix: np.ndarray) -> None:  # type: ignore[type-arg]
        self.matrix = matrix
        data = safetensors([("w", "F32", [SIDE, SIDE], matrix.tobytes())])
        saved = self.world.save({"m.safetensors": data}, str(len(self.versions)))
        self.versions.append(saved.id)


def refs(repo: Repository, prefix: str) -> dict[str, ObjectId]:
    return {name: at for name, at in repo.refs.all().items() if name.startswith(prefix)}


@pytest.mark.parametrize("seed", range(3))
def test_what_was_fetched_in_steps_is_whole(seed: int, tmp_path: Path) -> None:
    source = History(tmp_path / "source", seed)
    target = bare(tmp_path / "target")
    held: list[ObjectId] = []
    for _ in range(3):
        for _ in range(7):
            source.grow()
        repo = Repository(source.world.repo.folder, None, ENVIRONMENT)
        fetching = client(target, repo)
        fetching.part_bytes = source.pick.choice([4_000, 30_000, 1 << 24])
        found = refs(repo, "refs/heads/")
        names = source.pick.sample(sorted(found), source.pick.randint(1, len(found)))
        wants = [*dict.fromkeys(found[name] for name in names)]
        with fetching.fetched(wants, held):
            for name in names:
                old = refs(target, name).get(name)
                change = target.change(old, found[name], "fetch")
                target.refs.update(name, old, found[name], change)
        held = [*refs(target, "refs/heads/").values()]
        report = fsck(target)
        assert report.ok, report.problems
        if source.pick.random() < 0.4:
            repack(target, RepackRequest(everything=True))
        repo.close()


@pytest.mark.parametrize("seed", range(3))
def test_who_may_not_read_everything_gets_whole_versions_too(seed: int, tmp_path: Path) -> None:
    source = History(tmp_path / "source", seed + 100)
    switch(source.world.repo, "some/first", create=True, start="main")
    for _ in range(18):
        source.grow()
    repo = Repository(source.world.repo.folder, None, ENVIRONMENT)
    target = bare(tmp_path / "target")
    held: list[ObjectId] = []
    for name, version in sorted(refs(repo, "refs/heads/some/").items()):
        fetching = client(target, repo, SCOPED)
        with fetching.fetched([version], held):
            target.refs.update(name, None, version, target.change(None, version, "fetch"))
        held.append(version)
        report = fsck(target)
        assert report.ok, report.problems
