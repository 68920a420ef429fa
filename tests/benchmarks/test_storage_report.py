from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks.contenders import CODINGS, DEFAULT
from benchmarks.histories import History
from benchmarks.results import Effort, Result, dumped, loaded
from benchmarks.storage import fastest, takes_part
from benchmarks.storage_plot import chart
from benchmarks.storage_report import Results, lost, report, winner
from benchmarks.storage_trip import brief


def result(contender: str, *stored: float, history: str = "full-fp32") -> Result:
    effort = Effort(2_000_000, 0.5, 0.25)
    return Result(
        history, contender, (1_000_000,) * len(stored), stored, effort, effort, 50_000_000
    )


OURS = result("mvc", 800_000, 200_000)
SMALLER = result("tx", 700_000, 100_000)
LARGER = result("xet", 900_000, 800_000)
ABSENT = Result("full-fp32", "borg", failure="borg is not installed; `apt-get` installs it")


def test_a_share_is_stored_over_raw_bytes() -> None:
    assert OURS.share == 0.5
    assert OURS.pair_ratio == 5.0
    assert ABSENT.share is None
    assert ABSENT.pair_ratio is None


def test_what_is_repacked_at_the_end_says_nothing_of_a_pair() -> None:
    assert replace(OURS, finish=Effort(1, 1.0, 1.0)).pair_ratio is None


def test_speeds_are_by_the_clock_and_by_processor_time() -> None:
    assert OURS.encode is not None
    assert (OURS.encode.speed, OURS.encode.core_speed) == (4.0, 8.0)


def test_results_survive_json() -> None:
    results = [OURS, ABSENT, replace(SMALLER, encode=None, note="a bound")]
    assert loaded(json.loads(json.dumps(dumped(results)))) == results


def test_a_row_that_mvc_loses_names_the_winner() -> None:
    results = Results([OURS, SMALLER, LARGER])
    assert winner(results, "full-fp32", lambda one: one.share) == "**tx**"
    assert lost(results) == ["- full-fp32: mvc 0.500; tx 0.400"]
    assert "**0.400**" in report(results.all)


def test_a_row_that_mvc_wins_is_not_marked() -> None:
    results = Results([LARGER, OURS])
    assert winner(results, "full-fp32", lambda one: one.share) == "mvc"
    assert lost(results) == []


def test_a_failure_of_mvc_is_marked() -> None:
    results = Results([Result("full-fp32", "mvc", failure="it broke"), SMALLER])
    assert lost(results) == ["- full-fp32: mvc fails"]


def test_what_is_not_installed_stays_in_the_table() -> None:
    text = report([OURS, ABSENT])
    assert "not installed" in text
    assert "- borg: borg is not installed" in text


def test_the_best_of_repeated_runs_is_kept() -> None:
    slow = replace(OURS, encode=Effort(1, 9.0, 9.0), decode=Effort(1, 0.1, 0.1), peak=1)
    best = fastest([slow, OURS])
    assert (best.encode, best.decode) == (OURS.encode, slow.decode)
    assert best.peak == OURS.peak
    assert fastest([ABSENT, ABSENT]) == ABSENT


def test_slow_codings_take_part_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "size", 10**9)
    large = History("large", ())
    (slow,) = (name for name, kind in CODINGS.items() if kind.slow)
    assert not takes_part(slow, large, (), timed=True)
    assert takes_part(slow, large, (), timed=False)
    assert takes_part(slow, large, (slow,), timed=True)
    assert all(takes_part(name, large, (), timed=True) for name in DEFAULT if name != slow)


def test_the_chart_is_small_and_well_formed() -> None:
    text = chart([result("mvc", 5e5, history="a & b"), SMALLER, LARGER, ABSENT])
    root = ElementTree.fromstring(text)
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert titles == ["mvc 0.500", "tx 0.400", "xet 0.850"]
    assert len(text) < 50_000


def test_a_failure_is_told_by_its_exception_or_its_last_lines() -> None:
    log = "x: [time] DEBUG - noise\n  File 'a', line 1\nKeyError: 'BF16'\nerror: filter failed"
    assert brief(log) == "KeyError: 'BF16'"
    assert brief("one\ntwo\n\nthree\nfour") == "two / three / four"
