"""Distances and searches from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mvc

SHAPE = (40, 50)


@pytest.fixture
def repo(tmp_path: Path) -> mvc.Repository:
    return mvc.Repository.init(tmp_path / "r", author="Tester")


def versions(repo: mvc.Repository, *factors: float) -> list[str]:
    weights = np.arange(1, 2001, dtype=np.float32).reshape(SHAPE)
    return [repo.commit({"w": weights * np.float32(item)}, f"times {item}") for item in factors]


def test_drift_is_the_distance_from_a_base(repo: mvc.Repository) -> None:
    first, second, third = versions(repo, 1, 1.5, 4)
    found = repo.drift(second, third, base=first)
    assert isinstance(found, mvc.DriftResult)
    assert [item.name for item in found.versions] == [third, second]
    assert [item.total.relative for item in found.versions] == pytest.approx([3, 0.5])


def test_bisect_asks_of_folders_until_it_knows(repo: mvc.Repository, tmp_path: Path) -> None:
    made = versions(repo, *range(1, 20))
    asked: list[Path] = []

    def small(folder: Path) -> bool:
        asked.append(folder)
        data = (folder / "model.safetensors").read_bytes()
        return bool(np.frombuffer(data[-8000:], "<f4")[-1] < 2000 * 12)

    (found,) = repo.bisect(made[0], made[-1], small)
    assert found.id == made[11]
    assert len(asked) < 8
    assert not any(folder.exists() for folder in asked)


def test_versions_that_cannot_be_tested_stay_possible(repo: mvc.Repository) -> None:
    made = versions(repo, 1, 2, 3)
    found = repo.bisect(made[0], made[2], lambda _: None)
    assert {item.id for item in found} == set(made[1:])


def test_a_test_that_fails_leaves_no_search_behind(repo: mvc.Repository) -> None:
    made = versions(repo, 1, 2, 3)

    def broken(_: Path) -> bool:
        raise RuntimeError("no accelerator")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="accelerator"):
            repo.bisect(made[0], made[2], broken)


def test_answers_that_contradict_each_other_are_refused(repo: mvc.Repository) -> None:
    made = versions(repo, 1, 2, 3)
    with pytest.raises(mvc.NegativeAnswer):
        repo.bisect(made[0], made[2], lambda _: False)
