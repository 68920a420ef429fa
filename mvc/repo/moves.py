"""Where a file was before: renamed, or written in another format, between two versions."""

from __future__ import annotations

from functools import cached_property
from posixpath import splitext

from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.parts import Comparer, FileAt

CANDIDATES = 64
"""Files of other names that are compared tensor by tensor, at most."""


class Moves:
    """The files that a version has and the next one does not."""

    def __init__(self, comparer: Comparer, old: ObjectId, new: ObjectId) -> None:
        self._comparer = comparer
        self._trees = old, new

    @cached_property
    def _gone(self) -> dict[str, Entry]:
        old, new = self._trees
        changed = trees.changed(self._comparer.store, old, new, separator="/")
        return {path: one for path, one, two in changed if one is not None and two is None}

    def origin(self, file: FileAt) -> FileAt | None:
        """Return where a file was that is new under its name, None if it was nowhere.

        That is a file that is gone and has the same bytes, the same tensors, or at least half of
        its tensors; for the same name with another ending, it is enough that half of the names of
        tensors are the same.
        """
        gone = [FileAt(path, entry) for path, entry in self._gone.items()]
        for before in gone:
            if before.entry.id == file.entry.id:
                return before
        new = self._comparer.model(file)
        if new is None:
            return None
        models = [(before, self._comparer.model(before)) for before in gone[:CANDIDATES]]
        for before, old in models:
            if old is not None and old.tensors == new.tensors:
                return before
        if not any(old for _, old in models):
            return None
        tensors = trees.tensors(self._comparer.store, new.tensors)
        count = len(tensors)
        scored = [(self._alike(old.tensors, tensors), before) for before, old in models if old]
        best = max(scored, key=lambda item: item[0])
        if best[0][0] * 2 >= count > 0:
            return best[1]
        stem = splitext(file.path)[0]
        for (_, named), before in scored:
            if splitext(before.path)[0] == stem and named * 2 >= count > 0:
                return before
        return None

    def _alike(self, old: ObjectId, new: dict[str, Entry]) -> tuple[int, int]:
        """Return how many tensors a file has, by whatever names, and how many of their names."""
        before = trees.tensors(self._comparer.store, old)
        ids = {entry.id for entry in before.values()}
        return sum(entry.id in ids for entry in new.values()), len(before.keys() & new.keys())
