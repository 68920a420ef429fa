"""The history of a part, from Python; and what a shallow clone cannot know of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mvc
from mvc.ops.blame import BlameRequest, blame
from mvc.ops.clone import CloneRequest, clone
from mvc.repo.repository import Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with mvc.Repository.init(tmp_path / "r", author="Ada <ada@example.org>") as repo:
        held = {"a.w": np.ones((4, 3), "f4"), "a.b": np.zeros(3, "f4"), "head": np.ones(9, "f4")}
        repo.commit(held, "one")
        repo.commit({**held, "head": held["head"] * 3}, "two")
        held = {**held, "head": held["head"] * 3, "a.w": held["a.w"].astype("f2")}
        repo.commit(held, "three")
        held["new"] = np.ones(2, "f4")
        del held["a.b"]
        repo.commit(held, "four")
    return tmp_path / "r"


def test_history_tells_what_each_version_did_to_the_tensors_asked_about(folder: Path) -> None:
    with mvc.Repository.open(folder) as repo:
        found = [
            (change.version.commit.message, [(one.name, one.made) for one in change.tensors])
            for change in repo.history("model.safetensors", "a.*")
        ]
        assert found == [
            ("four", [("a.b", "removed")]),
            ("three", [("a.w", "recast")]),
            ("one", [("a.b", "added"), ("a.w", "added")]),
        ]
        (two, one) = repo.history("model.safetensors", "head")
        assert two.tensors[0].relative_l2 == pytest.approx(2.0)
        assert two.against == one.version.id
        assert list(repo.history("model.safetensors", "nothing")) == []
        (unread, _) = repo.history("model.safetensors", "head", weights=False)
        assert unread.tensors[0].relative_l2 is None


def test_blame_from_python_takes_a_revision_and_a_file(folder: Path) -> None:
    with mvc.Repository.open(folder) as repo:
        (file,) = repo.blame("model.safetensors:a.*", "HEAD~1")
        assert file.tensors is not None
        said = [
            (tensor.name, tensor.origin.version.commit.message, tensor.origin.made)
            for tensor in file.tensors
        ]
        assert said == [("a.b", "one", "added"), ("a.w", "three", "recast")]
        with pytest.raises(mvc.NotFoundError):
            repo.blame("nothing.st")


def test_a_shallow_clone_says_at_or_before(folder: Path, tmp_path: Path) -> None:
    clone(CloneRequest(str(folder), tmp_path / "shallow", depth=3))
    with Repository.discover(tmp_path / "shallow") as repo:
        (file,) = blame(repo, BlameRequest()).files
        assert file.tensors is not None
        said = {
            tensor.name: (
                tensor.origin.version.commit.message,
                tensor.origin.made,
                tensor.origin.at_or_before,
            )
            for tensor in file.tensors
        }
        assert said == {
            "a.w": ("three", "recast", False),
            "head": ("two", None, True),
            "new": ("four", "added", False),
        }
