"""Commands to be cut off in the middle, and what must hold of a repository afterwards.

`build` makes the state before a command from two versions' files; `check_survivor` looks at what
a killed process left, runs the command again and looks at the result.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mvc.cli.main import run
from mvc.repo.repository import Repository
from tests.e2e.world import World, contents, network, nudged, sha256s, weights

Files = Mapping[str, bytes]
SETTINGS = '[user]\nname = "Tester"\nemail = "tester@example.org"\n'


@dataclass(frozen=True)
class Scene:
    """A command, the folder to run it in, the files before it and after it."""

    root: Path
    arguments: tuple[str, ...]
    before: dict[str, str]
    after: dict[str, str]
    versions: dict[str, dict[str, str]]

    def command(self, root: Path) -> list[str]:
        return ["-C", str(root), *self.arguments]

    def save(self) -> None:
        facts = [self.arguments, self.before, self.after, self.versions]
        self.root.with_suffix(".json").write_text(json.dumps(facts))

    @classmethod
    def load(cls, root: Path) -> Scene:
        arguments, before, after, versions = json.loads(root.with_suffix(".json").read_text())
        return cls(root, tuple(arguments), before, after, versions)


def versions_of(size: int) -> tuple[Files, Files, Files]:
    """Return the files of three versions of a model of about `size` bytes."""
    body, head = weights(1, size // 8 * 6 // 4 * 4), weights(2, size // 8 // 4 * 4)
    first = {
        "model.safetensors": network({"body": body, "head": head}),
        "parts/extra.bin": weights(3, size // 8 // 4 * 4),
        "config.json": b'{"epoch": 1}',
        "old/notes.txt": b"gone in the second version",
    }
    body, head = nudged(body, 11), nudged(head, 12)
    second = {
        "model.safetensors": network({"body": body, "head": head}),
        "parts/extra.bin": first["parts/extra.bin"],
        "config.json": b'{"epoch": 2}',
        "new/added.bin": weights(4, size // 16 // 4 * 4),
    }
    third = {
        **second,
        "model.safetensors": network({"body": nudged(body, 21), "head": head}),
        "parts/extra.bin": nudged(second["parts/extra.bin"], 22),
        "config.json": b'{"epoch": 3}',
    }
    return first, second, third


def replace_files(world: World, files: Files) -> None:
    for name in contents(world.root):
        if name not in files:
            (world.root / name).unlink()
            if not any((world.root / name).parent.iterdir()):
                (world.root / name).parent.rmdir()
    for name, data in files.items():
        if not (world.root / name).exists() or world.read(name) != data:
            world.write(name, data)


def build(kind: str, root: Path, size: int) -> Scene:
    """Make a repository in which a `commit` or a `switch` is about to happen."""
    world = World(root)
    (world.repo.folder / "config.toml").write_text(SETTINGS)
    first, second, third = versions_of(size)
    versions = {}
    world.save(first, "first")
    versions["main~1"] = sha256s(root)
    replace_files(world, second)
    world.add()
    world.commit("second")
    versions["main"] = before = sha256s(root)
    if kind == "commit":
        replace_files(world, third)
        world.add()
        arguments = ("commit", "-m", "third")
        before = after = sha256s(root)
    else:
        arguments = ("switch", "one")
        assert run(["-C", str(root), "branch", "one", "main~1"]) == 0
        after = versions["main~1"]
    world.repo.close()
    scene = Scene(root, arguments, before, after, versions)
    scene.save()
    return scene


def check_survivor(scene: Scene, root: Path, scratch: Path) -> list[str]:
    """Check what a killed command left in `root`; return orphans it left in the store."""
    for name, found in sha256s(root).items():
        assert found in (scene.before.get(name), scene.after.get(name)), f"{name} is a mixture"
    for name in scene.before.keys() & scene.after.keys():
        assert (root / name).is_file(), f"{name} is gone"
    world = World(root)
    world.check()
    ahead = _ahead(world.repo)
    _check_versions(scene, world, ahead, scratch / "one")
    orphans = _orphans(world)
    world.repo.close()
    code = run(scene.command(root))
    assert code == (1 if ahead else 0), "running it again did not work"
    assert sha256s(root) == scene.after
    world = World(root)
    found = world.status()
    assert found.clean, found
    world.write("config.json", b"the next writing run")
    world.commit()
    assert world.leftovers() == []
    world.check()
    assert _orphans(world) == orphans
    world.repo.close()
    return orphans


def _ahead(repo: Repository) -> int:
    """Return 1 if the commit that was cut off had happened already."""
    main = repo.refs.get("refs/heads/main")
    assert main is not None
    return int(repo.commit(main).message == "third")


def _check_versions(scene: Scene, world: World, ahead: int, target: Path) -> None:
    if ahead:
        world.exported("main", target)
        assert sha256s(target) == scene.after
        shutil.rmtree(target)
    for revision, files in scene.versions.items():
        number = int(revision.removeprefix("main").removeprefix("~") or 0) + ahead
        world.exported(f"main~{number}", target)
        assert sha256s(target) == files, f"{revision} is not what it was"
        shutil.rmtree(target)


def _orphans(world: World) -> list[str]:
    names = set(world.packs())
    return sorted(
        name
        for name in names
        if name.endswith(".tail") and name.replace(".tail", ".head") not in names
    )
