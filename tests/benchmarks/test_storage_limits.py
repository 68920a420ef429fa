from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.results import Result
from benchmarks.storage_limits import Line, limits, lines

RAW = (1000, 1000, 1000)


def result(contender: str, *stored: float, history: str = "full-fp32") -> Result:
    return Result(history, contender, RAW[: len(stored)], stored)


def found(about: str, *results: Result) -> Line:
    (line,) = (line for line in lines(results) if about in line.about)
    return line


def test_a_whole_family_is_held_against_its_limit() -> None:
    line = found("whole family", result("mvc", 800, 280, 294))
    assert line.figure == pytest.approx(0.458)
    assert line.kept
    assert not found("whole family", result("mvc", 800, 280, 400)).kept


def test_a_family_of_another_folder_has_the_same_limit() -> None:
    assert found("whole family", result("mvc", 900, history="second/full-fp32")).limit == 0.458


def test_the_worst_version_is_held_against_whoever_is_smallest_there() -> None:
    ours, tx, xet = result("mvc", 9, 8, 9), result("tx", 9, 9, 6), result("xet", 9, 7, 9)
    line = found("worst version", ours, tx, xet)
    assert (line.against, line.figure) == ("tx", 1.5)
    assert not line.kept


def test_each_pair_of_adamw_snapshots_is_held_against_published_codings() -> None:
    line = found("AdamW pair", result("mvc", 900, 70, 72), result("tx", 900, 100, 100))
    assert (line.figure, line.limit, line.kept) == (pytest.approx(0.28), 0.28, True)


def test_each_merge_is_held_against_whoever_is_smallest() -> None:
    name = "lora-merged-fp32-only"
    ours, tx = result("mvc", 900, 10, 30, history=name), result("tx", 900, 100, 100, history=name)
    line = found("each merge", ours, tx)
    assert (line.figure, line.limit, line.kept) == (pytest.approx(0.7), 0.8, False)


def test_a_model_alone_is_held_against_zipnn_only() -> None:
    ours = result("mvc", 840, history="x-alone")
    others = [result(name, 832, history="x-alone") for name in ("zipnn", "tx")]
    (line,) = lines([ours, *others])
    assert (line.about, line.against) == ("one model, over ZipNN", "zipnn")
    assert line.kept


def test_what_failed_is_held_against_nothing() -> None:
    failed = replace(result("mvc"), failure="it broke")
    assert lines([failed, result("tx", 1, 2)]) == []


def test_a_limit_that_is_missed_is_told_in_bold() -> None:
    text = limits(lines([result("mvc", 900, 900, 900)]))
    assert "**missed**" in text
