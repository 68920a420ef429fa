"""Removing packs: only those that nothing needs any more, whatever was written meanwhile.

Call while holding the writers' lock alone (`mvc.store.locks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter

from mvc.base.errors import IntegrityError, TailAwayError
from mvc.base.ids import ObjectId
from mvc.storage import keys
from mvc.storage.base import Listed
from mvc.store.census import Census, Record
from mvc.store.object_store import UNREADABLE, ObjectStore


@contextmanager
def nothing_replaced() -> Iterator[None]:
    """Say of damage that was found inside that nothing has gone, and what to do."""
    try:
        yield
    except IntegrityError as error:
        hint = error.hint or "run `mvc fsck` to see which versions it affects"
        raise type(error)(f"{error.message}; no pack was removed", hint=hint) from error


def removable(packs: Census, doomed: Iterable[str], wanted: Callable[[ObjectId], bool]) -> set[str]:
    """Return which of the doomed packs can go.

    What is `wanted`, and what records in other packs stand on, must be in a pack that stays; a
    base in a record of less depth than each that needs it. Packs that hold the only such copy
    stay.
    """
    sorting = _Sorting(packs, doomed)
    for item in sorting.spare():
        if wanted(item):
            sorting.call_back(item, None)
    sorting.settle()
    return sorting.gone


def sound(store: ObjectStore, packs: Census, doomed: Iterable[str], known: Iterable[str]) -> Census:
    """Return packs without records that are damaged where they would stand in for doomed ones.

    Only packs that were `known` before are looked into: what was written since was verified then.
    """
    going = set(doomed)
    spare = {record.id for name in going & packs.keys() for record in packs[name].chunks}
    found = dict(packs)
    for name in (packs.keys() & set(known)) - going:
        whole = tuple(
            record
            for record in packs[name].chunks
            if record.id not in spare or _intact(store, name, record.id)
        )
        found[name] = packs[name]._replace(chunks=whole)
    return found


def _intact(store: ObjectStore, pack: str, item: ObjectId) -> bool:
    """Tell whether the sections of a chunk in a pack have their checks, as far as they are here."""
    for reader, entry in store.records(item):
        if reader.name == pack:
            try:
                reader.sections(entry, len(entry.sections))
            except TailAwayError:
                return True
            except UNREADABLE:
                return False
            return True
    return False


class _Sorting:
    """Packs that go and packs that stay, and the least depth at which each object stays."""

    def __init__(self, packs: Census, doomed: Iterable[str]) -> None:
        self._packs = packs
        self.gone = {name for name in doomed if name in packs}
        self._spare: dict[ObjectId, list[tuple[int, str]]] = {}
        self._kept: dict[ObjectId, int] = {}
        self._pending: list[Record] = []
        for name in self.gone:
            for record in packs[name].chunks:
                self._spare.setdefault(record.id, []).append((record.depth, name))
            for item in packs[name].objects:
                self._spare.setdefault(item, []).append((0, name))
        for name in packs.keys() - self.gone:
            self._keep(name)

    def spare(self) -> list[ObjectId]:
        """Return what doomed packs hold."""
        return list(self._spare)

    def call_back(self, item: ObjectId, below: int | None) -> None:
        """Keep the doomed pack with the lowest copy of an object, unless a good one stays anyway.

        A copy is good if its depth is less than `below`.
        """
        held = self._kept.get(item)
        if held is not None and (below is None or held < below):
            return
        copies = [copy for copy in self._spare.get(item, ()) if copy[1] in self.gone]
        if copies and (held is None or min(copies)[0] < held):
            self._keep(min(copies)[1])

    def settle(self) -> None:
        """Call back what the records that stay stand on."""
        while self._pending:
            record = self._pending.pop()
            for item in record.references:
                self.call_back(item, record.depth)

    def _keep(self, name: str) -> None:
        self.gone.discard(name)
        for item in self._packs[name].objects:
            self._kept[item] = 0
        for record in self._packs[name].chunks:
            self._kept[record.id] = min(record.depth, self._kept.get(record.id, record.depth))
            self._pending.append(record)


def remove(store: ObjectStore, names: Iterable[str], packs: Census) -> None:
    """Delete packs, heads first: a head without its tail would be damage.

    Packs whose records stand on others go before those, so that what an interruption leaves can
    be read; `packs` tells of their records.
    """
    listed = _outermost_first(sorted(names), packs)
    store.index.remove(listed)
    for name in listed:
        store.storage.delete(keys.pack_head(name))
    for name in listed:
        store.storage.delete(keys.pack_tail(name))
    # A reader may have indexed a pack again before its file was gone.
    store.refresh()


def _outermost_first(names: list[str], packs: Census) -> list[str]:
    holders: dict[ObjectId, set[str]] = {}
    chunks = {name: packs[name].chunks if name in packs else [] for name in names}
    for name in names:
        for record in chunks[name]:
            holders.setdefault(record.id, set()).add(name)
    above: dict[str, set[str]] = {name: set() for name in names}
    for name in names:
        for record in chunks[name]:
            for item in record.references:
                for other in holders.get(item, set()) - {name}:
                    above[other].add(name)
    try:
        return [*TopologicalSorter(above).static_order()]
    except CycleError:
        deepest = {
            name: max((record.depth for record in chunks[name]), default=0) for name in names
        }
        return sorted(names, key=lambda name: (-deepest[name], name))


def orphans(store: ObjectStore) -> list[Listed]:
    """Return tails without heads: what a writer left that died between the two."""
    listed = store.storage.list(keys.PACKS)
    heads = {item.key for item in listed if item.key.endswith(".head")}
    return [
        item
        for item in listed
        if item.key.endswith(".tail") and f"{item.key.removesuffix('.tail')}.head" not in heads
    ]
