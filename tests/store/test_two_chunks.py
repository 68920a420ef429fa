"""Two chunks read together: what both are stored against is decoded once."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.codec.segments import join
from mvc.store import decode
from mvc.store.chunks import Words, load_both, load_bytes_of_both
from mvc.store.object_store import ObjectStore
from tests.store.samples import nudged, open_store, weights
from tests.store.test_chains import put
from tests.store.test_copies import NEW, OLD, Family


@pytest.fixture
def held(tmp_path: Path) -> tuple[ObjectStore, dict[ObjectId, bytes]]:
    """Return a store with two lines of versions from one start, and a chunk beside them."""
    store = open_store(tmp_path)
    found: dict[ObjectId, bytes] = {}

    def add(data: bytes, *bases: ObjectId) -> ObjectId:
        (name,) = put(store, tmp_path, [Words(data, 4, "float", bases)], "default")
        found[name] = data
        return name

    start = add(weights(1, 5000))
    for line in range(2):
        last = start
        for step in range(3):
            last = add(nudged(found[last], 10 * line + step), last)
    add(weights(2, 4000))
    return store, found


def test_any_two_chunks_are_what_they_are_one_by_one(
    held: tuple[ObjectStore, dict[ObjectId, bytes]],
) -> None:
    store, found = held
    for one, two in itertools.product(found, repeat=2):
        sizes = len(found[one]), len(found[two])
        read = load_bytes_of_both(store, (one, two), 4, sizes)
        assert [bytes(side) for side in read] == [found[one], found[two]]


@pytest.mark.parametrize(("one", "two", "records"), [(0, 3, 4), (3, 0, 4), (3, 6, 7), (2, 3, 4)])
def test_what_two_chunks_share_is_decoded_once(
    held: tuple[ObjectStore, dict[ObjectId, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    one: int,
    two: int,
    records: int,
) -> None:
    store, found = held
    calls = []
    original = decode.decoded
    monkeypatch.setattr(decode, "decoded", lambda *rest: calls.append(1) or original(*rest))
    names = list(found)
    load_both(store, names[one], names[two])
    assert len(calls) == records


def test_where_a_copy_is_damaged_another_is_found(tmp_path: Path) -> None:
    family = Family(tmp_path)
    family.spoil(family.base[-1], family.old.id, 1)
    family.spoil(family.delta[-1], family.new.id, 0)
    read = load_both(family.store, family.old.id, family.new.id)
    assert [bytes(join(side, 4)) for side in read] == [OLD, NEW]


def test_a_chunk_of_which_every_copy_is_damaged_is_refused(tmp_path: Path) -> None:
    family = Family(tmp_path)
    for pack in family.base:
        family.spoil(pack, family.old.id, 1)
    with pytest.raises(IntegrityError):
        load_both(family.store, family.old.id, family.new.id)


def test_a_chunk_of_another_size_than_its_tensor_is_refused(
    held: tuple[ObjectStore, dict[ObjectId, bytes]],
) -> None:
    store, found = held
    one, two = list(found)[:2]
    with pytest.raises(IntegrityError, match="another size"):
        load_bytes_of_both(store, (one, two), 4, (len(found[one]), 4))
