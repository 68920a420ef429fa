"""Real repositories against a plain dict of bytes: whatever one does, every version comes back."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mvc.api import Repository as Api
from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.ops.checkout import checkout, switch
from mvc.ops.mv import move
from mvc.ops.reset import reset
from mvc.ops.restore import restore
from mvc.ops.rm import remove
from tests.e2e import files
from tests.e2e.world import World, contents

PATHS = ("a.safetensors", "b", "sub/c.npz", "sub/deep/d.bin", "e.pt")
BRANCHES = ("main", "dev", "devices/car-17")
paths = st.sampled_from(PATHS)
numbers = st.integers(0, 1000)
INDEXES = {
    "gone": None,
    "empty": b"",
    "garbage": b"garbage" * 3000,
    "a header and garbage": b"SQLite format 3\0" + b"\xff" * 9000,
}


@dataclass
class Model:
    """What a repository must look like, in dicts of bytes."""

    files: dict[str, bytes] = field(default_factory=dict)
    stamps: dict[str, int] = field(default_factory=dict)
    tracked: set[str] = field(default_factory=set)
    left: dict[str, int | None] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    branch: str | None = "main"
    commit: str | None = None
    clock: int = 0

    @property
    def head(self) -> dict[str, bytes]:
        return self.commits[self.commit] if self.commit else {}

    def put(self, path: str, data: bytes) -> None:
        self.clock += 1
        self.files[path] = data
        self.stamps[path] = self.clock

    def drop(self, path: str) -> None:
        self.files.pop(path, None)
        self.stamps.pop(path, None)

    def is_left(self, path: str) -> bool:
        """Tell whether the file is as a commit from memory left it."""
        return path in self.left and self.left[path] == self.stamps.get(path)

    def changes(self) -> tuple[list[str], list[str], list[str], list[str]]:
        head, seen = self.head, {path for path in self.tracked if not self.is_left(path)}
        seen |= {path for path in self.tracked if path not in head}
        return (
            sorted(path for path in seen if path in self.files and path not in head),
            sorted(
                path
                for path in seen
                if path in head and path in self.files and self.files[path] != head[path]
            ),
            sorted(
                {path for path in head if path not in self.tracked}
                | {path for path in seen if path in head and path not in self.files}
            ),
            sorted(path for path in self.files if path not in self.tracked),
        )

    def record(self, name: str, held: dict[str, bytes]) -> None:
        self.commits[name] = held
        self.arrive(name)

    def arrive(self, name: str) -> None:
        self.commit = name
        if self.branch:
            self.branches[self.branch] = name

    def lost(self, target: dict[str, bytes]) -> list[str]:
        head = self.head
        touched = [path for path in target if path not in head or head[path] != target[path]]
        touched += [path for path in head if path not in target and path in self.tracked]
        return [
            path
            for path in touched
            if path in self.files
            and not self.is_left(path)
            and self.files[path] not in (head.get(path), target.get(path))
        ]

    def move(self, target: dict[str, bytes], *, force: bool) -> None:
        head = self.head
        for path, data in target.items():
            same = path in head and head[path] == data
            if path in self.files:
                if self.files[path] == data:
                    self.left.pop(path, None)
                    continue
                if same and not force:
                    continue
            elif same and not force and (path not in self.tracked or path in self.left):
                continue
            self.put(path, data)
            self.tracked.add(path)
            self.left.pop(path, None)
        for path in head:
            if path not in target and path in self.tracked:
                self.drop(path)
                self.tracked.discard(path)
                self.left.pop(path, None)
        for path, data in target.items():
            if force or path not in head or head[path] != data:
                self.tracked.add(path)


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mvc-machine-"))
        self.world = World(self.folder / "w")
        self.model = Model()
        self.exports = 0

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for name in self.model.commits:
                self.compare(name)
            self.world.check()
            self.world.repo.close()
            shutil.rmtree(self.folder)

    def compare(self, name: str) -> None:
        self.exports += 1
        target = self.folder / f"export-{self.exports}"
        assert self.world.exported(name, target) == self.model.commits[name]
        shutil.rmtree(target)

    def pick(self, number: int) -> str:
        names = sorted(self.model.commits)
        return names[number % len(names)]

    @rule(path=paths, data=files.contents())
    def write(self, path: str, data: bytes) -> None:
        self.world.write(path, data)
        self.model.put(path, data)

    @rule(path=paths, data=files.contents())
    def replace(self, path: str, data: bytes) -> None:
        fresh = self.folder / "fresh"
        fresh.write_bytes(data)
        (self.world.root / path).parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(self.world.root / path)
        self.model.put(path, data)

    @rule(path=paths, seed=numbers)
    def train(self, path: str, seed: int) -> None:
        """Change some bytes of a file in place, its size staying as it is."""
        data = bytearray(self.model.files.get(path, b""))
        for at in np.random.default_rng(seed).integers(0, max(1, len(data)), len(data) // 9):
            data[at] = (data[at] + 1) & 0xFF
        if path in self.model.files:
            self.world.write(path, bytes(data))
            self.model.put(path, bytes(data))

    @rule(path=paths)
    def delete(self, path: str) -> None:
        (self.world.root / path).unlink(missing_ok=True)
        self.model.drop(path)

    @rule(old=paths, new=paths)
    def rename(self, old: str, new: str) -> None:
        if old in self.model.files and old != new:
            (self.world.root / new).parent.mkdir(parents=True, exist_ok=True)
            (self.world.root / old).replace(self.world.root / new)
            data = self.model.files[old]
            self.model.drop(old)
            self.model.put(new, data)

    @rule(old=paths, new=paths)
    def move_tracked(self, old: str, new: str) -> None:
        model = self.model
        possible = old in model.tracked and old in model.files and old != new
        if possible and new not in model.tracked and new not in model.files:
            move(self.world.repo, [self.world.root / old], self.world.root / new)
            data = model.files[old]
            model.drop(old)
            model.put(new, data)
            model.tracked.discard(old)
            model.tracked.add(new)
            model.left.pop(old, None)

    @rule()
    def add(self) -> None:
        result = self.world.add()
        new = sorted(set(self.model.files) - self.model.tracked)
        assert sorted(result.added) == new
        self.model.tracked |= set(new)

    @rule(path=paths)
    def untrack(self, path: str) -> None:
        if path in self.model.tracked:
            remove(self.world.repo, [self.world.root / path], cached=True)
            self.model.tracked.discard(path)
            self.model.left.pop(path, None)

    @rule()
    def commit(self) -> None:
        added, modified, deleted, _ = self.model.changes()
        if not (added or modified or deleted):
            before = self.world.packs()
            with pytest.raises(NegativeAnswer, match="nothing to commit"):
                self.world.commit()
            assert self.world.packs() == before
            return
        result = self.world.commit()
        held = {path: data for path, data in self.model.head.items() if path not in deleted}
        held |= {path: self.model.files[path] for path in (*added, *modified)}
        for path in (*added, *modified):
            self.model.left.pop(path, None)
        self.model.tracked -= set(deleted)
        for path in deleted:
            self.model.left.pop(path, None)
        self.model.record(result.id.hex(), held)

    @rule(path=paths, given=files.arrays())
    def commit_from_memory(self, path: str, given: dict[str, np.ndarray]) -> None:
        with Api.open(self.world.root, author="Tester") as api:
            name = api.commit(given, "from memory", path=path)
            loaded = api.load(name, path)
        assert {key: (item.dtype, item.shape, item.tobytes()) for key, item in loaded.items()} == {
            key: (item.dtype, item.shape, item.tobytes()) for key, item in given.items()
        }
        target = self.folder / "memory"
        data = self.world.exported(f"{name}:{path}", target)
        shutil.rmtree(target)
        model, before = self.model, self.model.head
        now = model.files.get(path)
        if now is None or model.is_left(path) or (path in before and now == before[path]):
            model.left[path] = model.stamps.get(path)
        else:
            model.left.pop(path, None)
        model.tracked.add(path)
        model.record(name, {**before, path: next(iter(data.values()))})

    @precondition(lambda self: self.model.commit)
    @rule(name=st.sampled_from(BRANCHES))
    def make_branch(self, name: str) -> None:
        if name in self.model.branches:
            with pytest.raises(NegativeAnswer, match="exists already"):
                switch(self.world.repo, name, create=True)
            return
        switch(self.world.repo, name, create=True)
        assert self.model.commit
        self.go(self.model.commit, name)

    @precondition(lambda self: self.model.branches)
    @rule(number=numbers, force=st.booleans())
    def switch(self, number: int, force: bool) -> None:
        names = sorted(self.model.branches)
        name = names[number % len(names)]
        target = self.model.branches[name]
        if self.refused(target, force=force):
            with pytest.raises(NegativeAnswer, match="would be lost"):
                switch(self.world.repo, name)
            return
        switch(self.world.repo, name, force=force)
        self.go(target, name, force=force)

    @precondition(lambda self: self.model.commits)
    @rule(number=numbers, force=st.booleans())
    def checkout_old(self, number: int, force: bool) -> None:
        target = self.pick(number)
        if self.refused(target, force=force):
            with pytest.raises(NegativeAnswer, match="would be lost"):
                checkout(self.world.repo, target)
            return
        checkout(self.world.repo, target, force=force)
        self.go(target, None, force=force)

    def refused(self, target: str, *, force: bool) -> bool:
        return not force and bool(self.model.lost(self.model.commits[target]))

    def go(self, target: str, branch: str | None, *, force: bool = False) -> None:
        self.model.move(self.model.commits[target], force=force)
        self.model.branch = branch
        self.model.arrive(target)

    @precondition(lambda self: self.model.commits)
    @rule(number=numbers)
    def reset_hard(self, number: int) -> None:
        target = self.pick(number)
        reset(self.world.repo, target, hard=True)
        self.go(target, self.model.branch, force=True)
        self.model.tracked = set(self.model.commits[target])
        self.model.left = {
            path: stamp for path, stamp in self.model.left.items() if path in self.model.tracked
        }

    @precondition(lambda self: self.model.commits)
    @rule(number=numbers, path=paths)
    def restore(self, number: int, path: str) -> None:
        target = self.pick(number)
        held = self.model.commits[target]
        if path not in held:
            with pytest.raises(NotFoundError):
                restore(self.world.repo, [self.world.root / path], source=target)
            return
        restore(self.world.repo, [self.world.root / path], source=target)
        if self.model.files.get(path) != held[path]:
            self.model.put(path, held[path])
        self.model.left.pop(path, None)
        self.model.tracked.add(path)

    @rule()
    def reopen(self) -> None:
        self.world.reopen()

    @rule(kind=st.sampled_from(sorted(INDEXES)))
    def damage_index(self, kind: str) -> None:
        content = INDEXES[kind]
        self.world.repo.close()
        path = self.world.repo.folder / "index.sqlite"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        self.world.reopen()

    @rule()
    def lose_the_stat_cache(self) -> None:
        """The list of tracked files is made anew from HEAD, so only then nothing may differ."""
        if self.model.tracked == set(self.model.head) and not self.model.left:
            (self.world.repo.folder / "worktree").unlink(missing_ok=True)

    @precondition(lambda self: self.model.commits)
    @rule(number=numbers)
    def export(self, number: int) -> None:
        self.compare(self.pick(number))

    @rule()
    def fsck(self) -> None:
        self.world.check()

    @invariant()
    def the_working_copy_is_as_it_should_be(self) -> None:
        if hasattr(self, "world"):
            assert contents(self.world.root) == self.model.files
            found = self.world.status()
            assert (
                sorted(found.added),
                sorted(found.modified),
                sorted(found.deleted),
                sorted(found.untracked),
            ) == self.model.changes()
            assert found.branch == self.model.branch
            assert (found.head.hex() if found.head else None) == self.model.commit
            assert self.world.leftovers() == []


def _settings() -> settings:
    profile = settings()
    return settings(profile, max_examples=max(8, profile.max_examples // 5), stateful_step_count=30)


TestRepositoriesAgainstADict = Machine.TestCase
TestRepositoriesAgainstADict.settings = _settings()
