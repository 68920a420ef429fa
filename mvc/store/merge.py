"""Copying what is still wanted out of packs that are small, or mostly garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mvc.base.ids import ObjectId
from mvc.store.census import Census, Pack, Record, nearest
from mvc.store.directory import MAX_DEPTH, BlockEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import open_pack, parse
from mvc.store.rewrite import Rewriter

SMALL_BYTES = 64 << 20
WASTE = 0.1


class Merger:
    """Chooses packs to be rewritten, and copies from them what is `wanted`."""

    def __init__(self, store: ObjectStore, packs: Census, wanted: set[ObjectId]) -> None:
        self._store = store
        self._packs = packs
        self._wanted = wanted
        self._records = nearest(packs)
        self._copies: dict[ObjectId, int] = {}
        for pack in packs.values():
            for item in pack.ids():
                self._copies[item] = self._copies.get(item, 0) + 1

    def choose(self, names: Iterable[str], *, thorough: bool) -> set[str]:
        """Return which of these packs are to be rewritten.

        Small ones if there are several, and those with enough garbage; with `thorough`, any that
        is garbage counts.
        """
        known = [self._packs[name] for name in names if name in self._packs]
        small = {pack.name for pack in known if pack.size < SMALL_BYTES}
        wasteful = {
            pack.name for pack in known if self.waste(pack) > (0 if thorough else WASTE * pack.size)
        }
        # One small pack beside one that is rewritten anyway is merged with it.
        return small | wasteful if len(small) > 1 or small & wasteful else wasteful

    def waste(self, pack: Pack) -> int:
        """Return about how many bytes of a pack nothing needs."""
        stored = sum(record.stored for record in pack.chunks)
        # Of a pack without its tail a part is here.
        share = min(1.0, pack.size / stored) if stored else 1.0
        spare = round(
            share * sum(record.stored for record in pack.chunks if self._is_spare(record))
        )
        dead = [item for item in pack.objects if item not in self._wanted]
        blocks = max(0, pack.size - stored)
        total = len(pack.chunks) + len(pack.objects)
        gone = len(dead) + sum(record.id not in self._wanted for record in pack.chunks)
        return spare + (blocks * gone // total if total else 0)

    def copy(
        self,
        names: set[str],
        doomed: set[str],
        writer: Rewriter,
        advance: Callable[[int], None],
    ) -> None:
        """Copy what is wanted from some packs, unless packs that are not doomed have it as well."""
        staying = {name: pack for name, pack in self._packs.items() if name not in doomed}
        depths = {item: record.depth for item, record in nearest(staying).items()}
        objects = {item for pack in staying.values() for item in pack.objects}
        for name in sorted(names):
            self._copy_pack(self._packs[name], depths, objects, writer)
            advance(self._packs[name].size)
        writer.publish()

    def _copy_pack(
        self, pack: Pack, depths: dict[ObjectId, int], objects: set[ObjectId], writer: Rewriter
    ) -> None:
        reader, directory = open_pack(self._store.storage, pack.name, pack.head_bytes)
        for _, entry in parse(directory, whole=True):
            if isinstance(entry, BlockEntry):
                for item in reader.items(entry):
                    known = item.id in writer.written or item.id in objects
                    if item.id in self._wanted and not known:
                        writer.put(item)
            elif entry.id in self._wanted and entry.id not in writer.written:
                found = self._records[entry.id]
                best = depths.get(entry.id, MAX_DEPTH + 1)
                if best > found.depth == entry.depth and entry.references == found.references:
                    writer.copy(reader, entry, entry.depth)

    def _is_spare(self, record: Record) -> bool:
        """Tell whether a record is garbage, or another copy is as good."""
        if record.id not in self._wanted:
            return True
        return self._copies[record.id] > 1 and record is not self._records[record.id]
