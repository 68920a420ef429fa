"""What every storage promises. An implementation's tests inherit this and provide `storage`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from mvc.base.errors import FormatError, NotFoundError
from mvc.storage.base import Listed, Storage, Swap

KEY = "packs/pack-1.head"
ID = b"%064d\n"


class StorageContract:
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        raise NotImplementedError

    @pytest.fixture
    def sealed(self, tmp_path: Path) -> Path:
        path = tmp_path / "sealed"
        path.write_bytes(b"from a file")
        return path

    def test_a_value_comes_back(self, storage: Storage) -> None:
        assert storage.write_new(KEY, b"value")
        assert storage.read(KEY) == b"value"

    def test_an_empty_value_is_a_value(self, storage: Storage) -> None:
        assert storage.write_new("refs/empty", b"")
        assert storage.read("refs/empty") == b""
        assert not storage.write_new("refs/empty", b"x")

    def test_a_file_is_taken_over(self, storage: Storage, sealed: Path) -> None:
        assert storage.write_new(KEY, sealed)
        assert storage.read(KEY) == b"from a file"
        assert not sealed.exists()

    def test_a_key_is_written_once(self, storage: Storage, sealed: Path) -> None:
        assert storage.write_new(KEY, b"first")
        assert not storage.write_new(KEY, b"second")
        assert not storage.write_new(KEY, sealed)
        assert not sealed.exists()
        assert storage.read(KEY) == b"first"

    def test_what_is_not_there_is_not_found(self, storage: Storage) -> None:
        with pytest.raises(NotFoundError):
            storage.read("refs/heads/none")
        with pytest.raises(NotFoundError):
            storage.read_range("refs/heads/none", 0, 1)
        with pytest.raises(NotFoundError):
            storage.read_range(KEY, 0, 0)

    @pytest.mark.parametrize("key", [KEY, "refs/value"])
    def test_a_range_is_read_exactly(self, storage: Storage, key: str) -> None:
        storage.write_new(key, b"0123456789")
        assert storage.read_range(key, 2, 3) == b"234"
        assert storage.read_range(key, 0, 10) == b"0123456789"
        assert storage.read_range(key, 10, 0) == b""

    @pytest.mark.parametrize("key", [KEY, "refs/value"])
    @pytest.mark.parametrize("place", [(0, 11), (10, 1), (-1, 1), (0, -1), (2**62, 1)])
    def test_a_range_outside_is_refused(
        self, storage: Storage, key: str, place: tuple[int, int]
    ) -> None:
        storage.write_new(key, b"0123456789")
        with pytest.raises(FormatError):
            storage.read_range(key, *place)

    def test_a_swap_needs_the_expected_value(self, storage: Storage) -> None:
        key = "refs/heads/main"
        assert not storage.compare_and_swap(key, b"a", b"b")
        assert storage.compare_and_swap(key, None, b"a")
        assert not storage.compare_and_swap(key, None, b"b")
        assert not storage.compare_and_swap(key, b"x", b"b")
        assert storage.read(key) == b"a"
        assert storage.compare_and_swap(key, b"a", b"b")
        assert storage.compare_and_swap(key, b"b", b"b")
        assert storage.read(key) == b"b"

    def test_a_swap_can_delete_and_create_again(self, storage: Storage) -> None:
        key = "refs/heads/devices/car-17"
        assert storage.compare_and_swap(key, None, None)
        storage.compare_and_swap(key, None, b"a")
        assert not storage.compare_and_swap(key, b"b", None)
        assert storage.compare_and_swap(key, b"a", None)
        assert storage.list("refs/") == []
        assert storage.compare_and_swap(key, None, b"c")
        assert storage.read(key) == b"c"

    def test_a_name_can_become_a_folder_once_it_is_free(self, storage: Storage) -> None:
        storage.compare_and_swap("refs/heads/a", None, b"1")
        storage.compare_and_swap("refs/heads/a", b"1", None)
        assert storage.compare_and_swap("refs/heads/a/b", None, b"2")
        storage.compare_and_swap("refs/heads/a/b", b"2", None)
        assert storage.compare_and_swap("refs/heads/a", None, b"3")

    def test_of_many_swaps_one_wins(self, storage: Storage) -> None:
        storage.compare_and_swap("refs/n", None, b"0")
        start = threading.Barrier(4)
        won = []

        def count() -> None:
            start.wait()
            for _ in range(20):
                current = storage.read("refs/n")
                if storage.compare_and_swap("refs/n", current, b"%d" % (int(current) + 1)):
                    won.append(current)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert int(storage.read("refs/n")) == len(won) == len(set(won)) > 0

    def test_of_many_writers_one_is_first(self, storage: Storage) -> None:
        start = threading.Barrier(4)
        won = []

        def write(value: bytes) -> None:
            start.wait()
            if storage.write_new("refs/first", value):
                won.append(value)

        threads = [threading.Thread(target=write, args=(b"%d" % n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [storage.read("refs/first")] == won

    def test_keys_are_listed_in_order_with_their_sizes(self, storage: Storage) -> None:
        for key in ("refs/heads/b", "refs/heads/a/c", "refs/heads/a-c", "refs/tags/x", "packs/p"):
            storage.write_new(key, key.encode())
        heads = ["refs/heads/a-c", "refs/heads/a/c", "refs/heads/b"]
        assert storage.list("refs/heads/") == [Listed(key, len(key)) for key in heads]
        assert [item.key for item in storage.list("refs/")] == [*heads, "refs/tags/x"]
        assert [item.key for item in storage.list("refs/heads/a")] == heads[:2]
        assert storage.list("nothing/") == []
        assert storage.list("refs/heads/b/") == []

    def test_a_folder_tells_what_is_right_in_it(self, storage: Storage) -> None:
        for key in ("refs/heads/b", "refs/heads/a/c", "refs/heads/a/d", "refs/heads/a-c", "refs/x"):
            storage.write_new(key, b"value")
        assert storage.names("refs/heads") == ("a-c", "a/", "b")
        assert storage.names("refs") == ("heads/", "x")
        assert storage.names("refs/heads/b") == ()
        assert storage.names("refs/tags") == ()

    def test_deleting_is_done_once_or_twice(self, storage: Storage) -> None:
        storage.write_new(KEY, b"value")
        assert storage.read_range(KEY, 0, 5) == b"value"
        storage.delete(KEY)
        storage.delete(KEY)
        with pytest.raises(NotFoundError):
            storage.read_range(KEY, 0, 5)
        assert storage.write_new(KEY, b"again")
        assert storage.read_range(KEY, 0, 5) == b"again"

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".hidden",
            "a/.b",
            "a\\b",
            "a\nb",
            "a\0",
            "a b",
            "é",
            "C:x",
            "k" * 1025,
        ],
    )
    def test_a_key_never_leads_elsewhere(self, storage: Storage, key: str) -> None:
        for call in (
            lambda: storage.read(key),
            lambda: storage.read_range(key, 0, 1),
            lambda: storage.write_new(key, b""),
            lambda: storage.compare_and_swap(key, None, b""),
            lambda: storage.delete(key),
        ):
            with pytest.raises(FormatError):
                call()

    def test_many_swaps_are_done_each_for_itself(self, storage: Storage) -> None:
        storage.compare_and_swap("refs/heads/n3", None, ID % 0)
        swaps = [Swap(f"refs/heads/n{number}", None, ID % number) for number in range(40)]
        done = storage.swap_all([*swaps, Swap("refs/heads/n4", ID % 4, None), swaps[5]])
        assert [number for number, went in enumerate(done) if not went] == [3, 41]
        assert storage.read("refs/heads/n3") == ID % 0
        assert storage.read("refs/heads/n39") == ID % 39
        with pytest.raises(NotFoundError):
            storage.read("refs/heads/n4")
        assert len(storage.list("refs/heads/")) == 39

    def test_few_swaps_and_odd_values_are_done_as_well(self, storage: Storage) -> None:
        swaps = [Swap(f"refs/n{number}", None, b"%d" % number) for number in range(20)]
        assert storage.swap_all(swaps) == (True,) * 20
        assert storage.swap_all([Swap("refs/n3", b"3", None), Swap("HEAD", b"x", b"y")]) == (
            True,
            False,
        )
        assert storage.swap_all([]) == ()
        assert len(storage.values("refs/")) == 19

    def test_refs_that_moved_together_are_as_all_others(self, storage: Storage) -> None:
        names = [f"refs/heads/d{number // 9}/n{number}" for number in range(20)]
        storage.swap_all([Swap(name, None, ID % 1) for name in names])
        assert storage.names("refs/heads") == ("d0/", "d1/", "d2/")
        assert storage.names("refs/heads/d2") == ("n18", "n19")
        assert [item.key for item in storage.list("refs/heads/d1")] == sorted(names[9:18])
        assert storage.list("refs/heads/d2/n18") == [Listed("refs/heads/d2/n18", 65)]
        assert storage.read_range(names[0], 60, 5) == b"0001\n"
        assert not storage.write_new(names[0], b"other")
        assert not storage.compare_and_swap(names[0], None, ID % 2)
        assert storage.compare_and_swap(names[0], ID % 1, ID % 2)
        assert storage.compare_and_swap(names[1], ID % 1, None)
        storage.delete(names[2])
        found = storage.values("refs/heads/d0/")
        assert found == {name: ID % (2 if name == names[0] else 1) for name in sorted(found)}
        assert len(found) == 7
        assert storage.compare_and_swap(names[0], ID % 2, None)
        assert names[0] not in storage.values("refs/")
        assert storage.swap_all([Swap(name, ID % 1, None) for name in names[3:]]) == (True,) * 17
        assert storage.list("refs/") == []
        assert storage.write_new(names[0], b"free")
