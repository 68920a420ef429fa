from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.objects import canonical
from mvc.store.plan import Limits
from mvc.store.settled import Settled, load

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


def test_what_was_settled_comes_back(tmp_path: Path) -> None:
    kept = Settled(Limits(2.5, 7)).having({ONE, TWO}, set())
    kept.save(tmp_path / "repacked", tmp_path / "staging")
    assert load(tmp_path / "repacked") == kept


def test_packs_come_and_go() -> None:
    assert Settled(Limits(2, 8), frozenset({ONE})).having({TWO, THREE}, {ONE, THREE}).packs == {TWO}


def test_nothing_is_known_without_a_file(tmp_path: Path) -> None:
    assert load(tmp_path / "repacked") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        canonical.encode([2, [2.0, 8], [ONE]]),
        canonical.encode([1, [2.0], [ONE]]),
        canonical.encode([1, ["2", "x"], [ONE]]),
        canonical.encode([1, [2.0, 8], ["../../etc/passwd"]]),
        canonical.encode([1, [2.0, 8], 5]),
        canonical.encode({"a": 1}),
    ],
    ids=range(8),
)
def test_a_file_that_is_no_such_list_counts_as_none(content: bytes, tmp_path: Path) -> None:
    fileio.write_file(tmp_path / "repacked", content, tmp_path / "staging")
    assert load(tmp_path / "repacked") is None
