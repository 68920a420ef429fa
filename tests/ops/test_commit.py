"""What a commit records, and when there is nothing to record."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import FormatError, MvcError, NegativeAnswer, StorageError, UsageError
from mvc.objects.history import Metric
from mvc.ops.commit import CommitRequest, commit
from mvc.ops.rm import remove
from mvc.ops.show import ShownCheckpoint, show
from mvc.repo.repository import Environment, Repository
from tests.e2e.world import World, network, nudged, weights

MB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


def test_a_commit_takes_every_tracked_change(world: World, tmp_path: Path) -> None:
    first = world.save({"a": b"1", "d/b": b"2", "c": b"3"})
    assert (first.root, first.branch, first.files, first.raw_bytes) == (True, "main", 3, 3)
    world.write("a", b"changed")
    world.write("untracked", b"x")
    (world.root / "c").unlink()
    second = world.commit("second")
    assert (second.root, second.files) == (False, 2)
    assert world.exported("HEAD", tmp_path / "out") == {"a": b"changed", "d/b": b"2"}
    found = world.repo.commit(second.id)
    assert (found.parents, found.message) == ((first.id,), "second")
    assert world.status().untracked == ("untracked",)
    world.check()


def test_a_commit_says_how_the_model_was_made(world: World) -> None:
    world.write("a", b"1")
    world.add()
    request = CommitRequest(
        "epoch 3\n\nlonger text",
        {"lr": 0.1, "layers": 12, "amp": True, "opt": "adam"},
        (Metric("loss", 0.5), Metric("accuracy", 0.9, "imagenet", "val")),
        {"device": "car-17"},
    )
    found = world.repo.commit(commit(world.repo, request).id)
    assert found.params == request.params
    assert [item.name for item in found.metrics] == ["accuracy", "loss"]
    assert found.labels == {"device": "car-17"}
    assert found.author == "Tester <tester@example.org>"


def test_without_changes_nothing_is_committed_unless_asked(world: World) -> None:
    with pytest.raises(NegativeAnswer, match="nothing to commit"):
        world.commit()
    world.save({"a": b"1"})
    before = world.repo.head_commit()
    with pytest.raises(NegativeAnswer, match="nothing to commit"):
        world.commit()
    assert world.repo.head_commit() == before
    commit(world.repo, CommitRequest("empty", allow_empty=True))
    assert world.repo.head_commit() != before


def test_nobody_commits_without_a_name_and_nothing_moves(tmp_path: Path) -> None:
    with Repository.init(tmp_path / "w", environment=Environment()) as repo:
        world = World(tmp_path / "w")
        world.write("a", b"1")
        world.add()
        with pytest.raises(UsageError, match="nobody is named"):
            commit(repo, CommitRequest("x"))
        assert repo.head_commit() is None
        world.commit()


@pytest.mark.parametrize(
    "message", ["x" * (1 << 20) + "x", "\ud800"], ids=["too long", "not Unicode"]
)
def test_a_message_that_cannot_be_kept_is_refused_in_one_sentence(
    world: World, message: str
) -> None:
    world.write("a", b"1")
    world.add()
    with pytest.raises(FormatError) as caught:
        world.commit(message)
    assert len(caught.value.message) < 200
    assert world.repo.head_commit() is None
    assert world.packs() == {}
    assert world.leftovers() == []


@pytest.mark.parametrize("message", ["a\0b", "\x1b[2Jx", "one\r\ntwo", "x" * (1 << 20), "ü\u202e"])
def test_any_other_message_is_kept_as_it_is(world: World, message: str) -> None:
    world.save({"a": b"1"}, message)
    head = world.repo.head_commit()
    assert head is not None
    assert world.repo.commit(head).message == message
    assert world.repo.refs.history("HEAD")[0].new == head


@pytest.mark.parametrize("author", ["a\nb", "a\rb", "x" * 2000, "a\0b"])
def test_an_author_of_two_lines_is_refused(tmp_path: Path, author: str) -> None:
    world = World(tmp_path / "w")
    world.write("a", b"1")
    world.add()
    repo = Repository(world.repo.folder, world.root, Environment(author=author))
    with pytest.raises(MvcError):
        commit(repo, CommitRequest("x"))
    assert repo.head_commit() is None
    repo.close()


def test_a_change_of_weights_is_stored_as_a_difference(world: World) -> None:
    body = weights(1, 4 * MB)
    first = world.save({"m": network({"w": body})})
    second = world.save({"m": network({"w": nudged(body, 2, 1e-6)})})
    assert second.raw_bytes == first.raw_bytes
    assert second.stored_bytes < first.stored_bytes / 2
    assert isinstance(show(world.repo, "HEAD:m"), ShownCheckpoint)


def test_chains_of_differences_stay_short_and_every_version_comes_back(
    world: World, tmp_path: Path
) -> None:
    body = weights(1, MB // 4)
    versions = []
    for number in range(20):
        body = nudged(body, number, 1e-6)
        versions.append(network({"w": body}))
        world.save({"m": versions[-1]})
    for number, data in enumerate(reversed(versions)):
        assert world.exported(f"HEAD~{number}", tmp_path / str(number)) == {"m": data}
    world.check()


def test_a_file_and_one_below_it_cannot_be_in_one_version(world: World) -> None:
    world.save({"x": b"file"})
    remove(world.repo, [world.root / "x"], cached=True)
    (world.root / "x").unlink()
    world.save({"x/y": b"below"})
    assert world.status().clean


def test_a_failed_commit_leaves_what_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.save({"a": b"1"})
    before = world.packs(), world.repo.head_commit()
    world.write("a", weights(1, MB))

    def full(*_: object) -> None:
        raise StorageError("cannot write: no space left on device")

    monkeypatch.setattr(fileio.StagedFile, "write", full)
    with pytest.raises(StorageError):
        world.commit()
    monkeypatch.undo()
    assert (world.packs(), world.repo.head_commit()) == before
    assert world.leftovers() == []
    world.commit()
    world.check()


def test_two_tracked_files_with_equal_bytes_are_stored_once(world: World) -> None:
    data = weights(1, MB)
    world.save({"a": data})
    before = world.stored()
    world.save({"b": data, "c": data})
    assert world.stored() - before < 2000


@pytest.mark.parametrize("message", ["", " ", "\n\t\n"])
def test_an_empty_message_is_refused_and_nothing_moves(world: World, message: str) -> None:
    world.write("a", b"1")
    world.add()
    with pytest.raises(UsageError, match="needs a message"):
        world.commit(message)
    assert world.repo.head_commit() is None
    assert world.packs() == {}


def test_what_a_commit_costs_is_what_its_packs_take(world: World) -> None:
    body = weights(1, 1 << 18)
    for number in range(2):
        before = world.stored()
        done = world.save({"m": network({"w": nudged(body, number)}), "t": b"text"})
        assert done.stored_bytes == world.stored() - before > 0
