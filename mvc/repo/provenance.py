"""Which version last changed each tensor of a file.

Names are handed from a version to its parents: to the first that has equal elements under this
name, then to the first that has them under a name that is gone. What no parent has is the
version's own. So a merge owns only what differs from all its parents. Files are followed through
renames and other formats (`mvc.repo.moves`). Metadata is read, weights are not; the walk enters no
equal subtree and ends when everything is decided.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.repo import trees
from mvc.repo.history import Version
from mvc.repo.moves import Moves
from mvc.repo.parts import Comparer, FileAt, Names
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class Before:
    """What a name was in a parent: the file, and the tensor's id, None if it was not there."""

    parent: ObjectId
    file: FileAt
    tensor: ObjectId | None


@dataclass(frozen=True, slots=True)
class Decided:
    """Names that a version is the last to have changed, in a file as it was there.

    `before` has what the first parent that knows a name had under it; names that no parent has are
    not in it. `first` tells that the version has no parents here: in a shallow repository
    (`at_or_before`) because older ones were not fetched.
    """

    version: Version
    file: FileAt
    names: Names
    before: dict[str, Before]
    first: bool
    at_or_before: bool


_Files = dict[str, tuple[FileAt, Names]]


def last_changes(
    repo: Repository, start: ObjectId, wanted: Iterable[tuple[FileAt, Names]]
) -> Iterator[Decided]:
    """Yield who last changed the `wanted` names of files of the commit `start`, newest first.

    The names are used up. Raises IntegrityError for damaged metadata.
    """
    walk = _Walk(repo)
    for file, names in wanted:
        walk.hand(start, 2**63, file, names)
    while walk.waiting:
        yield from walk.step()


class _Walk:
    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._comparer = Comparer(repo.store)
        self._queue: list[tuple[int, int, ObjectId]] = []
        self._commits: dict[ObjectId, tuple[Commit, int]] = {}
        self._count = 0
        self.waiting: dict[ObjectId, _Files] = {}

    def hand(self, to: ObjectId, ceiling: int, file: FileAt, names: Names) -> None:
        """Let a version answer for names of one of its files."""
        if to not in self.waiting:
            commit = self._repo.commit(to)
            order = min(commit.time, ceiling)
            self._commits[to] = commit, order
            self._count += 1
            heapq.heappush(self._queue, (-order, self._count, to))
            self.waiting[to] = {}
        files = self.waiting[to]
        if file.path in files:
            files[file.path][1].absorb(names)
        else:
            files[file.path] = file, names

    def step(self) -> Iterator[Decided]:
        """Let the newest version hand on what its parents have, and yield what is its own."""
        item = heapq.heappop(self._queue)[2]
        files = self.waiting.pop(item)
        commit, order = self._commits.pop(item)
        parents = self._repo.parents(item, commit)
        passing = _Passing(self, self._comparer, commit, order, files)
        for parent in parents:
            if passing.files:
                passing.equal(parent, self._tree(parent))
        passing.moved()
        for path, (file, names) in passing.files.items():
            yield Decided(
                Version(item, commit),
                file,
                names,
                passing.before.get(path, {}),
                not parents,
                not parents and bool(commit.parents),
            )

    def _tree(self, commit: ObjectId) -> ObjectId:
        if commit in self._commits:
            return self._commits[commit][0].tree
        return self._repo.commit(commit).tree


class _Passing:
    """What one version hands to its parents; `files` is what it still has."""

    def __init__(
        self, walk: _Walk, comparer: Comparer, commit: Commit, order: int, files: _Files
    ) -> None:
        self._walk = walk
        self._comparer = comparer
        self._tree = commit.tree
        self._ceiling = order - 1
        self._origins: list[tuple[ObjectId, FileAt, FileAt]] = []
        self.files = files
        self.before: dict[str, dict[str, Before]] = {}

    def equal(self, parent: ObjectId, tree: ObjectId) -> None:
        """Hand on the names that have equal elements in a parent."""
        folders = {path[: at + 1] for path in self.files for at in _slashes(path)}
        changed = {
            path: one
            for path, one, _ in trees.changed(
                self._comparer.store, tree, self._tree, separator="/", enter=folders.__contains__
            )
        }
        moves = Moves(self._comparer, tree, self._tree)
        for path, (file, names) in list(self.files.items()):
            if path not in changed:
                self._walk.hand(parent, self._ceiling, file, names)
                del self.files[path]
                continue
            entry = changed[path]
            before = FileAt(path, entry) if entry else moves.origin(file)
            if before is not None:
                self._compare(parent, before, file, names)

    def moved(self) -> None:
        """Hand on names that have equal elements under names that are gone."""
        for parent, before, file in self._origins:
            names = self.files[file.path][1] if file.path in self.files else None
            known = self.before.get(file.path, {})
            if names is None or all(name in known for name in names):
                continue
            found = {
                name: previous
                for name, previous in self._comparer.moved(before, file).items()
                if name in names and name not in known
            }
            if found:
                handed = names.take(found).renamed(found)
                self._walk.hand(parent, self._ceiling, before, handed)
            if not names:
                del self.files[file.path]

    def _compare(self, parent: ObjectId, before: FileAt, file: FileAt, names: Names) -> None:
        differing = self._comparer.differing(before, file, names)
        staying = names.take(differing)
        self.files[file.path] = file, staying
        if names:
            self._walk.hand(parent, self._ceiling, before, names)
        if not staying:
            del self.files[file.path]
            return
        self._origins.append((parent, before, file))
        known = self.before.setdefault(file.path, {})
        for name, tensor in differing.items():
            if tensor is not None:
                known.setdefault(name, Before(parent, before, tensor))


def _slashes(path: str) -> Iterator[int]:
    return (place for place, char in enumerate(path) if char == "/")
