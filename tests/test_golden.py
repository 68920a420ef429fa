"""Every repository that a release has written stays readable, whole, and may be written to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mvc.ops.checkout import checkout
from mvc.ops.export import export
from mvc.ops.fsck import fsck
from mvc.ops.offload import bring_back
from mvc.repo import revisions
from mvc.repo.arrays import load_checkpoint
from mvc.repo.history import walk
from mvc.repo.repository import Environment, Repository
from tests.e2e.world import World, sha256s
from tests.golden import make

HERE = Path(__file__).parent / "golden"
GOLDEN = sorted(path.parent.name for path in HERE.glob("*/expected.json"))
NOW = "as it is now"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository as the next golden one would be."""
    target = tmp_path_factory.mktemp("golden") / "made"
    make.make(target)
    return target


@pytest.fixture(params=[*GOLDEN, NOW])
def source(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue("made") if request.param == NOW else HERE / request.param


@pytest.fixture
def golden(source: Path, tmp_path: Path) -> tuple[World, dict[str, object]]:
    shutil.copytree(source / "repository", tmp_path / "w" / ".mvc")
    return World(tmp_path / "w"), json.loads((source / "expected.json").read_bytes())


def whole_and_light(source: Path, tmp_path: Path) -> tuple[World, World]:
    """Return a repository, and the one that gave its lower bits up to it."""
    if not (source / "light").exists():
        pytest.skip("it was made before lower bits could be elsewhere")
    for name, folder in (("repository", "w"), ("light", "l")):
        shutil.copytree(source / name, tmp_path / folder / ".mvc")
    listing = tmp_path / "l" / ".mvc" / "offloaded"
    text = listing.read_text(encoding="utf-8")
    listing.write_text(text.replace(make.ELSEWHERE, str(tmp_path / "w" / ".mvc")), encoding="utf-8")
    return World(tmp_path / "w"), World(tmp_path / "l")


def test_the_golden_repositories_are_all_there() -> None:
    assert GOLDEN[0] == "format-1-by-0.1.0"


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


def test_what_gave_its_lower_bits_up_reads_them_elsewhere_and_takes_them_back(
    source: Path, tmp_path: Path
) -> None:
    world, light = whole_and_light(source, tmp_path)
    expected = json.loads((source / "expected.json").read_bytes())
    own = json.loads((source / "light.json").read_bytes())
    assert own
    assert fsck(light.repo).ok
    for back in (False, True):
        if back:
            assert bring_back(light.repo).packs
            world.repo.close()
            shutil.rmtree(world.root)
        for number, (version, files) in enumerate({**expected, **own}.items()):
            target = tmp_path / f"{back}-{number}"
            light.exported(version, target)
            assert sha256s(target) == files
    assert fsck(light.repo).ok


def test_sixteen_bits_come_from_either(source: Path, tmp_path: Path) -> None:
    if not (source / "reduced.json").exists():
        pytest.skip("it was made before there was reduced precision")
    reduced = json.loads((source / "reduced.json").read_bytes())
    expected = json.loads((source / "expected.json").read_bytes())
    assert reduced.keys() == expected.keys()
    assert reduced != expected
    for world in whole_and_light(source, tmp_path):
        for number, (version, files) in enumerate(reduced.items()):
            target = world.root.with_name(f"{world.root.name}{number}")
            export(world.repo, version, target, precision=16)
            assert sha256s(target) == files


def test_a_golden_repository_holds_every_kind_of_record(source: Path, tmp_path: Path) -> None:
    world, _ = whole_and_light(source, tmp_path)
    assert make.pieces(world.repo.store) >= make.WANTED


def test_what_was_made_once_is_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        make.make(tmp_path)
