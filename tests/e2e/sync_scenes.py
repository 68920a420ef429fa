"""Pushes, fetches, pulls and clones to be cut off in the middle, and what must hold afterwards.

A site is a folder with a bare repository `central` and working copies beside it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import mvc.sync.fetch
import mvc.sync.listing
from mvc.cli.main import run
from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.repo import remotes
from mvc.repo.repository import Repository
from tests.e2e.scenes import SETTINGS, replace_files, versions_of
from tests.e2e.world import ENVIRONMENT, World, sha256s

KINDS = ("push", "fetch", "pull", "clone", "heads", "full", "shallow", "deepen", "paths", "widen")
CHOSEN = ("model.safetensors", "new")
MAIN = "refs/heads/main"
SEEN = "refs/remotes/origin/main"


@dataclass(frozen=True)
class Site:
    """What a command is about to do in `root`, from where to where."""

    kind: str
    root: Path
    old: str
    new: str

    def command(self, root: Path) -> list[str]:
        clone = ["-C", str(root), "clone", "central", "c"]
        words = {"clone": clone, "heads": [*clone, "--precision", "16"]}
        words["shallow"] = [*clone, "--depth", "1"]
        words["paths"] = [*clone, *(word for path in CHOSEN for word in ("--path", path))]
        words["widen"] = ["-C", str(root / "b"), "fetch", "--path", "parts", "--path", "*.json"]
        words["deepen"] = ["-C", str(root / "b"), "fetch", "--unshallow"]
        words["full"] = ["-C", str(root / "b"), "fetch", "--full"]
        folder = "a" if self.kind == "push" else "b"
        return words.get(self.kind, ["-C", str(root / folder), self.kind])

    def save(self) -> int:
        facts = [self.kind, self.old, self.new]
        self.root.with_suffix(".json").write_text(json.dumps(facts))
        return 0

    @classmethod
    def load(cls, root: Path) -> Site:
        kind, old, new = json.loads(root.with_suffix(".json").read_text())
        return cls(kind, root, old, new)


def small_parts(part_bytes: int) -> None:
    """Let transfers of this process take several parts, however small they are."""
    mvc.sync.listing._part_bytes = lambda _: part_bytes  # type: ignore[assignment]
    mvc.sync.fetch.LEAST_PART = 1


def build(kind: str, root: Path, size: int) -> Site:
    """Make a site in which a command has yet to bring a second version across."""
    root.mkdir(parents=True)
    Repository.init(root / "central", bare=True, environment=ENVIRONMENT).close()
    first, second, _ = versions_of(size)
    world = World(root / "a")
    (world.repo.folder / "config.toml").write_text(SETTINGS)
    old = world.save(first, "first").id
    # Sites are copied: what is written down of other places must be seen from here.
    remotes.add(world.repo, remotes.Remote("origin", "../central"))
    assert run(["-C", str(root / "a"), "push", "-q"]) == 0
    if kind in ("fetch", "pull", "full", "widen"):
        less = {"full": ["--precision", "16"], "widen": ["--path", CHOSEN[0]]}.get(kind, [])
        assert run(["-C", str(root), "clone", "-q", "central", "b", *less]) == 0
        with Repository(root / "b/.mvc", root / "b", ENVIRONMENT) as clone:
            remotes.set_url(clone, "origin", "../central")
    replace_files(world, second)
    world.add()
    new = world.commit("second").id
    world.repo.close()
    if kind != "push":
        assert run(["-C", str(root / "a"), "push", "-q"]) == 0
    if kind == "deepen":
        assert run(["-C", str(root), "clone", "-q", "central", "b", "--depth", "1"]) == 0
        with Repository(root / "b/.mvc", root / "b", ENVIRONMENT) as clone:
            remotes.set_url(clone, "origin", "../central")
    return Site(kind, root, old.hex(), new.hex())


def opened(folder: Path) -> Repository:
    return Repository(folder, folder.parent if folder.name == ".mvc" else None, ENVIRONMENT)


def with_all_bits(folder: Path) -> None:
    """Write the files of a working copy with all bits, wherever these are."""
    assert run(["-C", str(folder), "checkout", "-q", "main"]) == 0


def sound(folder: Path) -> None:
    with opened(folder) as repo:
        report = fsck(repo)
        assert report.ok, (folder.name, report.problems)


def at(folder: Path, ref: str) -> str | None:
    with opened(folder) as repo:
        found = repo.refs.get(ref)
        return found.hex() if found else None


def check_survivor(site: Site, root: Path) -> None:
    """Check what a killed command left in `root`, run it again, and look at what comes out."""
    for folder in (root / "central", root / "a/.mvc", *root.glob("[bc]/.mvc")):
        sound(folder)
    assert at(root / "central", MAIN) in (site.old, site.new)
    for folder in root.glob("[bc]/.mvc"):
        assert at(folder, SEEN) in (site.old, site.new)
    if (root / "c").exists():
        with_all_bits(root / "c")
        whole = chosen(site, root / "a")
        assert sha256s(root / "c") == whole, "a clone was there before it was whole"
        shutil.rmtree(root / "c")
    code = run(site.command(root))
    assert code == 0, "running it again did not work"
    finished(site, root)


def chosen(site: Site, folder: Path) -> dict[str, str]:
    """Return the files of a working copy that the site's kind is about."""
    found = sha256s(folder)
    if site.kind == "paths":
        return {path: one for path, one in found.items() if path.split("/")[0] in CHOSEN}
    if site.kind == "widen":
        return {path: one for path, one in found.items() if not path.startswith("new")}
    return found


def finished(site: Site, root: Path) -> None:
    """Check that a command has done all that it is for, and left nothing else."""
    assert at(root / "central", MAIN) == site.new
    folder = {"push": "a", "clone": "c", "heads": "c", "shallow": "c", "paths": "c"}.get(
        site.kind, "b"
    )
    if site.kind == "heads":
        with_all_bits(root / folder)
    assert at(root / folder / ".mvc", SEEN) == site.new
    if site.kind == "full":
        whole = root / "whole"
        with opened(root / folder / ".mvc") as repo:
            assert repo.offloaded.packs() == {}
            export(repo, "origin/main", whole)
        assert sha256s(whole) == sha256s(root / "a")
    if site.kind in ("shallow", "deepen"):
        with opened(root / folder / ".mvc") as repo:
            ends = {item.hex() for item in repo.shallow.commits()}
        assert ends == ({site.new} if site.kind == "shallow" else set())
    if site.kind == "widen":
        assert run(["-C", str(root / folder), "pull", "-q"]) == 0
    if site.kind in ("pull", "clone", "heads", "shallow", "paths", "widen"):
        assert sha256s(root / folder) == chosen(site, root / "a")
        assert at(root / folder / ".mvc", MAIN) == site.new
    for repository in (root / "central", root / folder / ".mvc"):
        sound(repository)
        assert not list(repository.glob("incoming/**/*.head")), "parts were left"
        assert not list((repository / "packs").glob("*.tmp"))
    assert not list((root / folder / ".mvc" / "remotes").glob("*/sent"))
    assert not list(root.glob(".*")), "a clone was left unfinished"
    out = root / "out"
    with opened(root / "central") as central:
        export(central, "main", out)
    assert sha256s(out) == sha256s(root / "a")
