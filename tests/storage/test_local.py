from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mvc.base.errors import FormatError, MvcError, NotFoundError, StorageError
from mvc.storage import keys, local
from mvc.storage.base import Storage
from mvc.storage.local import LocalStorage
from tests.storage.contract import StorageContract


class TestLocal(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return LocalStorage(tmp_path / "root")

    def test_two_storages_of_one_folder_agree(self, storage: Storage, tmp_path: Path) -> None:
        other = LocalStorage(tmp_path / "root")
        assert storage.compare_and_swap("refs/a", None, b"1")
        assert not other.compare_and_swap("refs/a", None, b"2")
        assert other.compare_and_swap("refs/a", b"1", b"2")
        assert storage.read("refs/a") == b"2"


class TestLocalWithoutHardLinks(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
        def refuse(*_: object) -> None:
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refuse)
        return LocalStorage(tmp_path / "root")

    def test_of_many_files_one_is_first(self, storage: Storage, tmp_path: Path) -> None:
        won = []

        def write(number: int) -> None:
            path = tmp_path / f"sealed-{number}"
            path.write_bytes(b"%d" % number)
            if storage.write_new("packs/first", path):
                won.append(b"%d" % number)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [storage.read("packs/first")] == won


def test_a_killed_writer_leaves_the_value_and_no_lock(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.compare_and_swap("refs/a", None, b"0" * 4096)
    program = (
        "import sys; from pathlib import Path; from mvc.storage.local import LocalStorage\n"
        "storage = LocalStorage(Path(sys.argv[1])); print('go', flush=True)\n"
        "while True:\n"
        "    old = storage.read('refs/a')\n"
        "    storage.compare_and_swap('refs/a', old, b'%d' % (1 - int(old[:1])) * 4096)\n"
    )
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None
            child.stdout.readline()
            seen = {storage.read("refs/a") for _ in range(200)}
            child.kill()
            child.wait()
        assert seen <= {b"0" * 4096, b"1" * 4096}
        assert storage.compare_and_swap("refs/a", storage.read("refs/a"), b"0" * 4096)
    assert list((tmp_path / "tmp" / "values").iterdir()) == []


def test_a_list_and_a_delete_may_meet(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.compare_and_swap("refs/heads/kept", None, b"1")
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            storage.compare_and_swap("refs/heads/a/b", None, b"1")
            storage.compare_and_swap("refs/heads/a/b", b"1", None)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(300):
            assert "refs/heads/kept" in [item.key for item in storage.list("refs/")]
    finally:
        stop.set()
        thread.join()


def test_deleting_a_pack_while_it_is_read_gives_its_bytes_or_nothing(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write_new("packs/a", b"a" * 1000)
    reader = storage._reader("packs/a")
    storage.delete("packs/a")
    storage.write_new("packs/b", b"b" * 1000)
    assert storage.read_range("packs/b", 0, 3) == b"bbb"
    assert reader.read_at(0, 3) == b"aaa"


def test_few_files_stay_open(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(3 * local.OPEN_FILES):
        storage.write_new(f"packs/{number}", b"x")
        assert storage.read_range(f"packs/{number}", 0, 1) == b"x"
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + local.OPEN_FILES + 1
    storage.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_files_that_are_no_keys_are_not_listed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write_new("refs/heads/a", b"1")
    for name in (".mvc-0123.tmp", "with space", "ä"):
        (tmp_path / "refs" / "heads" / name).write_bytes(b"")
    assert [item.key for item in storage.list("refs/")] == ["refs/heads/a"]


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_plain_files_are_values(tmp_path: Path, kind: str) -> None:
    storage = LocalStorage(tmp_path / "root")
    storage.write_new("refs/other", b"1")
    path = tmp_path / "root" / "refs" / "a"
    if kind == "link":
        path.symlink_to("other")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(StorageError):
        storage.read("refs/a")
    with pytest.raises(MvcError):
        storage.compare_and_swap("refs/a", b"1", b"2")
    assert storage.read("refs/other") == b"1"


@pytest.mark.parametrize("call", ["open", "write", "fsync", "close", "replace"])
def test_a_swap_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    storage = LocalStorage(tmp_path)
    storage.compare_and_swap("refs/a", None, b"old")
    real = getattr(os, call)
    count = 0
    at = 0

    def fail(*args: object, **options: object) -> object:
        nonlocal count
        count += 1
        if count == at:
            if call == "close":
                real(*args)
            raise OSError(errno.EIO, "made to fail")
        return real(*args, **options)

    for _ in range(20):
        at, count = at + 1, 0
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            try:
                done = storage.compare_and_swap("refs/a", b"old", b"new")
            except MvcError:
                done = False
        found = LocalStorage(tmp_path).read("refs/a")
        assert found == b"new" or (found == b"old" and not done)
        if done:
            break
        LocalStorage(tmp_path).compare_and_swap("refs/a", found, b"old")
    else:
        pytest.fail("it never succeeded")


def test_packs_are_named_by_ids() -> None:
    name = "ab" * 32
    assert keys.pack_of(keys.pack_head(name)) == name
    assert keys.pack_of(keys.pack_tail(name)) is None
    assert keys.pack_of(f"packs/pack-{name}.head\n") is None
    for bad in ("", "../" + name[3:], name.upper()):
        with pytest.raises(FormatError):
            keys.pack_head(bad)
        with pytest.raises(FormatError):
            keys.pack_tail(bad)


@pytest.mark.parametrize(
    "name", ["refs/heads/main", "refs/heads/devices/car-17", "refs/tags/ü 100%", "refs/heads/车"]
)
def test_a_ref_is_a_key_and_comes_back(name: str) -> None:
    key = keys.ref(name)
    assert key.isascii()
    assert keys.ref_of(key) == name


@pytest.mark.parametrize("name", ["heads/main", "", "HEAD", "packs/x", "../refs/x"])
def test_a_ref_is_below_refs(name: str) -> None:
    with pytest.raises(FormatError):
        keys.ref(name)


@pytest.mark.parametrize("key", ["refs/heads/%ff", "refs/heads/%41", "refs/heads/%2E", "refs/%zz"])
def test_a_key_that_no_ref_gives_names_none(key: str) -> None:
    with pytest.raises(FormatError):
        keys.ref_of(key)


def test_not_found_names_the_key_and_not_the_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"^there is no refs/a$"):
        LocalStorage(tmp_path).read("refs/a")
