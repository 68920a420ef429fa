"""The storage protocol: everything durable goes through these few calls.

Keys are relative paths of portable characters, from `mvc.storage.keys`. The contract is the suite
in tests/storage/contract.py; every implementation and wrapper passes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mvc.base.errors import FormatError

_PART = r"[A-Za-z0-9@_=+,%~-][A-Za-z0-9@_=+,%~.-]*"
_KEY = re.compile(rf"{_PART}(/{_PART})*", re.ASCII)
MAX_KEY = 1024


class Listed(NamedTuple):
    """A key and the bytes of its value."""

    key: str
    size: int


class Swap(NamedTuple):
    """A change of one key by compare-and-swap; None stands for absence."""

    key: str
    expected: bytes | None
    value: bytes | None


class Storage(Protocol):
    """Bytes by key. All calls are safe from several threads and several processes."""

    def read(self, key: str) -> bytes:
        """Return the whole value; NotFoundError where there is none."""
        ...

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`; FormatError where the value is shorter."""
        ...

    def write_new(self, key: str, value: bytes | Path) -> bool:
        """Create a key durably; return False and change nothing where it exists.

        A path is a sealed local file that the storage takes over: it is gone afterwards.
        """
        ...

    def compare_and_swap(self, key: str, expected: bytes | None, value: bytes | None) -> bool:
        """Replace `expected` by `value` durably, in one step; return False if it is not there.

        None stands for absence, so this also creates and deletes.
        """
        ...

    def swap_all(self, swaps: Sequence[Swap]) -> tuple[bool, ...]:
        """Do what `compare_and_swap` does for each, in order; return which were done.

        Each is one step, all together are not. For thousands it is far faster.
        """
        ...

    def values(self, prefix: str) -> dict[str, bytes]:
        """Return the values of all keys that start with `prefix`, by key in order."""
        ...

    def list(self, prefix: str) -> list[Listed]:
        """Return the keys that start with `prefix`, in order, with the sizes of their values."""
        ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the parts of keys that come next behind `folder` and a `/`, in order.

        Those that further parts follow end with `/`; nothing may be left behind them any more.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a key; nothing happens where there is none."""
        ...


def is_key(key: str) -> bool:
    """Tell whether a text is a well-formed key."""
    return len(key) <= MAX_KEY and _KEY.fullmatch(key) is not None


def check_key(key: str) -> str:
    """Return a well-formed key, or raise FormatError."""
    if not is_key(key):
        raise FormatError(f"not a storage key: {key[:80]!r}")
    return key
