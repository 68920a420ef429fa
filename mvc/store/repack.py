"""Carrying out a plan: chunks are coded anew into new packs, and the rest of old packs is copied.

At every moment each record can be decoded: new ones have depths above those of the newest copies
of their bases, old ones still have the old copies, and of several copies the store reads the one of
least depth. Nothing is deleted here (`mvc.store.sweep`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from mvc.base.errors import LimitError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.codec.segments import join
from mvc.store.census import Census, Record, nearest
from mvc.store.chunks import Words, code
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
        self.freed: set[ObjectId] = set()
        self._factors = {item for record in self.records.values() for item in record.references[1:]}
        self._homes: dict[ObjectId, list[str]] = {}
        for name, pack in others.items():
            for item in pack.chunks:
                self._homes.setdefault(item.id, []).append(name)
                if item.id in there:
                    self.doomed.add(name)

    def free(self, wanted: Container[ObjectId]) -> None:
        """Forget factors that no record needs any more, unless they are wanted otherwise."""
        needed = {item for record in self.records.values() for item in record.references}
        self.freed = self._factors - needed - self.settled
        self.freed = {item for item in self.freed if item not in wanted}
        for item in self.freed:
            self.records.pop(item, None)

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


class Coded(NamedTuple):
    """A record coded anew, and the factor that it needs."""

    new: NewChunk
    factor: NewChunk | None


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
        self._factors: dict[ObjectId, Record] = {}

    def carry_out(self, decisions: list[Decision]) -> None:
        """Code anew what is to have another base; bases come before what stands on them."""
        layout = self._layout
        for decision, new in self._outcomes(decisions):
            before = layout.records[decision.member.id]
            if new == before:
                self._move(before)
            else:
                layout.replace(new)
                layout.coded += 1
            self._costs[new.id] = self._cost(new)

    def _move(self, before: Record) -> None:
        """Let a record that stays go up or down with its base, so that depths remain small.

        It is copied at once: what is coded next may need it at its new depth.
        """
        layout, writer = self._layout, self._writer
        depth = layout.depth_above(before.references)
        if before.depth == depth:
            return
        layout.replace(before._replace(depth=depth))
        if writer is not None:
            reader, entry = self._store.chunk_entry(before.id)
            if entry.references == before.references:
                writer.copy(reader, entry, depth)
                self._advance(before.raw)

    def clear(self, wanted: Container[ObjectId] = ()) -> None:
        """Copy what is left in packs that something was taken from.

        Factors are left out that nothing stands on any more, unless they are `wanted`.
        """
        layout, packs = self._layout, self._packs
        layout.free(wanted)
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

        def coded_anew(decision: Decision) -> Coded | None:
            if writer is None or self._stays(decision):
                return None
            return self._code(decision, decision.base)

        pairs = zip(decisions, ordered_map(coded_anew, decisions), strict=True)
        for decision, coded in pairs:
            before = layout.records[decision.member.id]
            if self._stays(decision):
                yield decision, before
            elif coded is None or writer is None:
                yield decision, self._foreseen(decision, before)
            else:
                self._advance(before.raw)
                yield decision, self._written(decision, before, coded, writer)

    def _stays(self, decision: Decision) -> bool:
        now = self._layout.records[decision.member.id].base
        return decision.base == now and not decision.anew

    def _foreseen(self, decision: Decision, before: Record) -> Record:
        references = () if decision.base is None else (decision.base,)
        return before._replace(
            stored=round(decision.bytes),
            depth=self._layout.depth_above(references),
            references=references,
            low_rank=False,
        )

    def _written(
        self, decision: Decision, before: Record, coded: Coded, writer: Rewriter
    ) -> Record:
        """Write what was coded and return its record; that from before where it is as good."""
        coded, found = self._affordable(decision, coded)
        if self._is_as_good(decision, before, found):
            return before
        layout = self._layout
        if coded.factor is not None and coded.factor.id not in layout.records:
            writer.add(coded.factor)
            layout.replace(_record(coded.factor))
        found = found._replace(depth=layout.depth_above(found.references))
        writer.add(replace(coded.new, depth=found.depth))
        return found

    def _is_as_good(self, decision: Decision, before: Record, found: Record) -> bool:
        """Tell whether the old record is no larger and no further from its start than the new."""
        base = before.base
        # What is still to be decided may come to stand on this very chunk.
        decided = base is None or base in self._costs or base in self._layout.settled
        return (
            decision.sound
            and decided
            and self._bytes(before) <= self._bytes(found)
            and self._cost(before) <= self._cost(found)
            and self._layout.depth_above(before.references) <= self._limits.depth
        )

    def _code(self, decision: Decision, base: ObjectId | None) -> Coded:
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
        return Coded(*code(self._store, words, MAX_DEPTH))

    def _affordable(self, decision: Decision, coded: Coded) -> tuple[Coded, Record]:
        """Return what was coded, or else without base if recovery would cost too much after all."""
        found = self._told(coded)
        if not found.references:
            return coded, found
        cost, effort = self._cost(found), work(found)
        deep = self._layout.depth_above(found.references) > self._limits.depth
        if not deep and cost <= self._limits.budget * (decision.full + effort):
            return coded, found
        alone = self._code(decision, None)
        whole = self._told(alone)
        if not deep and cost <= self._limits.budget * (whole.stored + effort):
            return coded, found
        return alone, whole

    def _told(self, coded: Coded) -> Record:
        """Return the record of what was coded; its factor becomes known."""
        if coded.factor is not None:
            self._factors[coded.factor.id] = _record(coded.factor)
        return _record(coded.new)

    def _cost(self, found: Record) -> float:
        return found.stored + work(found) + sum(map(self._below, found.references))

    def _below(self, item: ObjectId) -> float:
        if item in self._costs:
            return self._costs[item]
        if item in self._factors:
            return self._factors[item].stored + work(self._factors[item])
        return self._recovery.of(item)

    def _bytes(self, found: Record) -> int:
        """Return the bytes of a record and its factor."""
        factors = found.references[1:]
        known = [self._factors.get(item) or self._layout.records.get(item) for item in factors]
        return found.stored + sum(item.stored for item in known if item)

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
            elif entry.id not in writer.written and entry.id in self._layout.records:
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
