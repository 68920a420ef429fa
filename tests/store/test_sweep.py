"""A pack goes only where what it holds is whole elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.storage import keys
from mvc.store import sweep
from mvc.store.census import census
from tests.store.test_copies import Family


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


def going(family: Family, doomed: set[str], known: set[str]) -> set[str]:
    packs = sweep.sound(family.store, census(family.store), doomed, known)
    wanted = {family.old.id, family.new.id}
    return sweep.removable(packs, doomed, lambda item: item in wanted)


@pytest.mark.parametrize("number", [0, 1], ids=["head", "tail"])
def test_a_damaged_copy_does_not_stand_in_for_a_whole_one(family: Family, number: int) -> None:
    known = {*family.base, *family.delta}
    doomed = {family.base[1], family.delta[1]}
    assert going(family, doomed, known) == doomed
    family.spoil(family.base[0], family.old.id, number)
    assert going(family, doomed, known) == {family.delta[1]}
    family.spoil(family.delta[0], family.new.id, number)
    assert going(family, doomed, known) == set()
    family.check()


def test_what_was_written_since_is_not_read_again(family: Family) -> None:
    doomed = {family.base[1], family.delta[1]}
    census(family.store)
    family.storage.calls.clear()
    packs = census(family.store)
    before = len(family.storage.calls)
    assert sweep.sound(family.store, packs, doomed, doomed) == packs
    assert len(family.storage.calls) == before


def test_only_copies_of_what_goes_are_read(family: Family) -> None:
    packs = census(family.store)
    family.storage.calls.clear()
    sweep.sound(family.store, packs, {family.delta[1]}, packs)
    assert {key for _, key in family.storage.calls} <= {
        path for name in family.delta for path in (keys.pack_head(name), keys.pack_tail(name))
    }
