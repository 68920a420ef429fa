"""Logs of what refs were: a JSON line a change, in a file for each ref.

What moved together with many others is in the one file `many`, each line with its ref; a line with
nothing but a ref says that it has gone, and that earlier lines are of another one of that name.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import FormatError, NotFoundError
from mvc.base.ids import ObjectId, parse_id
from mvc.storage import keys

MANY = "many"
_STARTS = re.compile(rb'\{"ref": "(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a reflog; `time` in microseconds since the epoch."""

    old: ObjectId | None
    new: ObjectId | None
    author: str
    time: int
    reason: str


class Reflogs:
    """The logs in a folder, None to keep none. Lines torn by a power cut are left out."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def add(self, name: str, change: Change) -> None:
        """Note a change of a ref, durably."""
        if self._folder is not None:
            fileio.append_line(self._path(self._folder, name), _line(change))

    def add_many(self, changes: Mapping[str, Change]) -> None:
        """Note a change of each of many refs, durably and all at once."""
        if self._folder is not None and changes:
            lines = b"\n".join(_line(change, name) for name, change in changes.items())
            fileio.append_line(self._folder / MANY, lines)

    def move(self, old: str, new: str, change: Change) -> None:
        """Let a ref of a new name have the log of an old one, and a change."""
        if self._folder is not None:
            lines = b"\n".join(map(_line, [*reversed(self.history(old)), change]))
            fileio.append_line(self._path(self._folder, new), lines)

    def forget(self, names: Iterable[str]) -> None:
        """Drop the logs of refs that have gone."""
        gone = list(names)
        if self._folder is None or not gone:
            return
        known = self._of_many()
        if lines := [_start(name) + b"}" for name in gone if _start(name) in known]:
            fileio.append_line(self._folder / MANY, b"\n".join(lines))
        paths = [self._path(self._folder, name) for name in gone]
        fileio.remove_all(path for path in paths if fileio.lexists(path))
        for folder in {path.parent for path in paths}:
            fileio.remove_empty_dirs(folder, self._folder)

    def history(self, name: str) -> list[Change]:
        """Return a ref's log, newest first."""
        if self._folder is None:
            return []
        own = _parsed(_read(self._path(self._folder, name)).split(b"\n"))
        shared = _parsed(self._of_many().get(_start(name), ()))
        # Within a file lines stay in their order, whatever a clock said.
        return list(heapq.merge(shared, own, key=lambda change: change.time))[::-1]

    def logged(self, since: int = 0) -> list[ObjectId]:
        """Return every id that any log mentions in a line of the time `since` or later."""
        if self._folder is None or not fileio.is_dir(self._folder):
            return []
        found: dict[ObjectId, None] = {}
        lines = [line for kept in self._of_many().values() for line in kept]
        for entry in fileio.walk_files(self._folder, ()):
            if entry.parts != (MANY,):
                lines += _read(self._folder.joinpath(*entry.parts)).split(b"\n")
        for change in _parsed(lines):
            if change.time >= since:
                found |= {item: None for item in (change.old, change.new) if item is not None}
        return list(found)

    def _of_many(self) -> dict[bytes, list[bytes]]:
        """Return the lines of refs that moved together, by how they start."""
        found: dict[bytes, list[bytes]] = {}
        for line in _read((self._folder or Path()) / MANY).split(b"\n"):
            match = _STARTS.match(line)
            if match is None:
                continue
            start = match.group()
            if line[match.end() :] == b"}":
                found.pop(start, None)
            else:
                found.setdefault(start, []).append(line)
        return found

    def _path(self, folder: Path, name: str) -> Path:
        return folder / (keys.HEAD if name == keys.HEAD else keys.ref(name))


def _start(name: str) -> bytes:
    """Return how a line of a ref starts in the file of many."""
    return json.dumps({"ref": name})[:-1].encode()


def _line(change: Change, ref: str | None = None) -> bytes:
    line = {
        "old": change.old.hex() if change.old else None,
        "new": change.new.hex() if change.new else None,
        "author": change.author,
        "time": change.time,
        "reason": change.reason,
    }
    return json.dumps(line if ref is None else {"ref": ref, **line}).encode()


def _read(path: Path) -> bytes:
    try:
        return fileio.read_bytes(path)
    except NotFoundError:
        return b""


def _parsed(lines: Iterable[bytes]) -> list[Change]:
    return [change for line in lines if (change := _parsed_change(line))]


def _parsed_change(line: bytes) -> Change | None:
    try:
        value = json.loads(line)
        old, new = (
            parse_id(item) if isinstance(item := value[key], str) else None
            for key in ("old", "new")
        )
        return Change(old, new, str(value["author"]), int(value["time"]), str(value["reason"]))
    except (ValueError, KeyError, TypeError, FormatError):
        return None
