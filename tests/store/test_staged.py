"""Chunks of a transaction under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError
from mvc.storage.local import LocalStorage
from mvc.store.chunks import Words, load_bytes
from mvc.store.object_store import ObjectStore
from mvc.store.transaction import Transaction
from tests.e2e.world import nudged, weights


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(LocalStorage(tmp_path), tmp_path / "index.sqlite")


def test_a_chunk_can_be_read_before_its_pack_has_a_name(store: ObjectStore, tmp_path: Path) -> None:
    data = weights(1, 40_000)
    with Transaction(store, tmp_path / "tmp") as tx:
        (name,) = tx.put_chunks([Words(data, 4, "float")])
        assert store.contains(name)
        assert bytes(load_bytes(store, name, 4, len(data))) == data
        assert store.index.kind(name) is None
        tx.commit()
    assert not store.staged
    assert bytes(load_bytes(store, name, 4, len(data))) == data


def test_a_chunk_can_be_a_difference_from_one_of_its_own_transaction(
    store: ObjectStore, tmp_path: Path
) -> None:
    data = weights(1, 40_000)
    near = nudged(data, 2, 1e-7)
    with Transaction(store, tmp_path / "tmp") as tx:
        (base,) = tx.put_chunks([Words(data, 4, "float")])
        (name,) = tx.put_chunks([Words(near, 4, "float", (base,))])
        tx.commit()
    _, entry = store.chunk_entry(name)
    assert (entry.base, entry.depth) == (base, 1)
    assert bytes(load_bytes(store, name, 4, len(data))) == near


def test_what_is_dropped_is_gone(store: ObjectStore, tmp_path: Path) -> None:
    with Transaction(store, tmp_path / "tmp") as tx:
        (name,) = tx.put_chunks([Words(weights(1, 4000), 4, "float")])
    assert not store.staged
    assert not store.contains(name)


def test_a_damaged_staged_file_is_noticed(store: ObjectStore, tmp_path: Path) -> None:
    data = weights(1, 40_000)
    with Transaction(store, tmp_path / "tmp") as tx:
        (name,) = tx.put_chunks([Words(data, 4, "float")])
        for entry in fileio.walk_files(tmp_path / "tmp", ()):
            path = (tmp_path / "tmp").joinpath(*entry.parts)
            if path.name.startswith("staged-"):
                path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(IntegrityError):
            load_bytes(store, name, 4, len(data))
