from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, StorageError
from mvc.base.ids import object_id
from mvc.codec.chunk import Transform
from mvc.storage import keys
from mvc.storage.local import LocalStorage
from mvc.storage.memory import MemoryStorage
from mvc.store.block import Item
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk, PackWriter
from tests.storage.faulty import FaultyStorage
from tests.store.samples import weights
from tests.store.test_pack import record

SHARED = Item(object_id("blob", b"shared"), "blob", b"shared")


def put(store: ObjectStore, root: Path, marker: bytes, records: list[NewChunk]) -> str:
    """Publish a pack of the shared object and more; return its name."""
    own = Item(object_id("blob", marker), "blob", marker)
    with fileio.Workspace(root / "tmp") as space:
        writer = PackWriter(space)
        for item in records:
            writer.add_chunk(item)
        writer.add_object(SHARED)
        writer.add_object(own)
        written = writer.publish(store.storage)
    store.joined(written)
    return written.name


@pytest.fixture
def three(tmp_path: Path) -> tuple[ObjectStore, list[str]]:
    """A store with the same objects in three packs."""
    store = ObjectStore(MemoryStorage(), None)
    return store, [
        put(store, tmp_path, marker, [record(weights(1))]) for marker in (b"1", b"2", b"3")
    ]


def damage(store: ObjectStore, name: str) -> None:
    """Overwrite all but the directory of a head."""
    (place,) = (place for place in store.places(SHARED.id) if place.pack == name)
    key = keys.pack_head(name)
    held = store.storage.read(key)
    store.storage.delete(key)
    store.storage.write_new(key, bytes(place.directory_at) + held[place.directory_at :])


def test_the_latest_place_is_the_first(three: tuple[ObjectStore, list[str]]) -> None:
    store, names = three
    assert [place.pack for place in store.places(SHARED.id)] == names[::-1]
    assert store.locate(SHARED.id).pack == names[-1]
    assert store.chunk_entry(record(weights(1)).id)[0].name == names[-1]


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_another_copy_is_read_where_one_is_damaged_or_gone(
    three: tuple[ObjectStore, list[str]], harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, names = three
    for name in names[1:]:
        if harm == "gone":
            store.storage.delete(keys.pack_head(name))
        else:
            damage(store, name)
    renewed = []
    monkeypatch.setattr(store, "refresh", lambda: renewed.append("refresh") or True)
    monkeypatch.setattr(store, "rebuild", lambda: renewed.append("rebuild"))
    assert store.read(SHARED.id, "blob") == b"shared"
    assert renewed == []


def test_when_no_copy_is_left_the_object_cannot_be_read(
    three: tuple[ObjectStore, list[str]],
) -> None:
    store, names = three
    for name in names:
        damage(store, name)
    with pytest.raises(IntegrityError):
        store.read(SHARED.id, "blob")


def test_a_pack_on_a_failing_disk_is_not_the_only_one(tmp_path: Path) -> None:
    storage = FaultyStorage(MemoryStorage())
    store = ObjectStore(storage, None)
    put(store, tmp_path, b"1", [])
    last = put(store, tmp_path, b"2", [])
    storage.fails = lambda call, key: call == "read_range" and last in key
    assert store.read(SHARED.id, "blob") == b"shared"
    storage.fails = lambda call, key: call == "read_range"
    fresh = ObjectStore(storage, None)
    fresh.index = store.index
    with pytest.raises(StorageError):
        fresh.read(SHARED.id, "blob")


def test_a_pack_that_says_an_object_is_a_chunk_hides_no_other(tmp_path: Path) -> None:
    store = ObjectStore(MemoryStorage(), None)
    put(store, tmp_path, b"1", [])
    with fileio.Workspace(tmp_path / "tmp") as space:
        writer = PackWriter(space)
        writer.add_chunk(record(weights(1), id=SHARED.id))
        store.joined(writer.publish(store.storage))
    assert store.kind(SHARED.id) == "blob"
    assert store.read(SHARED.id, "blob") == b"shared"
    store.rebuild()
    assert store.read(SHARED.id, "blob") == b"shared"


def test_chunks_that_are_deltas_against_each_other_in_two_packs_are_read(tmp_path: Path) -> None:
    one, two = record(weights(1)), record(weights(2))
    noughts = tuple(b"\x00" + bytes(2) for _ in range(2))

    def same_as(item: NewChunk, base: NewChunk) -> NewChunk:
        return record(
            weights(1),
            id=item.id,
            digests=item.digests,
            base=base.id,
            depth=1,
            transform=Transform.INTEGER_DELTA,
            sections=noughts,
        )

    store = ObjectStore(MemoryStorage(), None)
    put(store, tmp_path, b"1", [one, two])
    put(store, tmp_path, b"2", [same_as(one, two)])
    put(store, tmp_path, b"3", [same_as(two, one)])
    for item in (one, two):
        _, entry = store.chunk_entry(item.id)
        assert (entry.depth, entry.base is None) == (1, False)
        _, entry = store.chunk_entry(item.id, entry.depth)
        assert (entry.depth, entry.base) == (0, None)
    with pytest.raises(IntegrityError, match="impossible chain"):
        store.chunk_entry(one.id, 0)


def test_threads_that_miss_the_same_pack_all_look_again_whoever_indexed_the_new_one(
    tmp_path: Path,
) -> None:
    chunk = record(weights(1))
    store = ObjectStore(LocalStorage(tmp_path), tmp_path / "index.sqlite")
    other = ObjectStore(LocalStorage(tmp_path), tmp_path / "index.sqlite")
    old = put(store, tmp_path, b"0", [chunk])
    store.refresh()
    assert not store.refresh()
    new = put(other, tmp_path, b"1", [chunk])
    other.index.remove([old])
    for key in (keys.pack_head(old), keys.pack_tail(old)):
        other.storage.delete(key)
    told: list[bool] = []
    for _ in range(2):
        thread = Thread(target=lambda: told.append(store.refresh()))
        thread.start()
        thread.join()
    assert [*told, store.refresh(), store.refresh()] == [True, True, True, False]
    assert store.chunk_entry(chunk.id)[0].name == new
    store.close()
    other.close()
