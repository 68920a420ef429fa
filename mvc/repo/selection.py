"""Which files and tensors people mean by `PATH` and `PATH:TENSOR_GLOB`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

_WILD = re.compile(r"[*?\[]")


class Selection:
    """Which files and tensors a list of `PATH[:TENSOR_GLOB]` selects; an empty one selects all.

    A path is a file, a folder, or a pattern. Names of files and of tensors may hold colons
    themselves, and a tensor may be called like a pattern.
    """

    def __init__(self, specs: Iterable[str]) -> None:
        self._specs = tuple(specs)

    def path(self, path: str) -> bool:
        """Tell whether a file is selected, at least some of its tensors."""
        return not self._specs or any(True for _ in self._globs(path))

    def names_tensors(self, path: str) -> bool:
        """Tell whether a file is selected for the sake of some tensors only."""
        return bool(self._specs) and None not in self._globs(path)

    def tensor(self, path: str) -> Callable[[str], bool]:
        """Return which tensors of a file are selected."""
        globs = list(self._globs(path))
        if not self._specs or None in globs:
            return lambda name: True
        return lambda name: any(
            glob and (name == glob or fnmatchcase(name, glob)) for glob in globs
        )

    def may_lead(self, prefix: str) -> bool:
        """Tell whether a selected file may lie in the folder `prefix`, which ends with a slash."""
        return not self._specs or any(_may_lead(spec, prefix) for spec in self._specs)

    def may_begin(self, path: str) -> Callable[[str], bool]:
        """Return which beginnings of names a selected tensor of a file may have."""
        globs = list(self._globs(path))
        if not self._specs or None in globs:
            return lambda beginning: True
        return lambda beginning: any(glob and _may_begin(glob, beginning) for glob in globs)

    def _globs(self, path: str) -> Iterable[str | None]:
        for spec in self._specs:
            if _covers(spec, path):
                yield None
                continue
            for at in (place for place, char in enumerate(spec) if char == ":"):
                if _covers(spec[:at], path):
                    yield spec[at + 1 :] or None
                    break


def _covers(pattern: str, path: str) -> bool:
    wanted = pattern.rstrip("/")
    inside = wanted in ("", ".") or path.startswith(wanted + "/")
    return bool(pattern) and (inside or path == wanted or fnmatchcase(path, wanted))


def _may_lead(spec: str, prefix: str) -> bool:
    if spec.rstrip("/") in ("", "."):
        return True
    # A colon may begin a pattern of tensors, and so end the path.
    start = spec[: _wild(spec)].partition(":")[0]
    return start.startswith(prefix) or prefix.startswith(start)


def _may_begin(glob: str, beginning: str) -> bool:
    start = glob[: _wild(glob)]
    return start.startswith(beginning) or beginning.startswith(start) or glob.startswith(beginning)


def _wild(text: str) -> int:
    found = _WILD.search(text)
    return found.start() if found else len(text)
