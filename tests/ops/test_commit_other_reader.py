"""The same file described by another version of mvc is the same file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mvc.base.errors import NegativeAnswer
from mvc.formats import registry
from mvc.formats.base import Source
from mvc.repo import ingest
from mvc.repo.worktree import Worktree
from tests.e2e.world import World, network, weights


def test_a_touched_file_is_unchanged_though_a_newer_reader_describes_it_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "w")
    world.save({"m": network({"w": weights(1, 5000)})})
    before = world.repo.head_commit()
    old = registry.locate

    def newer(source: Source) -> registry.Outcome:
        outcome = old(source)
        assert outcome.located is not None
        return replace(outcome, located=replace(outcome.located, notes=("seen anew",)))

    monkeypatch.setattr(ingest.registry, "locate", newer)
    os.utime(world.root / "m", ns=(1, 1))
    with pytest.raises(NegativeAnswer, match="nothing to commit"):
        world.commit()
    assert world.repo.head_commit() == before
    tree = Worktree(world.repo)
    assert tree.candidates(tree.head_files()).clean
