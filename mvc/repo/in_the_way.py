"""What is where files are to be written, and may not simply be replaced."""

from __future__ import annotations

from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer


def check_free(root: Path, paths: list[str], leaving: set[str], *, force: bool) -> None:
    """Raise NegativeAnswer if something that is no file is where files are to be written.

    `leaving` are the tracked files that are removed before. `force` lets a link or a pipe be
    replaced, but never lets one be followed or a directory vanish.
    """
    sound: set[str] = {""}
    for path in paths:
        above = path.rpartition("/")[0]
        if above not in sound:
            _check_folder(root, above, leaving)
            sound.add(above)
        found = fileio.kind(root / path)
        if found == "directory" and not _empties(root, path, leaving):
            raise _in_the_way(path, "it is a directory")
        if found == "other" and not force:
            raise _in_the_way(path, "it is not a file")


def _check_folder(root: Path, folder: str, leaving: set[str]) -> None:
    pieces = folder.split("/")
    for depth in range(1, len(pieces) + 1):
        part = "/".join(pieces[:depth])
        found = fileio.kind(root / part)
        if found == "missing" or part in leaving:
            return
        if found != "directory":
            raise _in_the_way(part, "it is not a directory")


def _empties(root: Path, folder: str, leaving: set[str]) -> bool:
    """Tell whether a directory will be gone once the files of `leaving` are."""
    inside = [f"{folder}/{name}" for name in fileio.names(root / folder)]
    return bool(inside) and all(
        path in leaving
        or (fileio.kind(root / path) == "directory" and _empties(root, path, leaving))
        for path in inside
    )


def _in_the_way(path: str, why: str) -> NegativeAnswer:
    return NegativeAnswer(
        f"{path} is in the way: {why}", hint="move it elsewhere and run this again"
    )
