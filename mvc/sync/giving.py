"""What an asker who may not read everything is given (docs/protocol.md, "give")."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.sync.closure import Found, walk
from mvc.sync.counted import Readable


class Given:
    """All that some versions lead to, their history included, and the factors of their chunks."""

    def __init__(self, repo: Repository, wants: Iterable[Found]) -> None:
        self._repo = repo
        scope = repo.chosen.scope
        starts = [item._replace(scope=scope) for item in wants]
        found = list(walk(repo.store, starts, ends=repo.shallow.commits()))
        self._ids = {item.id for item in found}
        self._chunks = [item.id for item in found if item.kind == "chunk"]
        # What all that may be read leads to, and of what.
        self._rest: tuple[frozenset[ObjectId], set[ObjectId]] = frozenset(), set()

    def __len__(self) -> int:
        return len(self._ids) + len(self._rest[1])

    def holds(self, wanted: ObjectId) -> bool:
        """Tell whether the versions lead to an object."""
        return wanted in self._ids or wanted in self._factors

    def may_know(self, base: ObjectId, readable: Readable) -> bool:
        """Tell whether anything that may be read leads to an object."""
        if base in self._ids:
            return True
        if self._rest[0] != readable.targets:
            scope = self._repo.chosen.scope
            wanted = readable.wanted(readable.targets)
            starts = [item._replace(scope=scope) for item in wanted]
            ends = self._repo.shallow.commits()
            found = {item.id for item in walk(self._repo.store, starts, ends=ends)}
            self._rest = readable.targets, found
        return base in self._rest[1]

    @cached_property
    def _factors(self) -> frozenset[ObjectId]:
        """Chunks that decoding needs and nothing names: they tell no more than what needs them."""
        found: set[ObjectId] = set()
        for item in self._chunks:
            try:
                for _, entry in self._repo.store.records(item):
                    found.update(entry.references[1:])
            except MvcError:
                continue
        return frozenset(found)
