"""From lineages and records to decisions: which chunk is coded anew, and against what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import NamedTuple

from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.store import estimate
from mvc.store.candidates import candidates
from mvc.store.census import Record
from mvc.store.estimate import Sample, Samples
from mvc.store.lineage import Lineages, Member
from mvc.store.object_store import ObjectStore
from mvc.store.plan import Limits, Node, plan

DECODE_WORK = 0.05
"""What decoding a byte of words costs, in bytes read."""
DOUBT = 1.02
"""Estimates must promise more than this over what is known, or nothing is coded anew."""
PAYS = 0.97
TRIED_SIBLINGS = 4
_DELTA_SHARE = 0.85


class Decision(NamedTuple):
    """What a chunk is to stand on, and the bytes expected for its record, and alone.

    The record that it has is `sound` if it stands on nothing, or on what versions reach; it is to
    be coded `anew` where another coding against the same base is smaller.
    """

    member: Member
    base: ObjectId | None
    bytes: float
    full: float
    sound: bool = True
    anew: bool = False


class Recovery:
    """What recovering chunks costs: bytes read and words decoded, along the chain of bases."""

    def __init__(self, records: Mapping[ObjectId, Record]) -> None:
        self._records = records
        self._known: dict[ObjectId, float] = {}

    def of(self, wanted: ObjectId) -> float:
        """Return the cost of a chunk, that of its bases included."""
        pending = [wanted]
        while pending:
            record = self._records.get(pending[-1])
            if record is None or pending[-1] in self._known:
                self._known.setdefault(pending.pop(), 0.0)
                continue
            open_ = [item for item in record.references if item not in self._known]
            if open_ and len(pending) <= len(self._records):
                pending.extend(open_)
                continue
            below = sum(self._known.get(item, 0.0) for item in record.references)
            self._known[pending.pop()] = below + record.stored + work(record)
        return self._known[wanted]


def work(record: Record) -> float:
    """Return what decoding a record costs beside reading it."""
    return DECODE_WORK * record.raw


class Planner:
    """Plans one group of related chunks after another.

    What is `settled` keeps its record and can be a base. A `thorough` one looks for low-rank
    deltas everywhere, not only where there are some. `advance` is told of bytes that were looked
    at.
    """

    def __init__(
        self,
        store: ObjectStore,
        lineages: Lineages,
        records: Mapping[ObjectId, Record],
        settled: Callable[[ObjectId], bool],
        limits: Limits,
        advance: Callable[[int], None] = lambda _: None,
        *,
        thorough: bool = False,
    ) -> None:
        self.thorough = thorough
        self.store = store
        self.records = records
        self.settled = settled
        self.limits = limits
        self.advance = advance
        self.samples = Samples(store)
        self.recovery = Recovery(records)
        self._lineages = lineages

    def decide(self, group: list[int]) -> list[Decision]:
        """Return what becomes of the members of a group that are not settled, bases first.

        Raises IntegrityError where a chunk cannot be read.
        """
        everyone = self._lineages.members
        known = [number for number in group if everyone[number].id in self.records]
        if all(self.settled(everyone[number].id) for number in known):
            return []
        local = {number: place for place, number in enumerate(known)}
        parents = [local.get(everyone[number].parent, -1) for number in known]
        return _Group(self, [everyone[number] for number in known], parents).decide()


class _Group:
    """Related chunks: members, where each came from, and their records."""

    def __init__(self, planner: Planner, members: list[Member], parents: list[int]) -> None:
        self._planner = planner
        self._members = members
        self._parents = parents
        self._records = [planner.records[member.id] for member in members]
        self._settled = [planner.settled(member.id) for member in members]
        places = {member.id: place for place, member in enumerate(members)}
        # Where the base of each record is, -1 where it has none or one that no version reaches.
        self._bases = [places.get(r.base, -1) if r.base else -1 for r in self._records]
        self._alone: dict[int, float] = {}
        self._pairs: dict[tuple[int, int], float] = {}
        # Bytes of low-rank deltas, by what is coded and its base.
        self._ranks: dict[tuple[int, int], int] = {}
        self._scale = _DELTA_SHARE

    def decide(self) -> list[Decision]:
        """See Planner."""
        siblings = self._siblings_pay()
        if not siblings and not self._planner.thorough and self._is_fine():
            return [
                Decision(member, record.base, record.stored, self._fulls()[place])
                for place, (member, record) in enumerate(
                    zip(self._members, self._records, strict=True)
                )
                if not self._settled[place]
            ]
        wanted = candidates(self._parents, siblings=siblings)
        for place, base in enumerate(self._bases):
            if base >= 0 and base not in wanted[place]:
                wanted[place].append(base)
        self._measure(wanted)
        self._measure_ranks(wanted)
        self._scale = self._compared()
        fulls = self._fulls()
        nodes = [self._node(place, fulls[place], bases) for place, bases in enumerate(wanted)]
        return self._decisions(nodes, plan(nodes, self._planner.limits, self._now()))

    def _now(self) -> list[int | None] | None:
        """Return the bases that records have, None where one is nothing that versions reach."""
        places = range(len(self._members))
        if not all(self._settled[place] or self._is_sound(place) for place in places):
            return None
        return [None if base < 0 else base for base in self._bases]

    def _is_sound(self, place: int) -> bool:
        return self._bases[place] >= 0 or not self._records[place].references

    def _decisions(self, nodes: list[Node], bases: list[int | None]) -> list[Decision]:
        depths: dict[int, int] = {}
        for place in range(len(nodes)):
            path = [place]
            while (base := bases[path[-1]]) is not None and base not in depths:
                path.append(base)
            for item in reversed(path):
                above = bases[item]
                depths[item] = 0 if above is None else depths[above] + 1
        order = sorted(range(len(nodes)), key=lambda place: depths[place])
        found = []
        for place in order:
            if self._settled[place]:
                continue
            base, node = bases[place], nodes[place]
            size = node.full if base is None else dict(node.edges)[base]
            name = None if base is None else self._members[base].id
            sound = self._is_sound(place)
            anew = base is not None and base == self._bases[place] and self._gains_rank(place, base)
            found.append(Decision(self._members[place], name, size, node.full, sound, anew))
        return found

    def _is_fine(self) -> bool:
        """Tell whether all is plain or on the start of its lineage, as devices on a release.

        There is nothing to gain then, and nothing has to be read to know it.
        """
        fulls = self._fulls()
        for place, record in enumerate(self._records):
            if self._settled[place]:
                continue
            parent, base = self._parents[place], self._bases[place]
            above = self._parents[parent] if parent >= 0 else -1
            cost = self._planner.recovery.of(record.id)
            most = self._planner.limits.budget * (fulls[place] + work(record))
            if parent != base or above >= 0 or (record.base and base < 0) or cost > most:
                return False
        return True

    def _siblings_pay(self) -> bool:
        """Tell whether members are nearer to those from the same parent than to the parent.

        A few of the largest brood are looked at.
        """
        children: dict[int, list[int]] = {}
        for place, parent in enumerate(self._parents):
            if parent >= 0:
                children.setdefault(parent, []).append(place)
        parent, brood = max(
            children.items(), key=lambda item: len(item[1]), default=(-1, list[int]())
        )
        if len(brood) < 2 or all(self._settled[place] for place in brood):
            return False
        first, *others = brood[: TRIED_SIBLINGS + 1]
        won = 0
        for place in others:
            if self._comparable(place, first) and self._comparable(place, parent):
                won += self._pair(place, first) < PAYS * self._pair(place, parent)
        return 2 * won > len(others)

    def _measure(self, wanted: list[list[int]]) -> None:
        """Estimate all members alone and against their candidates, reading each about once."""
        samples, members = self._planner.samples, self._members
        later: dict[int, list[int]] = {}
        for place, bases in enumerate(wanted):
            for base in bases:
                if self._comparable(place, base) and not (
                    self._settled[place] and self._settled[base]
                ):
                    later.setdefault(max(place, base), []).append(min(place, base))

        def fetch(place: int) -> tuple[int, Sample]:
            return place, samples.get(members[place].id)

        used = sorted({*later, *(low for lows in later.values() for low in lows)})
        for place, sample in ordered_map(fetch, used):
            self._planner.advance(self._records[place].raw)
            self._alone[place] = estimate.alone(sample, members[place].kind.family)
            for other in later.get(place, ()):
                self._pair(place, other)

    def _measure_ranks(self, wanted: list[list[int]]) -> None:
        """Where low-rank deltas occur, look for them against what came before and the start."""
        thorough = self._planner.thorough
        if not thorough and not any(record.low_rank for record in self._records):
            return
        starts: list[int] = []
        for place, parent in enumerate(self._parents):
            starts.append(starts[parent] if parent >= 0 else place)
        pairs = [
            (place, base)
            for place, bases in enumerate(wanted)
            for base in dict.fromkeys((self._parents[place], starts[place]))
            if base in bases and self._comparable(place, base) and not self._settled[place]
            if base != self._bases[place] or (thorough and not self._records[place].low_rank)
        ]

        def measured(pair: tuple[int, int]) -> int | None:
            return estimate.merged(self._planner.store, *(self._members[item] for item in pair))

        for pair, size in zip(pairs, ordered_map(measured, pairs), strict=True):
            if size is not None:
                self._ranks[pair] = size

    def _comparable(self, one: int, two: int) -> bool:
        first, second = self._records[one], self._records[two]
        return one != two and (first.word, first.words) == (second.word, second.words)

    def _pair(self, one: int, two: int) -> float:
        """Return about how many bytes a word of one takes against the other, whichever way."""
        key = (min(one, two), max(one, two))
        if key not in self._pairs:
            samples, kind = self._planner.samples, self._members[one].kind
            sample, base = (samples.get(self._members[place].id) for place in key)
            self._pairs[key] = estimate.against(sample, base, kind.family)
        return self._pairs[key]

    def _fulls(self) -> list[float]:
        """Return the bytes of each member alone: known, or told from those that are."""
        plain = [place for place, record in enumerate(self._records) if not record.references]
        known = [place for place in plain if place in self._alone]
        if known:
            scale = fmean(
                self._records[place].stored / (self._alone[place] * self._records[place].words or 1)
                for place in known
            )
        else:
            scale = 1.0
        share = (
            fmean(self._records[place].stored / self._records[place].raw for place in plain)
            if plain
            else 1.0
        )
        found = []
        for place, record in enumerate(self._records):
            if not record.references:
                found.append(float(record.stored))
            elif place in self._alone:
                found.append(min(scale * self._alone[place] * record.words, record.raw))
            else:
                found.append(share * record.raw)
        return found

    def _node(self, place: int, full: float, bases: list[int]) -> Node:
        record = self._records[place]
        if self._settled[place]:
            cost = self._planner.recovery.of(record.id)
            return Node(full, work(record), (), (cost, record.depth))
        edges = []
        for base in bases:
            if base == self._bases[place] and not self._gains_rank(place, base):
                size = float(record.stored + self._factor_bytes(record))
            elif (place, base) in self._ranks:
                size = DOUBT * self._ranks[place, base]
            elif self._comparable(place, base):
                # The start is as near as can be, and so worth a new record if in doubt.
                doubt = 1.0 if self._parents[base] < 0 else DOUBT
                size = doubt * self._scale * self._pair(place, base) * record.words
            else:
                continue
            if size < (full if base == self._bases[place] else PAYS * full):
                edges.append((base, size))
        return Node(full, work(record), tuple(edges))

    def _gains_rank(self, place: int, base: int) -> bool:
        """Tell whether a record would be smaller as a low-rank delta against the base it has."""
        found = self._ranks.get((place, base))
        return found is not None and DOUBT * found < self._records[place].stored

    def _factor_bytes(self, record: Record) -> int:
        factors = (self._planner.records.get(item) for item in record.references[1:])
        return sum(factor.stored for factor in factors if factor)

    def _compared(self) -> float:
        """Return how records compare with estimates where both are known."""
        real = guess = 0.0
        for place, base in enumerate(self._bases):
            key = (min(place, base), max(place, base))
            if key in self._pairs and not self._records[place].low_rank:
                real += self._records[place].stored
                guess += self._pairs[key] * self._records[place].words
        return min(max(real / guess, 0.5), 1.5) if guess else _DELTA_SHARE
