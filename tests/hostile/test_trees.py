"""Versions whose trees were made by hand to reach outside: refused, and nothing is written."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest

from mvc.base.errors import FormatError, IntegrityError, LimitError, MvcError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.objects.model import Blob, Content
from mvc.objects.tree import Entry, Tree
from mvc.ops.checkout import checkout, switch
from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.ops.identify import identify
from mvc.ops.ls_tree import ls_tree
from mvc.ops.reset import reset
from mvc.ops.restore import restore
from mvc.ops.show import show
from mvc.ops.status import status
from mvc.store.transaction import Transaction
from tests.e2e.world import World

DATA = b"#!/bin/sh\ntouch CANARY\n"
NAMES = [
    "..",
    ".",
    "",
    "a/b",
    "../x",
    "/etc/x",
    "a\\b",
    "..\\x",
    ".mvc",
    ".MVC",
    ".mvc ",
    ".mvc::$DATA",
    ".mv\u200cc",
    "MVC~1",
    "con",
    "aux.txt",
    "C:x",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "x.",
    "x" * 256,
]


class Forger:
    """Stores trees as they are given, and makes branches that hold them."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.save({"good": b"good"}, "good")
        self.tx = Transaction(self.world.repo.store, self.world.repo.scratch)
        self.blob = self.tx.put(
            Blob(hashlib.sha256(DATA).digest(), Content(len(DATA), 1, DATA, ()))
        )

    def file(self, name: str) -> Entry:
        return Entry(name, "blob", self.blob, len(DATA))

    def tree(self, name: str, *entries: Entry) -> Entry:
        ordered = sorted(entries, key=lambda entry: entry.name.encode())
        return Entry(name, "tree", self.tx.put(Tree(tuple(ordered))), 0)

    def branch(self, root: ObjectId) -> None:
        repo = self.world.repo
        head = repo.head_commit()
        assert head is not None
        commit = self.tx.put(Commit(root, (head,), "Mallory", 1, "trust me"))
        self.tx.commit()
        repo.refs.update("refs/heads/evil", None, commit, repo.change(None, commit, "forged"))


def refuses_everywhere(forger: Forger, tmp_path: Path, *, fsck_finds: bool = True) -> None:
    world = forger.world
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if not _inner(path))
    actions = {
        "switch": lambda: switch(world.repo, "evil"),
        "a forced switch": lambda: switch(world.repo, "evil", force=True),
        "checkout": lambda: checkout(world.repo, "evil~0"),
        "reset": lambda: reset(world.repo, "evil", hard=True),
        "a soft reset": lambda: reset(world.repo, "evil"),
        "restore": lambda: restore(world.repo, [world.root], source="evil"),
        "export": lambda: export(world.repo, "evil", tmp_path / "out"),
    }
    for name, action in actions.items():
        with pytest.raises((IntegrityError, FormatError)) as caught:
            action()
        assert "\n" not in caught.value.message, name
        assert "\x1b" not in caught.value.message, name
        assert "\0" not in caught.value.message, name
    for look in (
        lambda: show(world.repo, "evil"),
        lambda: ls_tree(world.repo, "evil"),
        lambda: identify(world.repo, world.root / "good"),
    ):
        with suppress(MvcError):
            look()
    assert status(world.repo).clean
    assert status(world.repo).branch == "main"
    assert (not fsck(world.repo).ok) == fsck_finds
    after = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if not _inner(path))
    assert after == before


def _inner(path: Path) -> bool:
    """Tell whether a path is where a repository may write whatever it does."""
    parts = path.parts
    return ".mvc" in parts and any(
        part in parts for part in ("tmp", "locks", "index.sqlite", "logs", "packs", "worktree")
    )


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_with_a_hostile_name_is_never_written(name: str, tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    forger.branch(forger.tree("", forger.file(name), forger.file("plain")).id)
    refuses_everywhere(forger, tmp_path)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_folder_with_a_hostile_name_is_never_made(name: str, tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    folder = forger.tree(name, forger.file("config.toml"), forger.file("HEAD"))
    forger.branch(forger.tree("", folder, forger.file("plain")).id)
    refuses_everywhere(forger, tmp_path)


@pytest.mark.parametrize(
    ("one", "two"),
    [("A", "a"), ("e\u0301", "é"), ("Model.bin", "model.bin"), ("ſ", "s")],  # noqa: RUF001
)
def test_two_names_that_are_one_file_elsewhere_are_refused(
    one: str, two: str, tmp_path: Path
) -> None:
    forger = Forger(tmp_path / "w")
    forger.branch(forger.tree("", forger.file(one), forger.file(two)).id)
    refuses_everywhere(forger, tmp_path)


def test_folders_that_clash_by_case_are_refused(tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    one, two = forger.tree("Dir", forger.file("a")), forger.tree("dir", forger.file("b"))
    forger.branch(forger.tree("", one, two).id)
    refuses_everywhere(forger, tmp_path)


def test_an_entry_that_spells_a_path_cannot_hide_another(tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    forger.branch(forger.tree("", forger.file("a/b"), forger.tree("a", forger.file("b"))).id)
    refuses_everywhere(forger, tmp_path)


def test_a_tree_deeper_than_any_path_is_refused(tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    entry = forger.file("x")
    for _ in range(70):
        entry = forger.tree("d", entry)
    forger.branch(entry.id)
    refuses_everywhere(forger, tmp_path)


def test_a_tree_of_trees_that_unfolds_without_end_is_refused_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.repo import trees

    monkeypatch.setattr(trees, "MAX_FILES", 10_000)
    forger = Forger(tmp_path / "w")
    level = forger.tree("", *(forger.file(f"f{number}") for number in range(10)))
    for _ in range(9):
        level = forger.tree("", *(Entry(f"d{number}", "tree", level.id, 0) for number in range(10)))
    forger.branch(level.id)
    with pytest.raises(LimitError):
        export(forger.world.repo, "evil", tmp_path / "out")
    with pytest.raises(LimitError):
        switch(forger.world.repo, "evil")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["tensor", "checkpoint", "tree"])
def test_an_entry_of_another_kind_than_it_says_is_refused(kind: str, tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    lie = Entry("x", kind, forger.blob, 5)  # type: ignore[arg-type]
    forger.branch(forger.tree("", lie, forger.file("plain")).id)
    world = forger.world
    with pytest.raises(MvcError):
        export(world.repo, "evil", tmp_path / "out")
    with pytest.raises(MvcError):
        switch(world.repo, "evil")
    assert not fsck(world.repo).ok
    assert not (world.root / "x").exists()
    assert not (tmp_path / "out/x").exists()


def test_a_single_hostile_file_cannot_be_exported_by_its_name(tmp_path: Path) -> None:
    forger = Forger(tmp_path / "w")
    names = [name for name in NAMES if "/" not in name and name]
    forger.branch(forger.tree("", *(forger.file(name) for name in names)).id)
    for name in names:
        with pytest.raises(MvcError):
            export(forger.world.repo, f"evil:{name}", tmp_path / "out" / "deep")
    assert not (tmp_path / "out").exists()
