from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import storage, storage_versions
from benchmarks.histories import File, History, Version
from benchmarks.results import Effort, Result
from benchmarks.storage import Earlier, merged, read, save


@pytest.fixture
def history(tmp_path: Path) -> History:
    file = tmp_path / "model"
    file.write_bytes(b"weights")
    return History("one", (Version((File(file, "model"),)),))


@pytest.fixture(autouse=True)
def _releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "version", lambda name: f"{name} 2")


def earlier(history: History, **changes: str) -> Result:
    known = Result(history.name, "tx", (7,), (3.0,), version="tx 2", digest=history.digest)
    return replace(known, **changes)


def test_an_earlier_result_is_taken(history: History) -> None:
    known = earlier(history)
    assert Earlier([known], timed=False).get(history, "tx") == known


@pytest.mark.parametrize("stale", [{"version": "tx 1"}, {"digest": "other"}, {"contender": "xet"}])
def test_a_result_of_another_release_or_other_files_is_not_taken(
    history: History, stale: dict[str, str]
) -> None:
    assert Earlier([earlier(history, **stale)], timed=False).get(history, "tx") is None


def test_a_result_without_times_is_not_taken_where_times_are_asked_for(history: History) -> None:
    plain = earlier(history)
    timed = replace(plain, encode=Effort(7, 1.0, 1.0))
    assert Earlier([plain], timed=True).get(history, "tx") is None
    assert Earlier([timed], timed=True).get(history, "tx") == timed


def test_new_results_take_the_place_of_old_ones_and_leave_the_others(history: History) -> None:
    old, other = earlier(history, version="tx 1"), earlier(history, contender="xet")
    new = earlier(history)
    assert merged([old, other], [new]) == [new, other]


def test_results_are_read_as_they_were_saved(history: History, tmp_path: Path) -> None:
    results = [earlier(history), earlier(history, contender="xet", made="2026-01-01 00:00")]
    save(tmp_path / "results.json", results)
    assert read(tmp_path / "results.json") == results


def test_the_digest_of_a_history_knows_content_names_and_order(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    a, b = (Version((File(path, "model"),)) for path in paths)
    other = Version((File(paths[0], "other"),))
    every = [(a, b), (b, a), (a,), (other, b), (a, replace(b, start=0))]
    assert len({History("h", versions).digest for versions in every}) == len(every)


def test_a_program_that_is_not_there_has_an_unknown_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert storage_versions.version("borg") == storage_versions.UNKNOWN


def test_the_release_of_mvc_says_what_its_sources_are() -> None:
    assert ", sources " in storage_versions.version("mvc")
