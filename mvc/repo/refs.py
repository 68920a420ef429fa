"""Refs: branches, tags and HEAD, changed only by compare-and-swap, each change logged.

HEAD is `ref: refs/heads/NAME` or an object id; every other ref is an object id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import (
    FormatError,
    IntegrityError,
    MvcError,
    NegativeAnswer,
    NotFoundError,
    RemoteMovedError,
)
from mvc.base.ids import ObjectId, parse_id
from mvc.repo.names import folded
from mvc.storage import keys
from mvc.storage.base import Storage, is_key

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
REMOTES = "refs/remotes/"
DEFAULT_BRANCH = "main"
FEW = 8
"""New refs whose folders are looked into one by one."""
_SYMBOLIC = "ref: "


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a reflog; `time` in microseconds since the epoch."""

    old: ObjectId | None
    new: ObjectId | None
    author: str
    time: int
    reason: str


@dataclass(frozen=True, slots=True)
class Head:
    """Where HEAD points: at a branch (`ref`), which may not exist yet, or at a commit."""

    ref: str | None
    commit: ObjectId | None

    @property
    def branch(self) -> str | None:
        """The branch's short name, None when detached."""
        return self.ref.removeprefix(BRANCHES) if self.ref else None


class Refs:
    """The refs of one repository; `logs` is the folder of reflogs, None to keep none."""

    def __init__(self, storage: Storage, logs: Path | None) -> None:
        self._storage = storage
        self._logs = logs

    def head(self) -> Head:
        """Return where HEAD points."""
        text = self._head_text()
        name = _branch_of(text)
        if name is not None:
            return Head(name, self.get(name))
        return Head(None, _parsed(text, keys.HEAD))

    def _head_text(self) -> str:
        try:
            return self._storage.read(keys.HEAD).decode("utf-8")
        except (NotFoundError, UnicodeDecodeError):
            return ""

    def mend_head(self, new: ObjectId, change: Change) -> None:
        """Overwrite the damaged ref that HEAD points at, or HEAD if that is what is damaged."""
        name = _branch_of(self._head_text())
        if name is None:
            self.set_head(new, change)
            return
        damaged = self._storage.read(keys.ref(name))
        if not self._storage.compare_and_swap(keys.ref(name), damaged, _line(new)):
            raise _moved(name)
        self._log(name, change)
        self._log(keys.HEAD, change)

    def get(self, name: str) -> ObjectId | None:
        """Return what a ref points to, None if there is no such ref."""
        try:
            key = keys.ref(name)
        except FormatError:
            return None
        return self._read(key, name)

    def _read(self, key: str, name: str) -> ObjectId | None:
        try:
            value = self._storage.read(key)
        except (NotFoundError, FormatError):
            return None
        try:
            return _parsed(value.decode("ascii"), name)
        except UnicodeDecodeError:
            raise _damaged(name) from None

    def names(self, prefix: str = keys.REFS) -> list[str]:
        """Return the full names of the refs that start with `prefix`, in order; reads none."""
        return sorted(self._keys(prefix))

    def all(self, prefix: str = keys.REFS) -> dict[str, ObjectId]:
        """Return all refs that start with `prefix`, by full name, in order."""
        found = {}
        for name, key in sorted(self._keys(prefix).items()):
            if (target := self._read(key, name)) is not None:
                found[name] = target
        return found

    def _keys(self, prefix: str) -> dict[str, str]:
        start = keys.ref(prefix) if prefix.startswith(keys.REFS) else keys.REFS
        # A prefix may come from elsewhere, and must not lead there.
        listed = self._storage.list(start if is_key(start.rstrip("/")) else keys.REFS)
        return {
            name: item.key for item in listed if (name := keys.ref_of(item.key)).startswith(prefix)
        }

    def update(self, name: str, old: ObjectId | None, new: ObjectId | None, change: Change) -> None:
        """Move a ref from `old` to `new` (None: absent), or raise RemoteMovedError."""
        if old is None and new is not None:
            self._check_free(name)
        self._update(name, old, new, change)

    def _update(
        self, name: str, old: ObjectId | None, new: ObjectId | None, change: Change
    ) -> None:
        if not self._storage.compare_and_swap(keys.ref(name), _line(old), _line(new)):
            raise _moved(name)
        if new is None:
            self._forget(name)
        else:
            self._log(name, change)

    def update_many(
        self, moves: Iterable[tuple[str, ObjectId | None, ObjectId | None, Change]]
    ) -> dict[str, MvcError]:
        """Move refs as `update` does, each on its own; return why some did not move, by name.

        If many are new, the names that are taken are listed once.
        """
        every = list(moves)
        many = sum(old is None and new is not None for _, old, new, _ in every) > FEW
        taken: _Taken | None = None
        refused: dict[str, MvcError] = {}
        for name, old, new, change in every:
            try:
                if old is None and new is not None:
                    if many:
                        taken = taken or _Taken(self.names())
                        taken.check_free(name)
                    else:
                        self._check_free(name)
                self._update(name, old, new, change)
            except (NegativeAnswer, RemoteMovedError, IntegrityError) as error:
                refused[name] = error
                continue
            if taken is not None and new is None:
                taken.remove(name)
            elif taken is not None:
                taken.add(name)
        return refused

    def rename(self, old: str, new: str, change: Change) -> None:
        """Give a ref another name, its log included, and take HEAD along if it is there.

        Wherever this stops, HEAD is at a ref that exists and each log is at a name that is.
        """
        self._check_free(new)
        if not self._storage.compare_and_swap(keys.ref(new), None, _line(change.new)):
            raise _moved(new)
        self._log(new, change, before=self._lines(old))
        if _branch_of(self._head_text()) == old:
            self.set_head(new, change)
        self.update(old, change.new, None, change)

    def set_head(self, target: str | ObjectId, change: Change) -> None:
        """Point HEAD at a branch (its full ref name) or detach it at a commit."""
        value = _line(target) if isinstance(target, bytes) else f"{_SYMBOLIC}{target}\n".encode()
        for _ in range(100):
            try:
                current: bytes | None = self._storage.read(keys.HEAD)
            except NotFoundError:
                current = None
            if self._storage.compare_and_swap(keys.HEAD, current, value):
                self._log(keys.HEAD, change)
                return
        raise RemoteMovedError("HEAD is moved by other processes all the time")

    def log_head(self, change: Change) -> None:
        """Note in HEAD's log that the branch it points at moved."""
        self._log(keys.HEAD, change)

    def history(self, name: str) -> list[Change]:
        """Return a ref's log, newest first. Lines torn by a power cut are left out."""
        lines = self._lines(name).split(b"\n")
        return [change for line in reversed(lines) if (change := _parsed_change(line))]

    def _lines(self, name: str) -> bytes:
        if self._logs is None:
            return b""
        try:
            return fileio.read_bytes(self._log_path(name))
        except NotFoundError:
            return b""

    def logged(self, since: int = 0) -> list[ObjectId]:
        """Return every id that any reflog mentions in a line of the time `since` or later."""
        if self._logs is None or not fileio.is_dir(self._logs):
            return []
        found: dict[ObjectId, None] = {}
        for entry in fileio.walk_files(self._logs, ()):
            for change in self.history(keys.ref_of("/".join(entry.parts))):
                if change.time < since:
                    continue
                for item in (change.old, change.new):
                    if item is not None:
                        found[item] = None
        return list(found)

    def _check_free(self, name: str) -> None:
        """Raise NegativeAnswer if a ref cannot be called so; looks into its folders alone."""
        parts = folded(name).split("/")
        folders = [parts[0]]
        for depth in range(2, len(parts) + 1):
            wanted = "/".join(parts[:depth])
            below: list[str] = []
            for key in self._called(folders, wanted):
                if key.endswith("/"):
                    below.append(key[:-1])
                elif depth < len(parts) or keys.ref_of(key) != name:
                    raise _clashing(name, keys.ref_of(key))
            folders = below
        for folder in folders:
            for item in self._storage.list(f"{folder}/"):
                raise _clashing(name, keys.ref_of(item.key))

    def _called(self, folders: Iterable[str], wanted: str) -> Iterator[str]:
        """Yield keys and folders of keys right in some folders whose names are `wanted`, folded."""
        for folder in folders:
            for child in self._storage.names(folder):
                key = f"{folder}/{child}"
                # What has no ref's name is none.
                with suppress(FormatError):
                    if folded(keys.ref_of(key.removesuffix("/"))) == wanted:
                        yield key

    def _log(self, name: str, change: Change, before: bytes = b"") -> None:
        if self._logs is None:
            return
        line = {
            "old": change.old.hex() if change.old else None,
            "new": change.new.hex() if change.new else None,
            "author": change.author,
            "time": change.time,
            "reason": change.reason,
        }
        gap = b"\n" if before and not before.endswith(b"\n") else b""
        fileio.append_line(self._log_path(name), before + gap + json.dumps(line).encode())

    def _forget(self, name: str) -> None:
        if self._logs is not None:
            path = self._log_path(name)
            if fileio.lexists(path):
                fileio.remove(path)
                fileio.remove_empty_dirs(path.parent, self._logs)

    def _log_path(self, name: str) -> Path:
        if self._logs is None:
            raise NotFoundError("this repository keeps no reflogs")
        return self._logs / (keys.HEAD if name == keys.HEAD else keys.ref(name))


class _Taken:
    """The names of refs, as far as they keep others from being given."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        # Each folder of refs, and some that are in it.
        self._below: dict[str, set[str]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Take a name."""
        self._names[folded(name)] = name
        for above in _above(name):
            self._below.setdefault(above, set()).add(name)

    def remove(self, name: str) -> None:
        """Give a name free."""
        self._names.pop(folded(name), None)
        for above in _above(name):
            self._below[above].discard(name)

    def check_free(self, name: str) -> None:
        """Raise NegativeAnswer if a ref cannot be called so beside the others."""
        same = self._names.get(folded(name))
        others = [self._names.get(above) for above in _above(name)]
        others += [same if same != name else None, *sorted(self._below.get(folded(name), ()))[:1]]
        for other in others:
            if other is not None:
                raise _clashing(name, other)


def _clashing(name: str, other: str) -> NegativeAnswer:
    return NegativeAnswer(
        f"{short(name)} cannot exist beside {short(other)}",
        hint="choose another name, or delete the other first",
    )


def _above(name: str) -> list[str]:
    """Return the folded names of the folders that a ref is in."""
    parts = folded(name).split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def short(name: str) -> str:
    """Return a ref's name as people write it."""
    return name.removeprefix(BRANCHES).removeprefix(TAGS).removeprefix(REMOTES)


def _branch_of(text: str) -> str | None:
    """Return the ref that HEAD's content names, None if it names none."""
    if text.startswith(_SYMBOLIC + BRANCHES) and text.endswith("\n"):
        return text[len(_SYMBOLIC) : -1]
    return None


def _moved(name: str) -> RemoteMovedError:
    return RemoteMovedError(
        f"{short(name)} was moved by another process meanwhile",
        hint="look at `mvc log` and run the command again",
    )


def _line(target: ObjectId | None) -> bytes | None:
    return None if target is None else target.hex().encode() + b"\n"


def _parsed(text: str, name: str) -> ObjectId:
    if not text.endswith("\n"):
        raise _damaged(name)
    try:
        return parse_id(text[:-1])
    except FormatError:
        raise _damaged(name) from None


def _damaged(name: str) -> IntegrityError:
    way = "`mvc switch BRANCH`" if name == keys.HEAD else "`mvc reset ID`"
    return IntegrityError(
        f"{name} is damaged: it holds no object id",
        hint=f"`mvc reflog {short(name)}` shows what it was; {way} sets it again",
    )


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
