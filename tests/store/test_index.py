from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MissingObjectError, MvcError, StorageError
from mvc.base.ids import ObjectId, object_id
from mvc.storage.local import LocalStorage
from mvc.store import index as module
from mvc.store.index import Index
from mvc.store.object_store import ObjectStore
from mvc.store.rows import Row, Written
from tests.storage.faulty import FaultyStorage
from tests.store.samples import Saved, open_store, save

PACK = Written("ab" * 32, 8, 1000, (Row(ObjectId(b"\x01" * 32), "blob", 5, 2),))


@pytest.fixture
def filled(tmp_path: Path) -> Saved:
    saved = Saved()
    for seed in (1, 2):
        store = open_store(tmp_path)
        save(store, tmp_path, seed, saved)
        store.close()
    return saved


def test_an_indexed_object_is_found() -> None:
    index = Index(None)
    index.add([PACK, PACK])
    found = index.find(PACK.rows[0].id)
    assert found == [("blob", PACK.name, 8, 1000, 5, 2)]
    assert index.kind(PACK.rows[0].id) == "blob"
    assert index.find(ObjectId(bytes(32))) == []
    assert index.kind(ObjectId(bytes(32))) is None
    assert index.packs() == {PACK.name}
    assert index.counts() == {"blob": 1}
    index.remove([PACK.name, "cd" * 32])
    assert index.find(PACK.rows[0].id) == []
    assert index.packs() == set()


def several() -> Index:
    """An index of one object in three packs, and one pack's claim that it is a chunk."""
    index = Index(None)
    (row,) = PACK.rows
    index.add([PACK])
    index.add([Written("cd" * 32, 8, 2000, (row._replace(at=6), Row(ONE, "chunk", 7)))])
    index.add([Written("12" * 32, 8, 3000, (row._replace(kind="chunk", at=9),))])
    return index


ONE = ObjectId(b"\x02" * 32)


def test_an_object_in_several_packs_has_several_places_the_latest_first() -> None:
    index = several()
    wanted = PACK.rows[0].id
    assert [place.pack[:2] for place in index.find(wanted)] == ["12", "cd", "ab"]
    assert [place.at for place in index.find(wanted)] == [9, 6, 5]
    assert index.counts() == {"blob": 1, "chunk": 1}
    assert index.kind(wanted) == "blob"
    found = index.prefixed(bytes(32), b"\xff" * 32, 16)
    assert [place.kind for place in found] == ["blob", "chunk"]
    assert index.prefixed(bytes(32), b"\xff" * 32, 1) == found[:1]
    index.close()


def test_forgetting_a_pack_keeps_the_other_places() -> None:
    index = several()
    wanted = PACK.rows[0].id
    index.remove(["cd" * 32])
    assert [place.pack[:2] for place in index.find(wanted)] == ["12", "ab"]
    assert index.find(ONE) == []
    index.remove(["12" * 32, "ab" * 32, "ef" * 32])
    assert index.find(wanted) == []
    assert index.kind(wanted) is None
    assert index.counts() == {}
    index.close()


def test_the_place_of_another_object_is_not_taken_for_one(tmp_path: Path, filled: Saved) -> None:
    store = open_store(tmp_path)
    name = next(iter(filled.objects))
    alike = ObjectId(name[:16] + bytes(16))
    assert store.prefixed(alike.hex()) == []
    assert store.prefixed(name.hex()[:32]) == [(name, "blob")]
    with pytest.raises(MvcError, match="cannot be read"):
        store.read(alike, "blob")
    filled.check(store)
    store.close()


def test_a_chunk_whose_id_begins_alike_is_not_taken_to_be_there(
    tmp_path: Path, filled: Saved
) -> None:
    store = open_store(tmp_path)
    name = next(iter(filled.chunks))
    alike = ObjectId(name[:16] + bytes(16))
    assert store.has_chunk(name)
    assert not store.has_chunk(alike)
    assert not store.has_chunk(ObjectId(bytes(32)))
    store.close()


def test_thousands_of_packs_are_forgotten_at_once() -> None:
    index = Index(None)
    (row,) = PACK.rows
    names = [number.to_bytes(32, "big").hex() for number in range(1200)]
    index.add(Written(name, 8, 1000, (row,)) for name in names)
    assert len(index.find(row.id)) == 1200
    index.remove(names[1:])
    assert [place.pack for place in index.find(row.id)] == names[:1]
    index.close()


def test_an_index_of_the_first_version_is_made_anew(tmp_path: Path, filled: Saved) -> None:
    path = tmp_path / "index.sqlite"
    path.unlink()
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE packs (number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,"
        " directory_at INTEGER NOT NULL, head_bytes INTEGER NOT NULL);"
        "CREATE TABLE objects (id BLOB PRIMARY KEY, kind INTEGER NOT NULL, pack INTEGER NOT NULL,"
        " at INTEGER NOT NULL, place INTEGER NOT NULL) WITHOUT ROWID;"
        "INSERT INTO packs VALUES (1, 'ab', 8, 1000);"
        "PRAGMA user_version = 1"
    )
    db.close()
    store = open_store(tmp_path)
    filled.check(store)
    assert len(store.index.packs()) == 2
    store.close()


def test_a_prefix_finds_what_starts_with_it(tmp_path: Path, filled: Saved) -> None:
    store = open_store(tmp_path)
    name = next(iter(filled.objects))
    assert store.prefixed(name.hex()) == [(name, "blob")]
    assert (name, "blob") in store.prefixed(name.hex()[:4])
    assert store.prefixed("0" * 64) == []
    store.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "text", "zeros"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, filled: Saved, damage: str) -> None:
    path = tmp_path / "index.sqlite"
    whole = path.read_bytes()
    path.unlink()
    broken = {
        "empty": b"",
        "garbage": bytes(range(256)) * 40,
        "truncated": whole[: len(whole) // 2],
        "text": b"SQLite format 3\0" + b"not at all" * 100,
        "zeros": bytes(len(whole)),
    }
    if damage != "missing":
        path.write_bytes(broken[damage])
    store = open_store(tmp_path)
    filled.check(store)
    store.close()
    again = Index(path)
    assert len(again.packs()) == 2
    again.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE objects",
        "DROP TABLE packs",
        "DROP TABLE objects; DROP TABLE packs; CREATE TABLE objects (x); CREATE TABLE packs (x)",
        "DELETE FROM objects",
        "DELETE FROM packs",
        "DELETE FROM packs; DELETE FROM objects",
        "DELETE FROM packs WHERE number = 1",
        "UPDATE objects SET pack = 3 - pack",
        "UPDATE objects SET pack = 99",
        "UPDATE objects SET at = at + 1",
        "UPDATE objects SET at = 1000000000",
        "UPDATE objects SET at = -1000",
        "UPDATE objects SET place = place + 1",
        "UPDATE objects SET kind = 99",
        "UPDATE objects SET kind = 'text'",
        "UPDATE objects SET kind = (kind + 1) % 8",
        "UPDATE packs SET directory_at = 8",
        "UPDATE packs SET head_bytes = 8",
        "UPDATE packs SET name = 'cd' || name",
        "PRAGMA user_version = 7",
    ],
)
def test_an_index_that_lies_is_made_anew(tmp_path: Path, filled: Saved, statement: str) -> None:
    db = sqlite3.connect(tmp_path / "index.sqlite")
    db.executescript(statement)
    db.close()
    store = open_store(tmp_path)
    filled.check(store)
    store.close()


def test_a_flipped_byte_in_the_index_never_hurts(tmp_path: Path, filled: Saved) -> None:
    path = tmp_path / "index.sqlite"
    whole = path.read_bytes()
    for at in sorted({*range(100), *range(0, len(whole), 149)}):
        broken = bytearray(whole)
        broken[at] ^= 1 << (at % 8)
        path.write_bytes(broken)
        store = open_store(tmp_path)
        filled.check(store)
        store.close()


def test_an_index_behind_the_packs_catches_up(tmp_path: Path) -> None:
    one, two, saved = open_store(tmp_path), open_store(tmp_path), Saved()
    save(one, tmp_path, 1, saved)
    saved.check(two)
    (tmp_path / "index.sqlite").unlink()
    three = open_store(tmp_path)
    saved.check(three)
    for store in (one, two, three):
        store.close()


def test_a_pack_that_is_gone_is_forgotten(tmp_path: Path, filled: Saved) -> None:
    store = open_store(tmp_path)
    for path in (tmp_path / "packs").iterdir():
        path.unlink()
    assert store.refresh()
    assert store.index.counts() == {}
    with pytest.raises(MissingObjectError):
        store.locate(next(iter(filled.chunks)))
    store.close()


def test_a_pack_replaced_by_another_process_is_found_again(tmp_path: Path) -> None:
    reader, writer, saved = open_store(tmp_path), open_store(tmp_path), Saved()
    save(writer, tmp_path, 1, saved)
    saved.check(reader)
    storage = LocalStorage(tmp_path)
    for path in (tmp_path / "packs").iterdir():
        path.unlink()
    writer.refresh()
    again = Saved()
    save(writer, tmp_path, 1, again)
    save(writer, tmp_path, 2, again)
    fresh = ObjectStore(storage, tmp_path / "index.sqlite")
    saved.check(fresh)
    saved.check(reader)
    for store in (reader, writer, fresh):
        store.close()


def test_a_repository_that_cannot_be_written_is_read(
    tmp_path: Path, filled: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._connect

    def read_only(target: str, *, durable: bool = True) -> sqlite3.Connection:
        db = real(target, durable=durable)
        if target != ":memory:":
            db.execute("PRAGMA query_only = ON")
        return db

    behind = Index(tmp_path / "index.sqlite")
    behind.remove(list(behind.packs())[:1])
    behind.close()
    before = (tmp_path / "index.sqlite").read_bytes()
    monkeypatch.setattr(module, "_connect", read_only)
    store = open_store(tmp_path)
    filled.check(store)
    store.refresh()
    assert len(store.index.packs()) == 2
    store.close()
    assert (tmp_path / "index.sqlite").read_bytes() == before


@pytest.mark.parametrize("content", [None, b"garbage" * 1000])
def test_an_index_in_a_folder_that_cannot_be_written_stays_in_memory(
    tmp_path: Path, filled: Saved, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "index.sqlite"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)

    def refuse(path: Path) -> None:
        raise StorageError(f"cannot remove {path}")

    monkeypatch.setattr(fileio, "remove", refuse)
    store = open_store(tmp_path)
    filled.check(store)
    store.close()


def test_a_busy_index_is_an_error_of_ours_and_is_not_thrown_away(
    tmp_path: Path, filled: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.01)
    holder = sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)
    index = Index(tmp_path / "index.sqlite")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError):
        index.add([PACK])
    holder.execute("COMMIT")
    index.add([PACK])
    assert len(index.packs()) == 3
    index.close()
    holder.close()


def test_threads_share_an_index(tmp_path: Path, filled: Saved) -> None:
    store = open_store(tmp_path)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                filled.check(store)
                store.rebuild()
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    store.close()


def test_one_unreadable_pack_leaves_the_others_readable(tmp_path: Path, filled: Saved) -> None:
    names = Index(tmp_path / "index.sqlite")
    bad = sorted(names.packs())[0]
    names.close()
    storage = FaultyStorage(LocalStorage(tmp_path))
    storage.fails = lambda call, key: call == "read_range" and bad in key
    store = ObjectStore(storage, None)
    store.refresh()
    assert list(store.damaged) == [bad]
    good = 0
    for name, (kind, content) in filled.objects.items():
        try:
            assert store.read(name, kind) == content
            good += 1
        except MvcError:
            pass
    assert good == 4
    storage.fails = lambda call, key: False
    store.rebuild()
    filled.check(store)


def test_a_list_that_fails_is_not_an_empty_list(tmp_path: Path, filled: Saved) -> None:
    storage = FaultyStorage(LocalStorage(tmp_path))
    store = ObjectStore(storage, tmp_path / "index.sqlite")
    storage.fails = lambda call, key: call == "list"
    with pytest.raises(StorageError):
        store.refresh()
    assert len(store.index.packs()) == 2
    store.close()


def test_an_object_is_not_read_as_another_kind(tmp_path: Path, filled: Saved) -> None:
    store = open_store(tmp_path)
    name = next(iter(filled.objects))
    with pytest.raises(IntegrityError, match="is a blob, not a tree"):
        store.read(name, "tree")
    chunk = next(iter(filled.chunks))
    with pytest.raises(IntegrityError):
        store.read(chunk, "blob")
    with pytest.raises(IntegrityError):
        store.chunk_entry(name)
    store.close()


def test_what_is_missing_is_named(tmp_path: Path, filled: Saved) -> None:
    store = open_store(tmp_path)
    name = object_id("blob", b"nowhere")
    assert store.kind(name) is None
    assert not store.contains(name)
    with pytest.raises(MissingObjectError, match=name.hex()[:12]) as caught:
        store.read(name, "blob")
    assert "fsck" in (caught.value.hint or "")
    store.close()
