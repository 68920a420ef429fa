"""A storage that fails when it is told to, for tests of what is above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mvc.base.errors import StorageError
from mvc.storage.base import Listed, Storage, Swap


class FaultyStorage:
    """Counts calls, and raises StorageError from those for which `fails(call, key)` is true."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []
        self.fails: Callable[[str, str], bool] = lambda call, key: False

    def _enter(self, call: str, key: str) -> None:
        self.calls.append((call, key))
        if self.fails(call, key):
            raise StorageError(f"cannot {call} {key}: made to fail")

    def read(self, key: str) -> bytes:
        self._enter("read", key)
        return self.inner.read(key)

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        self._enter("read_range", key)
        return self.inner.read_range(key, offset, length)

    def write_new(self, key: str, value: bytes | Path) -> bool:
        self._enter("write_new", key)
        return self.inner.write_new(key, value)

    def compare_and_swap(self, key: str, expected: bytes | None, value: bytes | None) -> bool:
        self._enter("compare_and_swap", key)
        return self.inner.compare_and_swap(key, expected, value)

    def swap_all(self, swaps: Sequence[Swap]) -> tuple[bool, ...]:
        for swap in swaps:
            self._enter("compare_and_swap", swap.key)
        return self.inner.swap_all(swaps)

    def values(self, prefix: str) -> dict[str, bytes]:
        self._enter("values", prefix)
        return self.inner.values(prefix)

    def list(self, prefix: str) -> list[Listed]:
        self._enter("list", prefix)
        return self.inner.list(prefix)

    def names(self, folder: str) -> tuple[str, ...]:
        self._enter("names", folder)
        return self.inner.names(folder)

    def delete(self, key: str) -> None:
        self._enter("delete", key)
        self.inner.delete(key)
