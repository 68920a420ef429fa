"""Store chunks against better bases: fewer bytes, and no version far from its start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from mvc.base.errors import IntegrityError, NegativeAnswer, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.repo.lineages import lineages
from mvc.repo.reach import Reach, roots
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel
from mvc.store import settled, sweep
from mvc.store.census import Record, census, nearest, needed
from mvc.store.directory import MAX_DEPTH
from mvc.store.lineage import Lineages
from mvc.store.locks import alone, maintenance
from mvc.store.plan import Limits
from mvc.store.planner import Planner, Recovery, work
from mvc.store.repack import Layout, Repacker, closed
from mvc.store.rewrite import Rewriter
from mvc.store.settled import Settled
from mvc.store.tails import is_remote

MARGIN = 0.98
"""Plans stay so far below the budget, because they are made from estimates."""
WORTHWHILE = 0.99
"""A repack that leaves more of the bytes than this saves nothing worth speaking of."""
_TINY = 1 << 12


@dataclass(frozen=True, slots=True)
class RepackRequest:
    """Limits of recovery (None: as configured), whether to do it, and whether to start over."""

    budget: float | None = None
    max_depth: int | None = None
    dry_run: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """How a store is packed: bytes, packs, chunks by depth, and the worst cost of recovery.

    `recovery` is what the chunk that is furthest from its start costs, relative to what it would
    cost without base.
    """

    bytes: int
    packs: int
    depth: dict[int, int]
    recovery: float


@dataclass(frozen=True, slots=True)
class RepackResult:
    """What was done, or with `dry_run` would be; `postponed` packs wait for running writers.

    `budget` is what recovery might cost at most.
    """

    before: Summary
    after: Summary
    budget: float
    planned: int
    coded: int
    postponed: int
    dry_run: bool

    @property
    def advised(self) -> bool:
        """Tell whether it is worth doing: it saves bytes, or recovery was above the budget."""
        saves = self.after.bytes <= WORTHWHILE * self.before.bytes
        slow = self.before.recovery > self.budget and self.after.recovery < self.before.recovery
        return self.coded > 0 and (saves or slow)


def repack(
    repo: Repository, request: RepackRequest | None = None, progress: Progress = SILENT
) -> RepackResult:
    """Plan and carry out better representations; ids, files and history stay as they are.

    Cut off at any moment, it loses no more than the pack it was writing, and goes on there when
    it is run again. Raises IntegrityError in a damaged repository, NegativeAnswer beside another
    repack or gc.
    """
    request = request or RepackRequest()
    limits = _limits(repo, request)
    with maintenance(repo.scratch), sweep.nothing_replaced():
        return _Run(repo, limits, request, progress).run()


def _limits(repo: Repository, request: RepackRequest) -> Limits:
    budget = repo.config.get("repack.budget") if request.budget is None else request.budget
    depth = repo.config.get("repack.max_depth") if request.max_depth is None else request.max_depth
    if not isinstance(budget, int | float) or not budget >= 1:
        raise UsageError(
            f"a budget of {budget} is impossible", hint="1 is the cost of a version without base"
        )
    if not isinstance(depth, int) or not 0 <= depth <= MAX_DEPTH:
        raise UsageError(f"the depth is a number from 0 to {MAX_DEPTH}, not {depth}")
    return Limits(float(budget), depth)


class _Run:
    def __init__(
        self, repo: Repository, limits: Limits, request: RepackRequest, progress: Progress
    ) -> None:
        self._repo = repo
        self._limits = limits
        self._request = request
        self._progress = progress
        self._path = repo.folder / "repacked"
        self._staging = repo.scratch / "repack"
        repo.store.refresh()
        if repo.store.damaged:
            raise IntegrityError("a pack is damaged")
        self._packs = census(repo.store)
        self._settled = Settled(limits)
        # Bytes that chunks would take without base, as far as they were planned.
        self._alone: dict[ObjectId, float] = {}
        # Chunks that cannot be read without asking a remote: nothing is planned for or with them.
        self._apart: set[ObjectId] = set()

    def run(self) -> RepackResult:
        """See `repack`."""
        repo, packs = self._repo, self._packs
        lines = self._lineages()
        self._settled = Settled(self._limits, self._known(lines))
        away = {name for name in repo.offloaded.packs() if name in packs}
        frozen = needed((item for name in away for item in packs[name].ids()), nearest(packs))
        self._apart = self._at_remotes()
        fixed = away | self._settled.packs
        layout = Layout(packs, fixed, frozenset(frozen | self._apart))
        if self._request.dry_run:
            planned = self._carry_out(layout, lines, None)
            before = self._summary(lines, nearest(packs))
            saved = _stored(nearest(packs)) - _stored(layout.records)
            after = replace(self._summary(lines, layout.records), bytes=before.bytes - saved)
            return self._result(before, after, planned, layout.coded, 0)
        with Rewriter(repo.store, repo.scratch, self._note) as writer:
            planned = self._carry_out(layout, lines, writer)
        before = self._summary(lines, nearest(packs))
        postponed = self._sweep(layout, set(writer.packs))
        self._packs = census(repo.store, self._packs)
        after = self._summary(lines, nearest(self._packs))
        return self._result(before, after, planned, layout.coded, postponed)

    def _result(
        self, before: Summary, after: Summary, planned: int, coded: int, postponed: int
    ) -> RepackResult:
        budget, dry_run = self._limits.budget, self._request.dry_run
        return RepackResult(before, after, budget, planned, coded, postponed, dry_run)

    def _carry_out(self, layout: Layout, lines: Lineages, writer: Rewriter | None) -> int:
        packs, progress = self._packs, self._progress
        limits = Limits(1 + (self._limits.budget - 1) * MARGIN, self._limits.depth)
        planner = Planner(
            self._repo.store,
            lines,
            {key: value for key, value in layout.records.items() if key not in self._apart},
            lambda item: item in layout.settled,
            limits,
            progress.advance,
            thorough=self._request.everything,
        )
        repacker = Repacker(self._repo.store, packs, layout, self._limits, writer, progress.advance)
        groups = lines.groups()
        total = sum(
            layout.records[lines.members[number].id].raw
            for group in groups
            for number in group
            if lines.members[number].id in layout.records
            and lines.members[number].id not in layout.settled
        )
        progress.start("repacking", 2 * total)
        planned = 0
        for group in groups:
            decisions = planner.decide(group)
            self._alone.update((item.member.id, item.full) for item in decisions)
            planned += len(decisions)
            repacker.carry_out(decisions)
        repacker.clear(lines.numbers)
        progress.finish()
        return planned

    def _at_remotes(self) -> set[ObjectId]:
        """Return the chunks whose lower bits are at remotes, and those that stand on such."""
        packs, listed = self._packs, self._repo.offloaded.packs()
        far = {name for name in packs if is_remote(listed.get(name, "/"))}
        found = {record.id for name in far for record in packs[name].chunks}
        for name in packs.keys() - far:
            found -= {record.id for record in packs[name].chunks}
        before = -1
        while len(found) != before:
            before = len(found)
            for record in nearest(packs).values():
                if not found.isdisjoint(record.references):
                    found.add(record.id)
        return found

    def _lineages(self) -> Lineages:
        repo = self._repo
        starts = [peel(repo, item) for item in roots(repo) if self._is_version(item)]
        self._progress.start("reading versions", 0)
        lines = lineages(repo, starts)
        self._progress.finish()
        for record in nearest(self._packs).values():
            if record.id in lines.numbers and record.base in lines.numbers:
                lines.adopt(lines.numbers[record.id], lines.numbers[record.base])
        return lines

    def _known(self, lines: Lineages) -> frozenset[str]:
        """Return the packs that an earlier repack settled and that still are as it wants them."""
        known = settled.load(self._path)
        if known is None or known.limits != self._limits or self._request.everything:
            return frozenset()

        def fine(record: Record) -> bool:
            # What stands on something that no version reaches any more is to be freed of it.
            return not record.base or record.id not in lines.numbers or record.base in lines.numbers

        names = known.packs & self._packs.keys()
        return frozenset(
            closed(self._packs, [n for n in names if all(map(fine, self._packs[n].chunks))])
        )

    def _is_version(self, item: ObjectId) -> bool:
        return self._repo.store.kind(item) in ("commit", "tag")

    def _note(self, name: str) -> None:
        self._settled = self._settled.having({name}, set())
        self._settled.save(self._path, self._staging)

    def _wanted(self, freed: set[ObjectId]) -> Callable[[ObjectId], bool]:
        """Return what tells whether an object must be left: all must that were not freed.

        What was freed may have come to be of use as content meanwhile.
        """
        if freed:
            reach = Reach(self._repo)
            reach.extend(roots(self._repo))
            freed = freed - reach.seen
        return lambda item: item not in freed

    def _sweep(self, layout: Layout, new: set[str]) -> int:
        """Delete what was replaced and return how many packs had to stay for now."""
        store = self._repo.store
        first = set(self._packs)
        gone: set[str] = set()
        if layout.doomed:
            try:
                with alone(self._repo.scratch):
                    store.refresh()
                    now = census(store, self._packs)
                    now = sweep.sound(store, now, layout.doomed, self._packs)
                    wanted = self._wanted(layout.freed)
                    gone = sweep.removable(now, layout.doomed, wanted)
                    sweep.remove(store, gone, now)
            except NegativeAnswer:
                gone = set()
        kept = (first - layout.doomed) | new
        self._settled = Settled(self._limits, frozenset(kept))
        self._settled.save(self._path, self._staging)
        return len(layout.doomed - gone)

    def _summary(self, lines: Lineages, records: Mapping[ObjectId, Record]) -> Summary:
        """Return how chunks that versions reach are stored."""
        depths: Counter[int] = Counter()
        recovery = Recovery(records)
        worst = 0.0
        # What was planned before was within the budget, and is not looked at again.
        names = self._settled.packs & self._packs.keys()
        within = {record.id for name in names for record in self._packs[name].chunks}
        for group in lines.groups():
            ids = [lines.members[number].id for number in group]
            known = [records[item] for item in ids if item in records]
            depths.update(record.depth for record in known)
            plain = [record.stored / record.raw for record in known if not record.references]
            share = fmean(plain) if plain else 1.0
            for record in known:
                if record.raw >= _TINY:
                    cost = recovery.of(record.id) / self._whole(record, share)
                    fine = record.id in within and record.id not in self._alone
                    worst = max(worst, min(cost, self._limits.budget) if fine else cost)
        size = sum(pack.size for pack in self._packs.values())
        return Summary(size, len(self._packs), dict(sorted(depths.items())), worst)

    def _whole(self, record: Record, share: float) -> float:
        """Return what recovering a chunk without base would cost."""
        if not record.references:
            return record.stored + work(record)
        return self._alone.get(record.id, share * record.raw) + work(record)


def _stored(records: Mapping[ObjectId, Record]) -> int:
    return sum(record.stored for record in records.values())
