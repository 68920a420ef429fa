"""Refs: branches, tags and HEAD, changed only by compare-and-swap, each change logged.

HEAD is `ref: refs/heads/NAME` or an object id; every other ref is an object id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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
from mvc.repo.reflogs import Change as Change
from mvc.repo.reflogs import Reflogs
from mvc.storage import keys
from mvc.storage.base import Storage, Swap, is_key

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
REMOTES = "refs/remotes/"
DEFAULT_BRANCH = "main"
FEW = 8
"""Refs that move one by one, new ones by looking into their folders."""
_SYMBOLIC = "ref: "


@dataclass(frozen=True, slots=True)
class Head:
    """Where HEAD points: at a branch (`ref`), which may not exist yet, or at a commit."""

    ref: str | None
    commit: ObjectId | None

    @property
    def branch(self) -> str | None:
        """The branch's short name, None when detached."""
        return self.ref.removeprefix(BRANCHES) if self.ref else None


Move: TypeAlias = tuple[str, ObjectId | None, ObjectId | None, Change]
"""A ref, what it is, what it is to be (None: absent), and what is logged of it."""


class Refs:
    """The refs of one repository; `logs` is the folder of reflogs, None to keep none."""

    def __init__(self, storage: Storage, logs: Path | None) -> None:
        self._storage = storage
        self._logs = Reflogs(logs)

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
        self._logs.add(name, change)
        self._logs.add(keys.HEAD, change)

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
        return _target(value, name)

    def names(self, prefix: str = keys.REFS) -> list[str]:
        """Return the full names of the refs that start with `prefix`, in order; reads none."""
        return sorted(self._keys(prefix))

    def all(self, prefix: str = keys.REFS) -> dict[str, ObjectId]:
        """Return all refs that start with `prefix`, by full name, in order."""
        found = self._values(prefix)
        return {name: _target(value, name) for name, value in sorted(found.items())}

    def sound(self, prefix: str = keys.REFS) -> dict[str, ObjectId]:
        """Return what `all` does, without refs that are damaged."""
        found = {}
        for name, value in sorted(self._values(prefix).items()):
            with suppress(IntegrityError):
                found[name] = _target(value, name)
        return found

    def _values(self, prefix: str) -> dict[str, bytes]:
        found = self._storage.values(_start(prefix))
        return {
            name: value
            for key, value in found.items()
            if (name := keys.ref_of(key)).startswith(prefix)
        }

    def _keys(self, prefix: str) -> dict[str, str]:
        listed = self._storage.list(_start(prefix))
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
            self._logs.forget([name])
        else:
            self._logs.add(name, change)

    def update_many(self, moves: Iterable[Move]) -> dict[str, MvcError]:
        """Move refs as `update` does, each on its own; return why some did not move, by name.

        If many are new, the names that are taken are listed once, and what is logged of many is
        logged together.
        """
        every = list(moves)
        if len(every) <= FEW:
            return self._update_few(every)
        free, refused = self._free(every)
        done = self._storage.swap_all(
            [Swap(keys.ref(name), _line(old), _line(new)) for name, old, new, _ in free]
        )
        moved = []
        for item, went in zip(free, done, strict=True):
            if went:
                moved.append(item)
            else:
                refused[item[0]] = _moved(item[0])
        self._logs.add_many({name: change for name, _, new, change in moved if new})
        self._logs.forget(name for name, _, new, _ in moved if new is None)
        return refused

    def _update_few(self, moves: Iterable[Move]) -> dict[str, MvcError]:
        refused: dict[str, MvcError] = {}
        for name, old, new, change in moves:
            try:
                self.update(name, old, new, change)
            except (NegativeAnswer, RemoteMovedError, IntegrityError) as error:
                refused[name] = error
        return refused

    def _free(self, moves: Iterable[Move]) -> tuple[list[Move], dict[str, MvcError]]:
        """Return the moves whose names can be given, one after the other, and why others cannot."""
        taken: _Taken | None = None
        free: list[Move] = []
        refused: dict[str, MvcError] = {}
        for name, old, new, change in moves:
            try:
                if old is None and new is not None:
                    taken = taken or _Taken(self.names())
                    taken.check_free(name)
            except NegativeAnswer as error:
                refused[name] = error
                continue
            if taken is not None:
                (taken.add if new else taken.remove)(name)
            free.append((name, old, new, change))
        return free, refused

    def rename(self, old: str, new: str, change: Change) -> None:
        """Give a ref another name, its log included, and take HEAD along if it is there.

        Wherever this stops, HEAD is at a ref that exists and each log is at a name that is.
        """
        self._check_free(new)
        if not self._storage.compare_and_swap(keys.ref(new), None, _line(change.new)):
            raise _moved(new)
        self._logs.move(old, new, change)
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
                self._logs.add(keys.HEAD, change)
                return
        raise RemoteMovedError("HEAD is moved by other processes all the time")

    def log_head(self, change: Change) -> None:
        """Note in HEAD's log that the branch it points at moved."""
        self._logs.add(keys.HEAD, change)

    def history(self, name: str) -> list[Change]:
        """Return a ref's log, newest first. Lines torn by a power cut are left out."""
        return self._logs.history(name)

    def logged(self, since: int = 0) -> list[ObjectId]:
        """Return every id that any reflog mentions in a line of the time `since` or later."""
        return self._logs.logged(since)

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


def _start(prefix: str) -> str:
    """Return what the keys of refs start with whose names start with a prefix."""
    start = keys.ref(prefix) if prefix.startswith(keys.REFS) else keys.REFS
    # A prefix may come from elsewhere, and must not lead there.
    return start if is_key(start.rstrip("/")) else keys.REFS


def _target(value: bytes, name: str) -> ObjectId:
    try:
        return _parsed(value.decode("ascii"), name)
    except UnicodeDecodeError:
        raise _damaged(name) from None


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
