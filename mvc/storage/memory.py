"""Storage in memory: for tests, and for repositories that live as long as a process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.storage.base import Listed, Swap, check_key


class MemoryStorage:
    """A dictionary with the guarantees of Storage within one process."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._guard = Lock()

    def read(self, key: str) -> bytes:
        """See Storage."""
        try:
            return self._values[check_key(key)]
        except KeyError:
            raise NotFoundError(f"there is no {key}") from None

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """See Storage."""
        value = self.read(key)
        if offset < 0 or length < 0 or offset + length > len(value):
            raise FormatError(f"{key} has no bytes {offset} to {offset + length}")
        return value[offset : offset + length]

    def write_new(self, key: str, value: bytes | Path) -> bool:
        """See Storage."""
        check_key(key)
        if isinstance(value, Path):
            data = fileio.read_bytes(value)
            fileio.remove(value)
        else:
            data = bytes(value)
        with self._guard:
            if key in self._values:
                return False
            self._values[key] = data
            return True

    def compare_and_swap(self, key: str, expected: bytes | None, value: bytes | None) -> bool:
        """See Storage."""
        check_key(key)
        with self._guard:
            if self._values.get(key) != expected:
                return False
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = bytes(value)
            return True

    def swap_all(self, swaps: Sequence[Swap]) -> tuple[bool, ...]:
        """See Storage."""
        return tuple(self.compare_and_swap(*swap) for swap in swaps)

    def values(self, prefix: str) -> dict[str, bytes]:
        """See Storage."""
        with self._guard:
            return dict(sorted(item for item in self._values.items() if item[0].startswith(prefix)))

    def list(self, prefix: str) -> list[Listed]:
        """See Storage."""
        with self._guard:
            found = [item for item in self._values.items() if item[0].startswith(prefix)]
        return sorted(Listed(key, len(value)) for key, value in found)

    def names(self, folder: str) -> tuple[str, ...]:
        """See Storage."""
        behind = [item.key.removeprefix(f"{folder}/") for item in self.list(f"{folder}/")]
        found = {first + more for first, more, _ in (key.partition("/") for key in behind)}
        return tuple(sorted(found))

    def delete(self, key: str) -> None:
        """See Storage."""
        with self._guard:
            self._values.pop(check_key(key), None)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
