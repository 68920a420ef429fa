"""The list of tails that are elsewhere, and a storage that knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base.errors import NotFoundError, TailAwayError, UsageError
from mvc.storage import keys
from mvc.storage.memory import MemoryStorage
from mvc.store.tails import Offloaded, OffloadingStorage

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def listing(tmp_path: Path) -> Offloaded:
    return Offloaded(tmp_path / "offloaded", tmp_path / "tmp")


def test_the_list_is_read_by_others_as_it_was_written(listing: Offloaded, tmp_path: Path) -> None:
    assert listing.packs() == {}
    listing.add([ONE, TWO], "/mnt/a folder/ü")
    listing.add([THREE], "/other")
    again = Offloaded(tmp_path / "offloaded", tmp_path / "tmp")
    assert again.packs() == {ONE: "/mnt/a folder/ü", TWO: "/mnt/a folder/ü", THREE: "/other"}
    again.remove([ONE, TWO])
    assert listing.packs() == {THREE: "/other"}
    listing.remove([THREE])
    assert not (tmp_path / "offloaded").exists()
    assert again.packs() == {}


def test_lines_that_are_no_entries_are_passed_over(listing: Offloaded, tmp_path: Path) -> None:
    listing.add([ONE], "/there")
    path = tmp_path / "offloaded"
    lines = ["", "{", "[]", "3", '{"pack": "x", "source": "/a"}', '{"pack": 3}', "[" * 5000]
    path.write_text(path.read_text() + "\n".join(lines) + "\n\udcff"[:1])
    assert listing.packs() == {ONE: "/there"}


def test_a_path_with_a_line_break_is_refused(listing: Offloaded) -> None:
    with pytest.raises(UsageError):
        listing.add([ONE], "/a\nb")


def test_a_tail_that_is_missing_is_told_apart_from_one_that_is_elsewhere(
    listing: Offloaded,
) -> None:
    inner = MemoryStorage()
    storage = OffloadingStorage(inner, listing.packs)
    listing.add([ONE, TWO], "/there")
    inner.write_new(keys.pack_tail(TWO), b"0123")
    assert storage.read_range(keys.pack_tail(TWO), 1, 2) == b"12"
    for read in (storage.read, lambda key: storage.read_range(key, 0, 1)):
        with pytest.raises(TailAwayError, match="/there"):
            read(keys.pack_tail(ONE))
        for key in (keys.pack_tail(THREE), keys.pack_head(ONE), "HEAD"):
            with pytest.raises(NotFoundError) as caught:
                read(key)
            assert not isinstance(caught.value, TailAwayError)
