from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MissingObjectError, MvcError
from mvc.base.ids import object_id
from mvc.storage.local import LocalStorage
from mvc.store import chunks, transaction
from mvc.store.chunks import Words
from mvc.store.object_store import ObjectStore
from mvc.store.transaction import Transaction
from tests.storage.faulty import FaultyStorage
from tests.store.samples import Saved, blob, fill, open_store, save, weights


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def left_over(root: Path) -> list[str]:
    return [name for name in fileio.names(root / "tmp") if name.startswith(("tx-", "staged-"))]


def check_clean(root: Path, saved: Saved) -> None:
    """Reopen as another process would, with the index and without it."""
    for index in (True, False):
        if not index:
            (root / "index.sqlite").unlink(missing_ok=True)
        store = open_store(root)
        store.refresh()
        assert store.damaged == {}
        saved.check(store)
        store.close()


def test_what_was_committed_is_there_for_others(tmp_path: Path) -> None:
    store, saved = open_store(tmp_path), Saved()
    save(store, tmp_path, 1, saved)
    save(store, tmp_path, 2, saved)
    saved.check(store)
    store.close()
    check_clean(tmp_path, saved)
    assert left_over(tmp_path) == []


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    store, other, saved = open_store(tmp_path), open_store(tmp_path), Saved()
    with Transaction(store, tmp_path / "tmp") as tx:
        fill(tx, 1, saved, weights(1))
        for name in (*saved.chunks, *saved.objects):
            assert other.kind(name) is None
        tx.commit()
    saved.check(other)
    store.close()
    other.close()


@pytest.mark.parametrize("how", ["left", "error", "closed"])
def test_an_aborted_transaction_leaves_nothing(tmp_path: Path, how: str) -> None:
    store = open_store(tmp_path)
    before = open_files()
    tx = Transaction(store, tmp_path / "tmp")
    fill(tx, 1, Saved(), weights(1))
    if how == "left":
        with tx:
            pass
    elif how == "closed":
        tx.close()
        tx.close()
    else:
        with pytest.raises(KeyError), tx:
            raise KeyError
    assert open_files() == before
    assert left_over(tmp_path) == []
    assert fileio.names(tmp_path / "packs") == []
    store.close()


def test_an_empty_transaction_writes_no_pack(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with Transaction(store, tmp_path / "tmp") as tx:
        tx.commit()
    assert fileio.names(tmp_path / "packs") == []
    store.close()


def test_what_is_stored_is_not_stored_again(tmp_path: Path) -> None:
    store, saved = open_store(tmp_path), Saved()
    save(store, tmp_path, 1, saved)
    packs = fileio.names(tmp_path / "packs")
    save(store, tmp_path, 1, Saved())
    assert fileio.names(tmp_path / "packs") == packs
    with Transaction(store, tmp_path / "tmp") as tx:
        one = list(tx.put_chunks([Words(weights(9), 4, "float")] * 3))
        assert len({*one}) == 1
        assert tx.put(blob(1)) == tx.put(blob(1))
        tx.commit()
    assert store.index.counts()["chunk"] == 2
    store.close()


def test_a_big_transaction_makes_several_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "PACK_BYTES", 4000)
    store, saved = open_store(tmp_path), Saved()
    before = open_files()
    with Transaction(store, tmp_path / "tmp") as tx:
        for seed in range(6):
            data = weights(seed)
            (name,) = tx.put_chunks([Words(data, 4, "float")])
            saved.chunks[name] = data
        tx.commit()
    assert len(store.index.packs()) > 2
    assert open_files() <= before + 6
    store.close()
    check_clean(tmp_path, saved)


def test_what_does_not_decode_to_the_same_bits_is_never_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mvc.codec import section

    real = section.encode
    monkeypatch.setattr(section, "encode", lambda part, *rest: real(part[::-1].copy(), *rest))
    store = open_store(tmp_path)
    with Transaction(store, tmp_path / "tmp") as tx, pytest.raises(IntegrityError):
        list(tx.put_chunks([Words(weights(1), 4, "float")]))
    assert fileio.names(tmp_path / "packs") == []
    store.close()


def test_a_damaged_pack_of_the_same_name_does_not_pass_for_a_new_one(tmp_path: Path) -> None:
    store, saved = open_store(tmp_path), Saved()
    save(store, tmp_path, 1, saved)
    store.close()
    for end in ("head", "tail"):
        (path,) = (tmp_path / "packs").glob(f"*.{end}")
        whole = path.read_bytes()
        for broken in (whole[:-1], whole + b"x", whole[:-60] + b"?" + whole[-59:]):
            path.write_bytes(broken)
            (tmp_path / "index.sqlite").unlink(missing_ok=True)
            store = open_store(tmp_path)
            with pytest.raises(IntegrityError, match="there already and damaged"):
                _same_pack(store, tmp_path)
            store.close()
        path.write_bytes(whole)


def _same_pack(store: ObjectStore, root: Path) -> None:
    store.contains = lambda wanted: False  # type: ignore[method-assign]
    store.has_chunk = lambda wanted: False  # type: ignore[method-assign]
    save(store, root, 1, Saved())


def test_an_intact_pack_of_the_same_name_is_as_good(tmp_path: Path) -> None:
    store, saved = open_store(tmp_path), Saved()
    save(store, tmp_path, 1, saved)
    _same_pack(store, tmp_path)
    assert len(fileio.names(tmp_path / "packs")) == 2
    store.close()
    check_clean(tmp_path, saved)


def test_a_base_that_cannot_be_read_costs_space_and_nothing_else(tmp_path: Path) -> None:
    store, saved = open_store(tmp_path), Saved()
    save(store, tmp_path, 1, saved)
    store.close()
    (tail,) = (tmp_path / "packs").glob("*.tail")
    tail.unlink()
    store = open_store(tmp_path)
    (base,) = saved.chunks
    prepared = chunks.prepare(store, Words(weights(3), 4, "float", (base,)))
    assert prepared.new is not None
    assert prepared.new.base is None
    store.close()


CALLS = ["open", "write", "fsync", "close", "link", "unlink", "mkdir", "pread", "replace"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_fault_at_any_call_leaves_the_old_objects_and_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    saved = Saved()
    store = open_store(tmp_path)
    save(store, tmp_path, 1, saved)
    real: Any = getattr(os, call)
    state = {"count": 0, "at": 0}

    def fail(*args: Any, **options: Any) -> Any:
        state["count"] += 1
        if state["count"] == state["at"]:
            if call == "close":
                real(*args, **options)
            raise OSError(number, "made to fail")
        return real(*args, **options)

    for at in range(1, 80):
        state.update(count=0, at=at)
        new = Saved(dict(saved.chunks), {})
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            try:
                save(store, tmp_path, 1000 + at, new)
                failed = False
            except MvcError:
                failed = True
        check_clean(tmp_path, saved)
        if not failed:
            check_clean(tmp_path, new)
        if state["count"] < at:
            break
    else:
        pytest.fail("there is no end to the calls")
    store.close()
    fileio.reap(tmp_path / "tmp")
    assert left_over(tmp_path) == []


def test_a_storage_that_fails_at_any_call_leaves_the_old_objects(tmp_path: Path) -> None:
    saved = Saved()
    storage = FaultyStorage(LocalStorage(tmp_path))
    store = open_store(tmp_path, storage)
    save(store, tmp_path, 1, saved)
    for at in range(1, 60):
        start = len(storage.calls)
        storage.fails = lambda call, key, stop=start + at: len(storage.calls) == stop
        new = Saved(dict(saved.chunks), {})
        try:
            save(store, tmp_path, 1000 + at, new)
            failed = False
        except MvcError:
            failed = True
        storage.fails = lambda call, key: False
        check_clean(tmp_path, saved if failed else new)
        assert left_over(tmp_path) == []
        if len(storage.calls) < start + at:
            break
    else:
        pytest.fail("there is no end to the calls")
    store.close()


PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.store.samples import Saved, open_store, save
root, name, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = open_store(root)
real, count = getattr(os, name), 0
def die(*args, **options):
    global count
    count += 1
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)
setattr(os, name, die)
save(store, root, 7, Saved())
setattr(os, name, real)
print("done", flush=True)
"""


@pytest.mark.parametrize("call", ["write", "fsync", "link", "unlink"])
def test_a_writer_killed_at_any_call_leaves_a_clean_store(tmp_path: Path, call: str) -> None:
    saved = Saved()
    store = open_store(tmp_path)
    save(store, tmp_path, 1, saved)
    store.close()
    killed = 0
    for at in (1, 2, 3, *random.Random(call).sample(range(4, 13), 2)):
        child = subprocess.run(
            [sys.executable, "-c", PROGRAM, tmp_path, call, str(at)],
            capture_output=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert child.returncode in (0, -9), child.stderr.decode()
        killed += child.returncode == -9
        check_clean(tmp_path, saved)
        if child.returncode == 0:
            break
    assert killed
    store = open_store(tmp_path)
    save(store, tmp_path, 8, saved)
    store.close()
    check_clean(tmp_path, saved)
    assert left_over(tmp_path) == []


def test_writers_in_several_processes_do_not_disturb_each_other(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.store.samples import Saved, open_store, save\n"
        "root, saved = Path(sys.argv[1]), Saved()\nstore = open_store(root)\n"
        "for seed in range(6):\n    save(store, root, seed * 10 + int(sys.argv[2]) // 2, saved)\n"
        "saved.check(store)\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path, str(number)],
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for number in range(4)
    ]
    for child in children:
        _, said = child.communicate()
        assert child.returncode == 0, said.decode()
    saved, store = Saved(), open_store(tmp_path / "alone")
    for seed in range(6):
        save(store, tmp_path / "alone", seed * 10, saved)
    store.close()
    for name in saved.objects:
        whole = open_store(tmp_path)
        assert whole.read(name, saved.objects[name][0]) == saved.objects[name][1]
        whole.close()
    assert left_over(tmp_path) == []


def test_a_transaction_that_was_never_committed_is_missing_by_name(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with Transaction(store, tmp_path / "tmp") as tx:
        name = tx.put(blob(1))
    assert name == object_id("blob", blob(1).encode())
    with pytest.raises(MissingObjectError):
        store.read(name, "blob")
    store.close()
