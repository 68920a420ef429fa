"""Refs that moved together are in one file, and each is always somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.base.errors import FormatError, IntegrityError, MvcError
from mvc.repo.repository import Repository
from mvc.storage.base import Storage, Swap
from mvc.storage.local import PACKING, PLAIN, LocalStorage
from mvc.storage.memory import MemoryStorage

ID = b"%064d\n"
NAMES = [f"refs/heads/n{number}" for number in range(20)]
Move = tuple[int, bool, int | None]
MOVES = st.tuples(
    st.integers(0, 30), st.sampled_from([True, True, True, False]), st.none() | st.integers(0, 3)
)


def moved(storage: Storage, old: bytes | None, new: bytes | None) -> None:
    assert storage.swap_all([Swap(name, old, new) for name in NAMES]) == (True,) * len(NAMES)


@pytest.mark.parametrize("local", [True, False])
@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.lists(MOVES, min_size=1, max_size=24), max_size=6))
def test_refs_are_where_they_were_moved_to(
    local: bool, rounds: list[list[Move]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    storage = LocalStorage(tmp_path_factory.mktemp("root")) if local else MemoryStorage()
    model: dict[str, bytes] = {}
    for moves in rounds:
        swaps, expected = [], []
        for name, right, value in moves:
            key = f"refs/heads/{name}"
            new = None if value is None else ID % value
            swaps.append(Swap(key, model.get(key) if right else ID % 77, new))
            expected.append(right)
            if right and new is None:
                model.pop(key, None)
            elif right and new is not None:
                model[key] = new
        if len(moves) > 2:
            assert list(storage.swap_all(swaps)) == expected
        else:
            assert [storage.compare_and_swap(*swap) for swap in swaps] == expected
        assert storage.values("refs/") == dict(sorted(model.items()))
        assert [item.key for item in storage.list("refs/")] == sorted(model)
        if isinstance(storage, LocalStorage) and len(moves) % 2:
            storage.pack_refs()


def test_the_format_says_so_and_a_repository_opens_all_the_same(tmp_path: Path) -> None:
    with Repository.init(tmp_path, bare=True) as repo:
        assert (tmp_path / "format").read_bytes() == PLAIN
        moved(repo.storage, None, ID % 1)
        assert (tmp_path / "format").read_bytes() == PACKING
    lines = (tmp_path / "packed-refs").read_bytes().splitlines(keepends=True)
    assert lines[:-1] == [ID[:-1] % 1 + b" " + name.encode() + b"\n" for name in sorted(NAMES)]
    with Repository(tmp_path, None) as repo:
        assert list(repo.refs.all()) == sorted(NAMES)
    (tmp_path / "format").write_bytes(b"mvc repository 3\n")
    with pytest.raises(FormatError):
        Repository(tmp_path, None)


def test_packing_takes_in_the_files_of_refs(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for name in NAMES[:15]:
        storage.compare_and_swap(name, None, ID % 1)
    assert storage.pack_refs() == 0
    storage.compare_and_swap("refs/tags/damaged", None, b"short")
    storage.compare_and_swap("refs/heads/dev/a", None, ID % 2)
    assert storage.pack_refs() == 16
    assert [path.name for path in (tmp_path / "refs").rglob("*") if path.is_file()] == ["damaged"]
    assert storage.read("refs/heads/dev/a") == ID % 2
    assert LocalStorage(tmp_path).read("refs/tags/damaged") == b"short"


def test_two_storages_of_one_folder_agree(tmp_path: Path) -> None:
    one, other = LocalStorage(tmp_path), LocalStorage(tmp_path)
    for number in range(30):
        moved(one, ID % (2 * number - 1) if number else None, ID % (2 * number))
        assert other.read(NAMES[7]) == ID % (2 * number)
        moved(other, ID % (2 * number), ID % (2 * number + 1))
        assert set(one.values("refs/").values()) == {ID % (2 * number + 1)}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:-10] + b"0" + data[-9:],
        lambda data: b"",
        lambda data: data.replace(b"n1\n", b"n2\n"),
        lambda data: data + b"\n",
    ],
)
def test_a_damaged_file_is_not_one_without_refs(tmp_path: Path, spoil: object) -> None:
    moved(LocalStorage(tmp_path), None, ID % 1)
    path = tmp_path / "packed-refs"
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    storage = LocalStorage(tmp_path)
    for act in (lambda: storage.read(NAMES[0]), lambda: storage.values("refs/")):
        with pytest.raises(IntegrityError, match="damaged"):
            act()
    with pytest.raises(MvcError):
        storage.compare_and_swap(NAMES[0], ID % 1, ID % 2)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "unlink"])
@pytest.mark.parametrize("kept_apart", [False, True])
def test_a_move_of_many_that_fails_leaves_each_where_it_was_or_is_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, kept_apart: bool
) -> None:
    storage = LocalStorage(tmp_path)
    if kept_apart:
        for name in NAMES:
            storage.compare_and_swap(name, None, ID % 1)
    else:
        moved(storage, None, ID % 1)
    real, at = getattr(os, call), 0
    for at in range(1, 60):
        count = 0

        def fail(*args: object, at: int = at, **options: object) -> object:
            nonlocal count
            count += 1
            if count == at:
                raise OSError(5, "made to fail")
            return real(*args, **options)

        done = ()
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with suppress(MvcError):
                done = storage.swap_all([Swap(name, ID % 1, ID % 2) for name in NAMES])
        found = LocalStorage(tmp_path).values("refs/")
        assert sorted(found) == sorted(NAMES)
        assert set(found.values()) <= {ID % 1, ID % 2}
        if all(done) and done:
            assert set(found.values()) == {ID % 2}
            break
        for name, value in found.items():
            assert LocalStorage(tmp_path).compare_and_swap(name, value, ID % 1)
    else:
        pytest.fail("it never succeeded")


def test_a_killed_move_of_many_loses_no_ref(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    moved(storage, None, ID % 0)
    program = (
        "import sys; from pathlib import Path\n"
        "from mvc.storage.local import LocalStorage; from mvc.storage.base import Swap\n"
        "storage = LocalStorage(Path(sys.argv[1])); print('go', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    now = storage.values('refs/'); number += 1\n"
        "    swaps = [Swap(key, at, b'%064d\\n' % number) for key, at in now.items()]\n"
        "    storage.compare_and_swap(*swaps[number % 20])\n"
        "    storage.swap_all(swaps)\n"
    )
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
        with child:
            assert child.stdout is not None
            child.stdout.readline()
            for _ in range(100):
                assert len(storage.values("refs/")) == 20
                assert len(storage.list("refs/")) == 20
            child.kill()
            child.wait()
        assert len(LocalStorage(tmp_path).values("refs/")) == 20
