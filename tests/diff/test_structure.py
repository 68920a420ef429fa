from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import mvc.repo.tensors as tensors_module
from mvc.base.errors import StorageError
from mvc.diff.sides import VersionSide, WorktreeSide
from mvc.diff.structure import (
    FileChange,
    TensorChanges,
    changed_files,
    compare_tensors,
    natural_key,
)
from mvc.diff.weights import measure
from mvc.repo import trees
from tests.diff.versions import Arrays, Project, model

BASE = {
    "layer.0.weight": np.arange(600, dtype="f4").reshape(20, 30),
    "layer.0.bias": np.zeros(20, "f4"),
    "layer.1.weight": np.ones((20, 20), "f4"),
    "layer.10.weight": np.ones((5, 4), "f4"),
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def inside(change: FileChange) -> TensorChanges:
    assert change.old is not None
    assert change.new is not None
    old, new = change.old.tensors(), change.new.tensors()
    assert old is not None
    assert new is not None
    return compare_tensors(old, new)


def two_ways(project: Project, old: Arrays | bytes, new: Arrays | bytes) -> list[TensorChanges]:
    """Compare a commit with the uncommitted file, then with the commit of it."""
    first = VersionSide(project.repo, project.commit(model=old))
    project.write(model=new)
    (on_disk,) = changed_files(first, WorktreeSide(project.repo))
    found = inside(on_disk)
    second = VersionSide(project.repo, project.commit(model=new))
    (stored,) = changed_files(first, second)
    return [found, inside(stored)]


def summary(found: TensorChanges) -> dict[str, object]:
    parts = ("added", "removed", "reshaped", "recast", "changed")
    named = {part: [item.name for item in getattr(found, part)] for part in parts}
    return {part: names for part, names in named.items() if names} | {"same": found.unchanged}


def test_every_kind_of_change_of_a_tensor_is_told_apart(project: Project) -> None:
    new = {
        "layer.0.weight": BASE["layer.0.weight"][:, :29].copy(),
        "layer.1.weight": BASE["layer.1.weight"].astype("f2"),
        "layer.2.weight": np.ones(3, "f4"),
        "layer.10.weight": BASE["layer.10.weight"] * 2,
        "same": np.ones(400, "f4"),
    }
    for found in two_ways(project, {**BASE, "same": np.ones(400, "f4")}, new):
        assert summary(found) == {
            "added": ["layer.2.weight"],
            "removed": ["layer.0.bias"],
            "reshaped": ["layer.0.weight"],
            "recast": ["layer.1.weight"],
            "changed": ["layer.10.weight"],
            "same": 1,
        }
        assert (found.reshaped[0].old_shape, found.reshaped[0].new_shape) == ((20, 30), (20, 29))
        assert (found.recast[0].old_dtype, found.recast[0].new_dtype) == ("float32", "float16")


def test_the_same_weights_in_another_format_differ_in_no_tensor(project: Project) -> None:
    archive = io.BytesIO()
    np.savez(archive, **BASE)
    for found in two_ways(project, BASE, archive.getvalue()):
        assert summary(found) == {"same": 4}


def test_weights_changed_with_the_format_are_still_compared_by_name(project: Project) -> None:
    archive = io.BytesIO()
    np.savez(archive, **{**BASE, "layer.0.bias": np.ones(20, "f4")})
    for found in two_ways(project, BASE, archive.getvalue()):
        assert summary(found) == {"changed": ["layer.0.bias"], "same": 3}
        (weights,) = measure(found.changed)
        assert weights.l2 == pytest.approx(20**0.5)


def test_big_endian_arrays_on_disk_are_the_same_words(project: Project) -> None:
    def npy(array: np.ndarray) -> bytes:
        out = io.BytesIO()
        np.save(out, array)
        return out.getvalue()

    array = np.arange(1000, dtype="<f4")
    changed = array.copy()
    changed[3] = 4
    for found in two_ways(project, npy(array), npy(changed.astype(">f4"))):
        (weights,) = measure(found.changed)
        assert (weights.changed, weights.l2) == (1, 1.0)


def test_names_are_in_natural_order() -> None:
    names = ["layer.10", "layer.9", "layer", "layer.010", "10", "9"]
    assert sorted(names, key=natural_key) == [
        "9",
        "10",
        "layer",
        "layer.9",
        "layer.10",
        "layer.010",
    ]


def test_files_are_added_removed_modified_and_renamed(project: Project) -> None:
    one = project.commit(a=b"same" * 9, b=b"gone", c=b"before")
    (project.path / "a").unlink()
    (project.path / "b").unlink()
    project.write(c=b"after!", moved=b"same" * 9, new=b"new")
    two = project.commit(c=b"after!", moved=b"same" * 9, new=b"new")
    expected = [
        ("b", "removed", "b"),
        ("c", "modified", "c"),
        ("moved", "renamed", "a"),
        ("new", "added", None),
    ]
    old = VersionSide(project.repo, one)
    for new in (VersionSide(project.repo, two), WorktreeSide(project.repo)):
        found = changed_files(old, new)
        assert [(item.path, item.status, item.old_path) for item in found] == expected


def test_empty_files_are_not_called_renamed(project: Project) -> None:
    one = project.commit(a=b"", keep=b"k")
    (project.path / "a").unlink()
    two = project.commit(b=b"")
    found = changed_files(VersionSide(project.repo, one), VersionSide(project.repo, two))
    assert [item.status for item in found] == ["removed", "added"]


def test_a_copy_is_renamed_only_once(project: Project) -> None:
    one = project.commit(a=b"content")
    (project.path / "a").unlink()
    two = project.commit(b=b"content", c=b"content")
    found = changed_files(VersionSide(project.repo, one), VersionSide(project.repo, two))
    assert [(item.path, item.status) for item in found] == [("b", "renamed"), ("c", "added")]


def test_before_the_first_commit_every_tracked_file_is_new(project: Project) -> None:
    project.write(a=b"x")
    from mvc.ops.add import add

    add(project.repo, [project.path / "a"])
    found = changed_files(VersionSide(project.repo, None), WorktreeSide(project.repo))
    assert [(item.path, item.status) for item in found] == [("a", "added")]


def test_equal_subtrees_are_not_entered_and_equal_tensors_not_decoded(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    old = {
        f"block.{block}.{part}.weight": random.standard_normal(1000, dtype="f4")
        for block in range(20)
        for part in ("q", "k", "v")
    }
    new = dict(old)
    new["block.7.k.weight"] = old["block.7.k.weight"] + 1
    one = VersionSide(project.repo, project.commit(model=old))
    two = VersionSide(project.repo, project.commit(model=new))
    entered: list[bytes] = []
    loaded: list[bytes] = []
    read_tree = trees.read_tree
    load_both = tensors_module.load_bytes_of_both
    monkeypatch.setattr(
        trees, "read_tree", lambda store, wanted: entered.append(wanted) or read_tree(store, wanted)
    )
    monkeypatch.setattr(
        tensors_module,
        "load_bytes_of_both",
        lambda store, wanted, *rest: loaded.extend(wanted) or load_both(store, wanted, *rest),
    )
    (change,) = changed_files(one, two)
    found = inside(change)
    assert summary(found) == {"changed": ["block.7.k.weight"], "same": 59}
    # The files' trees, then block., 7., k. and the root of the tensors on both sides.
    assert len(entered) == 2 * 5
    assert loaded == []
    (weights,) = measure(found.changed)
    assert weights.changed == 1000
    assert len(loaded) == 2


def test_a_clean_working_copy_is_compared_without_reading_files(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = project.commit(model=BASE)
    project.commit(model={**BASE, "layer.0.bias": np.ones(20, "f4")})

    def never(path: Path, *_: object, **__: object) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr("mvc.diff.sides.DiskFile", never)
    (change,) = changed_files(VersionSide(project.repo, one), WorktreeSide(project.repo))
    assert summary(inside(change)) == {"changed": ["layer.0.bias"], "same": 3}


def test_an_uncommitted_file_is_compared_without_storing_anything(project: Project) -> None:
    project.commit(model=BASE)
    before = sorted(path.name for path in (project.path / ".mvc" / "packs").iterdir())
    project.write(model={**BASE, "layer.0.bias": np.ones(20, "f4")})
    old = VersionSide(project.repo, project.repo.head_commit())
    (change,) = changed_files(old, WorktreeSide(project.repo))
    assert change.new is not None
    assert change.new.id is None
    assert summary(inside(change)) == {"changed": ["layer.0.bias"], "same": 3}
    change.new.close()
    assert sorted(path.name for path in (project.path / ".mvc" / "packs").iterdir()) == before


def test_a_file_that_changes_while_it_is_compared_is_refused(project: Project) -> None:
    project.commit(model=BASE)
    project.write(model={**BASE, "layer.0.bias": np.ones(20, "f4")})
    old = VersionSide(project.repo, project.repo.head_commit())
    (change,) = changed_files(old, WorktreeSide(project.repo))
    inside(change)
    (project.path / "model").write_bytes(model(BASE) + b"")
    assert change.new is not None
    with pytest.raises(StorageError, match="changed while it was compared"):
        change.new.close()


def test_a_touched_file_with_the_same_bytes_does_not_differ(project: Project) -> None:
    project.commit(model=BASE)
    project.write(model=BASE)
    old = VersionSide(project.repo, project.repo.head_commit())
    assert changed_files(old, WorktreeSide(project.repo)) == []


def test_a_tied_tensor_is_found_under_its_other_name(project: Project) -> None:
    from mvc.formats.base import BytesSource, Extent, Located, View
    from mvc.repo.tensors import DiskTensors

    data = np.arange(300, dtype="f4").tobytes()
    tied = Located(
        "one",
        (Extent("embed", "float32", (300,), 0, 1200),),
        (View("head", "embed", (300,), 0, (1,)), View("part", "embed", (10,), 5, (1,))),
    )
    other = Located("two", (Extent("head", "float32", (300,), 0, 1200),))
    one = DiskTensors(BytesSource(data), tied)
    two = DiskTensors(BytesSource(data), other)
    assert summary(compare_tensors(one, two)) == {"removed": ["embed", "part"], "same": 1}
    assert summary(compare_tensors(two, one)) == {"added": ["embed", "part"], "same": 1}
    assert summary(compare_tensors(one, one)) == {"same": 1}


def test_a_file_committed_from_memory_and_left_on_disk_does_not_differ(project: Project) -> None:
    from mvc.ops.commit import CommitRequest
    from mvc.ops.commit_arrays import commit_arrays

    first = project.commit(model=BASE)
    arrays = {**BASE, "layer.0.bias": np.ones(20, "f4")}
    commit_arrays(project.repo, arrays, "model", CommitRequest(message="from memory"))
    head = VersionSide(project.repo, project.repo.head_commit())
    assert changed_files(head, WorktreeSide(project.repo)) == []
    (change,) = changed_files(VersionSide(project.repo, first), WorktreeSide(project.repo))
    assert summary(inside(change)) == {"changed": ["layer.0.bias"], "same": 3}


def test_ranges_that_another_file_claims_wrongly_are_not_believed(project: Project) -> None:
    from mvc.formats.base import Extent, Located

    project.commit(data=b"x" * 100)
    project.write(data=b"y" * 100)
    located = {"data": Located("external", (Extent("w", "float32", (300,), 0, 1200),))}
    old = VersionSide(project.repo, project.repo.head_commit())
    (change,) = changed_files(old, WorktreeSide(project.repo, located=located))
    assert change.new is not None
    assert change.new.tensors() is None
    assert change.new.format == "blob"
