"""`mvc commit --base`."""

from __future__ import annotations

import numpy as np

import mvc as api
from tests.cli.console import Console


def test_a_commit_names_the_version_it_resembles(mvc: Console) -> None:
    mvc.write("m.safetensors", {"w": np.arange(900)})
    first = mvc.commit("release")
    mvc("tag", "v1.0")
    mvc.write("m.safetensors", {"w": np.arange(900) * 3})
    mvc.commit("another")
    mvc.write("m.safetensors", {"w": np.arange(900) + 1})
    mvc("commit", "-m", "back to the release", "--base", "v1.0")
    assert f"Base:    {first[:10]}" in mvc("show").lines
    assert mvc("log", "-n", "1", "--json").json[0]["base"] == first


def test_a_base_that_is_not_there_is_an_error(mvc: Console) -> None:
    mvc.write("a", "1")
    mvc.commit("one")
    mvc.write("a", "2")
    assert "no revision is called 'v9'" in mvc("commit", "-m", "x", "--base", "v9", code=3).err


def test_a_setting_without_effect_is_noted(mvc: Console) -> None:
    mvc("config", "commit.base", "v9")
    mvc.write("a", "1")
    mvc("add", ".")
    done = mvc("commit", "-m", "one")
    assert "note: the setting commit.base has no effect: no revision is called 'v9'" in done.err


def test_from_python_it_is_an_argument(mvc: Console) -> None:
    with api.Repository.open(mvc.folder, author="Tester") as repo:
        weights = {"w": np.arange(900, dtype=np.float32)}
        first = repo.commit(weights, "release")
        repo.commit({"w": weights["w"] * 3}, "another")
        repo.commit({"w": weights["w"] + 1}, "tuned", base=first)
    assert mvc("log", "-n", "1", "--json").json[0]["base"] == first
