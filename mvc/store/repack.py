"""Carrying out a plan: chunks are coded anew into new packs, and the rest of old packs is copied.

At every moment each record can be decoded: new ones have depths above those of the newest copies
of their bases, old ones still have the old copies, and of several copies the store reads the one of
least depth. Nothing is deleted here (`mvc.store.sweep`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from mvc.base.errors import LimitError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.codec.segments import join
from mvc.store.census import Census, Record, nearest
from mvc.store.chunks import Words, record
from mvc.store.decode import load
from mvc.store.directory import MAX_DEPTH, BlockEntry
from mvc.store.object_store import ObjectStore
from mvc.store.pack import NewChunk
from mvc.store.pack_reader import open_pack, parse
from mvc.store.plan import Limits
from mvc.store.planner import Decision, Recovery, work
from mvc.store.rewrite import Rewriter


class Layout:
    """How chunks are stored once all that was decided so far is done.

    Packs that are `fixed` stay. `doomed` are others that something was taken from, or that hold
    what a fixed one holds, too, as after a run that was cut off. `frozen` chunks keep their
    records wherever they are.
    """

    def __init__(
        self, packs: Census, fixed: set[str], frozen: frozenset[ObjectId] = frozenset()
    ) -> None:
        staying = {name: pack for name, pack in packs.items() if name in fixed}
        others = {name: pack for name, pack in packs.items() if name not in fixed}
        there = nearest(staying)
        self.records = {**nearest(others), **there}
        self.settled = frozen | there.keys()
        self.doomed: set[str] = set()
        self.coded = 0
        self._homes: dict[ObjectId, list[str]] = {}
        for name, pack in others.items():
            for item in pack.chunks:
                self._homes.setdefault(item.id, []).append(name)
                if item.id in there:
                    self.doomed.add(name)

    def depth_above(self, references: Iterable[ObjectId]) -> int:
        """Return the least depth of a record that needs these chunks."""
        found = [self.records[item].depth for item in references if item in self.records]
        return max(found) + 1 if found else 0

    def replace(self, new: Record) -> None:
        """Note that a chunk gets another record."""
        if new.depth > MAX_DEPTH:
            raise LimitError(f"a chain of more than {MAX_DEPTH} deltas")
        self.records[new.id] = new
        self.doomed.update(self._homes.get(new.id, ()))

    def lift(self) -> None:
        """Give records that no plan knows a depth above that of their bases."""
        waiting = sorted(
            (item for item in self.records.values() if item.references and item.id in self._homes),
            key=lambda item: item.depth,
        )
        moved = True
        while moved:
            moved = False
            for before in waiting:
                found = self.records[before.id]
                depth = self.depth_above(found.references)
                if found.depth < depth and before.id not in self.settled:
                    self.replace(found._replace(depth=depth))
                    moved = True


def closed(packs: Census, names: Iterable[str]) -> set[str]:
    """Return those packs whose records stand on records in them alone, each of less depth."""
    found = {name for name in names if name in packs}
    while True:
        depths = {
            item: record.depth
            for item, record in nearest({name: packs[name] for name in found}).items()
        }
        open_ = {
            name
            for name in found
            for record in packs[name].chunks
            if any(depths.get(item, record.depth) >= record.depth for item in record.references)
        }
        if not open_:
            return found
        found -= open_


class Repacker:
    """Carries out decisions, group by group, then clears what they leave of old packs.

    Without a writer nothing is done, but `layout` tells what would be.
    """

    def __init__(
        self,
        store: ObjectStore,
        packs: Census,
        layout: Layout,
        limits: Limits,
        writer: Rewriter | None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._packs = packs
        self._limits = limits
        self._writer = writer
        self._advance = advance
        self._layout = layout
        self._recovery = Recovery(dict(layout.records))
        self._costs: dict[ObjectId, float] = {}

    def carry_out(self, decisions: list[Decision]) -> None:
        """Code anew what is to have another base; bases come before what stands on them."""
        layout = self._layout
        for decision, new in self._outcomes(decisions):
            before = layout.records[decision.member.id]
            if new == before:
                # The representation stays; it moves with its base, so that depths remain small.
                depth = layout.depth_above(before.references)
                if before.depth != depth:
                    layout.replace(before._replace(depth=depth))
            else:
                layout.replace(new)
                layout.coded += 1
            self._costs[new.id] = self._cost(new)

    def clear(self) -> None:
        """Copy what is left in packs that something was taken from."""
        layout, packs = self._layout, self._packs
        layout.lift()
        if self._writer is None:
            return
        staying = {name: pack for name, pack in packs.items() if name not in layout.doomed}
        depths = {item: record.depth for item, record in nearest(staying).items()}
        objects = {item for pack in staying.values() for item in pack.objects}
        for name in sorted(layout.doomed):
            self._copy_rest(name, depths, objects, self._writer)
        self._writer.publish()

    def _outcomes(self, decisions: list[Decision]) -> Iterator[tuple[Decision, Record]]:
        """Yield what each chunk's record is to be, having written it if it is new."""
        layout, writer = self._layout, self._writer

        def code(decision: Decision) -> NewChunk | None:
            stays = decision.base == layout.records[decision.member.id].base
            return None if stays or writer is None else self._code(decision, decision.base)

        pairs = zip(decisions, ordered_map(code, decisions), strict=True)
        for decision, new in pairs:
            before = layout.records[decision.member.id]
            if decision.base == before.base:
                yield decision, before
            elif new is None or writer is None:
                references = () if decision.base is None else (decision.base,)
                depth = layout.depth_above(references)
                yield (
                    decision,
                    Record(
                        before.id,
                        before.word,
                        before.words,
                        round(decision.bytes),
                        depth,
                        references,
                        low_rank=False,
                    ),
                )
            else:
                new = self._affordable(decision, new)
                if not _references(new) and not before.references:
                    # The base did not pay after all.
                    yield decision, before
                    continue
                new = replace(new, depth=layout.depth_above(_references(new)))
                writer.add(new)
                self._advance(before.raw)
                yield decision, _record(new)

    def _code(self, decision: Decision, base: ObjectId | None) -> NewChunk:
        member = decision.member
        segments = load(self._store, member.id)
        word = sum(part.itemsize for part in segments)
        kind = member.kind
        words = Words(
            join(segments, word),
            word,
            kind.family,
            (base,) if base is not None else (),
            kind.dtype,
            kind.columns,
            member.start,
            kind.stride,
        )
        return record(self._store, words, MAX_DEPTH)

    def _affordable(self, decision: Decision, new: NewChunk) -> NewChunk:
        """Return the record, or one without base if recovery would cost too much after all."""
        coded = _record(new)
        if not coded.references:
            return new
        cost, effort = self._cost(coded), work(coded)
        deep = self._layout.depth_above(coded.references) > self._limits.depth
        if not deep and cost <= self._limits.budget * (decision.full + effort):
            return new
        alone = self._code(decision, None)
        full = _record(alone).stored
        return new if not deep and cost <= self._limits.budget * (full + effort) else alone

    def _cost(self, found: Record) -> float:
        below = (self._costs.get(item) or self._recovery.of(item) for item in found.references)
        return found.stored + work(found) + sum(below)

    def _copy_rest(
        self, name: str, depths: dict[ObjectId, int], objects: set[ObjectId], writer: Rewriter
    ) -> None:
        """Copy what a pack holds and no other has as well or as low."""
        reader, directory = open_pack(self._store.storage, name, self._packs[name].head_bytes)
        for _, entry in parse(directory, whole=True):
            if isinstance(entry, BlockEntry):
                for item in reader.items(entry):
                    if item.id not in writer.written and item.id not in objects:
                        writer.put(item)
            elif entry.id not in writer.written:
                found = self._layout.records[entry.id]
                best = depths.get(entry.id, MAX_DEPTH + 1)
                if best > found.depth and entry.references == found.references:
                    writer.copy(reader, entry, found.depth)
                    self._advance(found.raw)


def _record(new: NewChunk) -> Record:
    return Record(
        new.id,
        new.word,
        new.words,
        sum(map(len, new.sections)),
        new.depth,
        _references(new),
        new.factors is not None,
    )


def _references(new: NewChunk) -> tuple[ObjectId, ...]:
    return tuple(item for item in (new.base, new.factors) if item is not None)
