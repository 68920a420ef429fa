"""Repositories that hold some of the files of each version (docs/sync.md, "Some of the files").

The file `paths` has a pattern in a line. What they mean is here of all versions that refs lead to;
trees and commits are here all the same. Without the file, everything is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from mvc.base import fileio
from mvc.base.errors import IntegrityError, LeftOutError, NotFoundError, UsageError
from mvc.repo.scope import MAX_PATTERN, MAX_PATTERNS, Scope, check_pattern, scope_of

MAX_FILE = MAX_PATTERNS * (MAX_PATTERN + 1)


class Chosen:
    """The patterns, in `path`. Safe from several threads and processes."""

    def __init__(self, path: Path, staging: Path) -> None:
        self._path = path
        self._staging = staging
        self._known: tuple[fileio.FileStat | None, tuple[str, ...], Scope | None] = None, (), None
        self._guard = Lock()

    @property
    def patterns(self) -> tuple[str, ...]:
        """What files are here; nothing where all are."""
        return self._current()[1]

    @property
    def scope(self) -> Scope | None:
        """The same as a scope, None where all files are here."""
        return self._current()[2]

    def change(self, patterns: Iterable[str]) -> None:
        """Say durably what files are here; without patterns, all. Raises UsageError."""
        found = [check_pattern(item) for item in dict.fromkeys(patterns)]
        check_count(found)
        with fileio.locked(self._path.parent / "locks" / self._path.name):
            if not found:
                if fileio.lexists(self._path):
                    fileio.remove(self._path)
                return
            fileio.clear(self._staging)
            text = "".join(f"{item}\n" for item in found)
            fileio.write_file(self._path, text.encode(), self._staging)

    def _current(self) -> tuple[fileio.FileStat | None, tuple[str, ...], Scope | None]:
        stat = fileio.stat_file(self._path)
        known = self._known
        if known[0] == stat:
            return known
        with self._guard:
            patterns = self._read() if stat is not None else ()
            self._known = stat, patterns, scope_of(patterns)
            return self._known

    def _read(self) -> tuple[str, ...]:
        try:
            text = fileio.read_bytes(self._path, MAX_FILE).decode("utf-8", "replace")
        except NotFoundError:
            return ()
        try:
            *found, end = text.split("\n")
            if found and not end:
                return tuple(map(check_pattern, found))
        except UsageError:
            pass
        # Taken for none, files that are not here would count as deleted.
        raise IntegrityError(
            f"the list of files that are here is damaged: {self._path}",
            hint="write into it what was cloned, a path a line",
        )


def left_out(path: str) -> LeftOutError:
    """Return the error for a file that is needed and not here."""
    return LeftOutError(
        f"{path or 'all of it'} is not here: this copy has some of the files only",
        hint=f"`mvc fetch --path {path or 'FILE'}` brings it, `mvc fetch --full` all",
    )


def check_count(patterns: list[str]) -> None:
    """Raise UsageError for more patterns than a repository can have."""
    if len(patterns) > MAX_PATTERNS:
        raise UsageError(
            f"{len(patterns)} paths, and at most {MAX_PATTERNS} can be chosen",
            hint="write them as patterns, as in models/*.safetensors",
        )
