"""Stands between `mvc.base.fileio` and the operating system, to fail or die at a chosen call."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

WRITES = ("open", "write", "fsync", "replace", "link", "unlink", "mkdir", "rmdir")
READS = ("pread", "fstat", "lstat", "scandir", "listdir", "stat")
CREATES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Hook = Callable[[str, tuple[Any, ...]], None]


class FaultyOs:
    """The `os` module, with `hook(name, arguments)` called before each of the named calls.

    Of `open`, only calls that can write count unless reads are asked for.
    """

    def __init__(self, hook: Hook, *, reads: bool = False) -> None:
        self._hook = hook
        self._reads = reads
        self._names = {*WRITES, *READS} if reads else set(WRITES)

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self._names:
            return real

        def called(*args: Any, **options: Any) -> Any:
            if name != "open" or self._reads or args[1] & CREATES:
                self._hook(name, args)
            return real(*args, **options)

        return called
