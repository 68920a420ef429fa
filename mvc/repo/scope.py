"""Which files of a version are meant: patterns of paths, followed folder by folder.

A pattern is segments joined by `/`, matched against a path from the root of a version: `*` stands
for any characters, `?` for one, `[abc]` for one of some; the segment `**` for any number of
folders. A pattern that a folder matches means all that is in it (docs/protocol.md, "plan").
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from mvc.base.errors import UsageError

MAX_PATTERNS = 256
MAX_PATTERN = 1024
"""Bytes of a pattern."""
_ANY = "**"


class Scope(NamedTuple):
    """What is meant below a folder: patterns by segments, what matched so far left out.

    Equal scopes mean the same files, so a tree is looked into once for each scope it is met in.
    """

    rest: frozenset[tuple[str, ...]]

    @property
    def everything(self) -> bool:
        """Tell whether all that is here or below is meant."""
        return () in self.rest

    def enter(self, name: str) -> Scope:
        """Return what is meant of something in the folder."""
        if self.everything:
            return self
        found: set[tuple[str, ...]] = set()
        for pattern in self.rest:
            if pattern[0] == _ANY:
                found |= _with_shorter(pattern)
            elif fnmatchcase(name, pattern[0]):
                found |= _with_shorter(pattern[1:])
        return Scope(frozenset([()] if () in found else found))

    def chooses(self, path: str) -> bool:
        """Tell whether a file is meant."""
        scope = self
        for name in path.split("/"):
            scope = scope.enter(name)
        return scope.everything


def scope_of(patterns: Iterable[str]) -> Scope | None:
    """Return what some patterns mean, None without any: all. Raises UsageError."""
    rest: set[tuple[str, ...]] = set()
    for pattern in patterns:
        rest |= _with_shorter(tuple(check_pattern(pattern).split("/")))
    return Scope(frozenset([()] if () in rest else rest)) if rest else None


def tidy(pattern: str) -> str:
    """Return a pattern as people write it in the form that is kept, or raise UsageError."""
    return check_pattern(pattern.removeprefix("./").rstrip("/"))


def check_pattern(pattern: str) -> str:
    """Return a text that can be a pattern, or raise UsageError."""
    parts = pattern.split("/")
    if any(part in ("", ".", "..") for part in parts) or not pattern.isprintable():
        raise UsageError(
            f"{pattern[:80]!r} is no path inside a version",
            hint="write it from the top of the version, as in models/*.safetensors",
        )
    if len(pattern.encode("utf-8", "replace")) > MAX_PATTERN:
        raise UsageError(f"a path of more than {MAX_PATTERN} bytes", hint="write a shorter one")
    return pattern


def literally(path: str) -> str:
    """Return the pattern that means one path alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)


def _with_shorter(pattern: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return a pattern, and what is left where `**` at its start stands for no folder."""
    found = {pattern}
    while pattern and pattern[0] == _ANY:
        pattern = pattern[1:]
        found.add(pattern)
    return found
