"""Which versions changed what is meant by `PATH` or `PATH:TENSOR_GLOB`: by ids alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.history import Version
from mvc.repo.moves import Moves
from mvc.repo.parts import Comparer, FileAt
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection

Specs = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Touched:
    """A version, what was meant in it, and what that was called in its first parent."""

    version: Version
    specs: Specs
    old_specs: Specs


class Touching:
    """Tells whether versions changed something; the specs are those of where the walk starts.

    If `follow`, files are followed through renames and other formats; versions must then come
    after all their children.
    """

    def __init__(
        self, repo: Repository, specs: Iterable[str], starts: Iterable[ObjectId], *, follow: bool
    ) -> None:
        self._repo = repo
        self._comparer = Comparer(repo.store)
        self._all = tuple(specs)
        self._follow = follow
        self._meant = dict.fromkeys(starts, self._all)

    def look(self, version: Version) -> Touched | None:
        """Return what a version changed itself, None if nothing: all a merge has of parents."""
        if not self._all:
            return Touched(version, (), ())
        specs = self._meant.pop(version.id, ()) if self._follow else self._all
        commits = self._repo.parents(version.id, version.commit)
        parents = [self._repo.commit(parent).tree for parent in commits]
        new = version.commit.tree
        older = [specs] * len(parents)
        if self._follow:
            older = [self._before(specs, old, new) for old in parents]
            for parent, before in zip(commits, older, strict=True):
                known = self._meant.get(parent, ())
                self._meant[parent] = tuple(dict.fromkeys((*known, *before)))
        if not (specs and self._changed(specs, parents, new)):
            return None
        return Touched(version, specs, older[0] if older else specs)

    def _changed(self, specs: Specs, parents: list[ObjectId], new: ObjectId) -> bool:
        """Tell whether any file or tensor differs from what it is in each of the parents."""
        selection = Selection(specs)
        if len(parents) < 2:
            parts = self._parts(parents[0] if parents else None, new, selection)
            return any(True for _ in parts)
        found = set(self._parts(parents[0], new, selection))
        for old in parents[1:]:
            if found:
                found.intersection_update(self._parts(old, new, selection))
        return bool(found)

    def _parts(
        self, old: ObjectId | None, new: ObjectId, selection: Selection
    ) -> Iterator[tuple[str, str]]:
        """Yield the files that differ between two trees, or the tensors of those meant in part."""
        changed = trees.changed(
            self._comparer.store, old, new, separator="/", enter=selection.may_lead
        )
        for path, one, two in changed:
            if not selection.path(path):
                continue
            if not selection.names_tensors(path):
                yield path, ""
                continue
            keep, leads = selection.tensor(path), selection.may_begin(path)
            before, after = (FileAt(path, entry) if entry else None for entry in (one, two))
            if self._follow and old is not None and before is None and after is not None:
                # Another name of the file changes no tensor.
                before = Moves(self._comparer, old, new).origin(after)
            for name in self._comparer.changes(before, after, keep, leads):
                yield path, name

    def _before(self, specs: Specs, old: ObjectId, new: ObjectId) -> Specs:
        """Return what specs were called in a parent: files that moved, tensors in them."""
        if old == new:
            return specs
        moves = Moves(self._comparer, old, new)
        found: list[str] = []
        for spec in specs:
            path, entry, rest = self._file(new, spec)
            if entry is None:
                found.append(spec)
                continue
            file = FileAt(path, entry)
            there = trees.find(self._comparer.store, old, path)
            before = FileAt(path, there) if there is not None else moves.origin(file)
            if before is None:
                found.append(spec)
                continue
            found.append(before.path + rest)
            if rest and before.entry.id != entry.id:
                names = self._renamed(before, file, Selection([spec]))
                found += [f"{before.path}:{name}" for name in names]
        return tuple(dict.fromkeys(found))

    def _renamed(self, before: FileAt, file: FileAt, selection: Selection) -> list[str]:
        """Return the names that tensors had before which are meant and are new under theirs."""
        keep, leads = selection.tensor(file.path), selection.may_begin(file.path)
        lost = set(self._comparer.added(before, file, keep, leads))
        if not lost:
            return []
        moved = self._comparer.moved(before, file)
        return [old for name, old in moved.items() if name in lost]

    def _file(self, tree: ObjectId, spec: str) -> tuple[str, Entry | None, str]:
        """Return the path of the file that a spec names, its entry, and the rest of the spec."""
        ends = [len(spec), *(place for place, char in enumerate(spec) if char == ":")]
        for end in ends:
            entry = trees.find(self._comparer.store, tree, spec[:end])
            if entry is not None and entry.kind != "tree":
                return spec[:end], entry, spec[end:]
        return spec, None, ""
