"""Every repository that a release has written stays readable, whole, and may be written to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mvc.ops.checkout import checkout
from mvc.ops.fsck import fsck
from mvc.repo import revisions
from mvc.repo.arrays import load_checkpoint
from mvc.repo.history import walk
from mvc.repo.repository import Environment, Repository
from tests.e2e.world import World, sha256s

GOLDEN = sorted(path.parent for path in (Path(__file__).parent / "golden").glob("*/expected.json"))


@pytest.fixture(params=GOLDEN, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[World, dict[str, object]]:
    source: Path = request.param
    shutil.copytree(source / "repository", tmp_path / "w" / ".mvc")
    return World(tmp_path / "w"), json.loads((source / "expected.json").read_bytes())


def test_there_is_a_golden_repository() -> None:
    assert [path.name for path in GOLDEN] == ["format-1-by-0.1.0"]


def test_every_version_comes_back_byte_for_byte(
    golden: tuple[World, dict[str, object]], tmp_path: Path
) -> None:
    world, expected = golden
    assert fsck(world.repo).ok
    tips = list(world.repo.refs.all("refs/heads/").values())
    assert {version.id.hex() for version in walk(world.repo, tips)} == set(expected)
    for number, (version, files) in enumerate(expected.items()):
        world.exported(version, tmp_path / str(number))
        assert sha256s(tmp_path / str(number)) == files


def test_it_can_be_checked_out_and_committed_to(
    golden: tuple[World, dict[str, object]],
) -> None:
    world, expected = golden
    checkout(world.repo, "main")
    assert world.status().clean
    files = sha256s(world.root)
    world.save({"new": b"file"})
    world.check()
    assert files == expected[revisions.resolve(world.repo, "HEAD~1").hex()]


def test_what_commits_and_tags_say_is_kept(golden: tuple[World, dict[str, object]]) -> None:
    world, _ = golden
    repo = world.repo
    first = repo.commit(revisions.resolve(repo, "v1"))
    assert revisions.resolve(repo, "light") == revisions.resolve(repo, "v1")
    assert repo.tag(revisions.resolve_object(repo, "v1")).message == "first release"
    assert first.params == {"lr": 1e-3, "epochs": 3, "frozen": True, "optimizer": "adam"}
    assert {item.key: item.value for item in first.metrics} == {
        "accuracy@imagenet[val]": 0.91,
        "loss": 0.5,
    }
    assert first.author == "Golden <golden@example.org>"


def test_the_tensors_are_the_same_numbers(golden: tuple[World, dict[str, object]]) -> None:
    world, _ = golden
    repo = Repository(world.repo.folder, world.root, Environment())
    found = {}
    for path in ("model.safetensors", "nets/state.pt", "nets/old.pt"):
        entry = revisions.find(repo, f"v1:{path}").entry
        found[path] = load_checkpoint(repo.store, entry.id)
    for name, array in found["nets/state.pt"].items():
        assert array.tobytes() == found["model.safetensors"][name].tobytes()
        assert array.tobytes() == found["nets/old.pt"][name].tobytes()
    assert found["model.safetensors"]["encoder.layer.0.weight"].view("u4").flat[0] == 0x7FC00001
    repo.close()
