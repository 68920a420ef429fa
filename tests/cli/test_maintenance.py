"""What repack, and stats --repack, say of bytes and recovery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mvc.cli.render_maintenance import trade
from mvc.ops.repack import RepackResult, Summary
from tests.cli.console import Console

SLOW, QUICK = Summary(1000, 5, {0: 1, 8: 4}, 4.06), Summary(1030, 2, {0: 1, 2: 4}, 1.84)


def result(before: Summary, after: Summary, coded: int = 3) -> RepackResult:
    return RepackResult(before, after, 2.0, 5, coded, 0, dry_run=True)


@pytest.fixture
def trained(mvc: Console) -> Console:
    """A repository with a chain that is too long for the budget."""
    draw = np.random.default_rng(0)
    words = draw.normal(0, 0.02, 60_000).astype(np.float32)
    mvc("init")
    mvc("config", "user.name", "Tester")
    mvc("config", "user.email", "tester@example.org")
    for day in range(9):
        np.save(mvc.folder / "model.npy", words)
        mvc("add", "model.npy")
        mvc("commit", "-m", f"day {day}")
        words = words + draw.normal(0, 1e-7, words.shape).astype(np.float32)
    return mvc


def test_bytes_that_buy_quicker_recovery_are_told_as_its_price() -> None:
    assert trade(result(SLOW, QUICK)) == (
        "worst recovery 4.06x -> 1.84x, within the budget of 2x, for 3.0% more bytes"
    )


def test_bytes_that_are_saved_are_told_first() -> None:
    assert trade(result(replace(SLOW, recovery=1.9), replace(SLOW, bytes=900, recovery=1.5))) == (
        "10.0% fewer bytes; worst recovery 1.90x -> 1.50x"
    )


def test_recovery_that_gets_slower_is_said_to_be_within_the_budget() -> None:
    whole = Summary(1000, 5, {0: 5}, 1.0)
    assert trade(result(whole, Summary(600, 1, {0: 1, 1: 4}, 1.6))) == (
        "40.0% fewer bytes; worst recovery 1.00x -> 1.60x, within the budget of 2x"
    )


def test_a_repack_is_advised_where_it_saves_bytes_or_the_budget_is_exceeded() -> None:
    fine = replace(SLOW, recovery=1.9)
    assert result(SLOW, QUICK).advised
    assert result(fine, replace(fine, bytes=980)).advised
    assert not result(fine, replace(fine, bytes=999)).advised
    assert not result(fine, QUICK).advised
    assert not result(SLOW, SLOW, coded=0).advised


def test_repack_tells_what_it_traded_and_then_has_nothing_to_do(trained: Console) -> None:
    told = trained("repack", "--dry-run")
    assert "worst recovery" in told.err
    assert "within the budget of 2x" in told.err
    done = trained("repack", "--json").json
    assert done["budget"] == 2.0
    assert done["after"]["recovery"] <= 2 < done["before"]["recovery"]
    assert "everything is as an earlier repack left it" in trained("repack").err


def test_stats_advise_a_repack_only_where_there_is_something_to_gain(trained: Console) -> None:
    assert trained("stats", "--repack", "--json").json["repack"]["advised"] is True
    assert any(line.startswith("`mvc repack` would") for line in trained("stats", "--repack").lines)
    trained("repack")
    assert trained("stats", "--repack", "--json").json["repack"]["advised"] is False
    told = [line for line in trained("stats", "--repack").lines if "repack" in line]
    assert len(told) == 1
    assert told[0].startswith("a repack would save nothing to speak of")


def test_an_empty_repository_is_told_in_a_line(mvc: Console) -> None:
    mvc("init")
    assert "everything is as" in mvc("repack").err
    assert "0 objects dropped" in mvc("gc").err
