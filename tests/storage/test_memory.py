from __future__ import annotations

import pytest

from mvc.base.errors import StorageError
from mvc.storage.base import Storage
from mvc.storage.memory import MemoryStorage
from tests.storage.contract import StorageContract
from tests.storage.faulty import FaultyStorage


class TestMemory(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()


class TestFaultyWithoutFaults(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return FaultyStorage(MemoryStorage())


def test_a_fault_comes_when_told() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.write_new("refs/a", b"1")
    storage.fails = lambda call, key: call == "read"
    with pytest.raises(StorageError):
        storage.read("refs/a")
    assert storage.read_range("refs/a", 0, 1) == b"1"
