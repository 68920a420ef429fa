"""Merging from Python, as scripts and servers do it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mvc

BASE = {"a": np.arange(300, dtype=np.float32), "b": np.ones(300, np.float32)}


@pytest.fixture
def server(tmp_path: Path) -> mvc.Repository:
    """A bare repository with a version on main and one on each of three branches."""
    from mvc.ops.branch import create
    from mvc.ops.checkout import switch

    with mvc.Repository.init(tmp_path / "made", author="Ada") as repo:
        repo.commit(BASE, "base")
        for number in range(3):
            name = f"devices/{number}"
            create(repo._inner, name, "main")
            switch(repo._inner, name)
            tensors = {**BASE, "a": BASE["a"] + np.float32(number)}
            repo.commit(tensors, name, metrics={"samples": 10.0 * (number + 1)})
            switch(repo._inner, "main")
        folder = repo.path
    return mvc.Repository.open(folder.rename(tmp_path / "server.mvc"), author="server")


def test_a_server_averages_its_fleet(server: mvc.Repository) -> None:
    done = server.merge("devices/*", strategy="average", weight_by="samples", into="main")
    assert isinstance(done, mvc.MergeResult)
    assert done.status == "merged"
    assert [(item.name, item.weight) for item in done.parents] == [
        ("main", 0.0),
        ("devices/0", 10.0),
        ("devices/1", 20.0),
        ("devices/2", 30.0),
    ]
    (version, *_) = server.log("main")
    assert version.id == done.commit
    assert version.parents == tuple(item.commit for item in done.parents)
    sums = sum(10.0 * (n + 1) * (BASE["a"] + np.float32(n)).astype(np.float64) for n in range(3))
    assert np.array_equal(server.load("main")["a"], (sums / 60).astype(np.float32))
    again = server.merge("devices/*", strategy="average", into="main")
    assert (again.status, again.commit) == ("same", done.commit)


def test_conflicts_are_a_result_and_are_decided_by_name(tmp_path: Path) -> None:
    with mvc.Repository.init(tmp_path, author="Ada") as repo:
        start = repo.commit(BASE, "base")
        theirs = repo.commit({**BASE, "a": BASE["a"] + 2, "b": BASE["b"] * 2}, "theirs")
        from mvc.ops.reset import reset

        reset(repo._inner, start, hard=True)
        ours = repo.commit({**BASE, "a": BASE["a"] + 1, "b": BASE["b"] * 3}, "ours")
        done = repo.merge(theirs)
        assert done.status == "conflicts"
        assert {item.tensor for item in done.conflicts} == {"a", "b"}
        assert repo.abort().commit == ours
        repo.merge(theirs, message="Both")
        (ended,) = repo.resume(
            take={"model.safetensors:a": "average", "model.safetensors": "theirs"}
        )
        assert ended.message == "Both"
        assert np.array_equal(repo.load()["a"], BASE["a"] + np.float32(1.5))
        assert np.array_equal(repo.load()["b"], BASE["b"] * 2)
        assert repo.revert("HEAD", parent=1)[0].tree != ended.tree
        assert [item.status for item in repo.cherry_pick(theirs, scale=0.5)] == ["merged"]
        with pytest.raises(mvc.NegativeAnswer):
            repo.resume()
        with pytest.raises(mvc.UsageError):
            repo.merge(theirs, strategy="nothing")


def test_rules_are_read_from_a_file(server: mvc.Repository, tmp_path: Path) -> None:
    rules = tmp_path / "merge.toml"
    rules.write_text('[[rule]]\ntensors = "a"\nstrategy = "median"\n')
    told = server.merge("devices/*", rules=rules, into="main", dry_run=True)
    assert (told.commit, told.files[0].computed) == (None, {"median": 1})
