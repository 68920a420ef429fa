"""Merge small packs, and drop what nothing reaches for a while."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from mvc.base import fileio
from mvc.base.errors import IntegrityError, MissingObjectError, NegativeAnswer, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.repo.reach import Reach, roots
from mvc.repo.repository import Repository
from mvc.store import settled, sweep, unreachable
from mvc.store.census import Census, census, nearest, needed
from mvc.store.locks import alone, maintenance
from mvc.store.merge import Merger
from mvc.store.rewrite import Rewriter
from mvc.store.tails import is_remote
from mvc.sync.quarantine import forget_old

DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class GcRequest:
    """How many days garbage is kept, and what reflogs name; and whether to do it at all.

    None stands for what is configured.
    """

    grace_days: float | None = None
    reflog_days: float | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class GcResult:
    """What was done, or with `dry_run` would be.

    `dropped` objects are gone; `waiting` ones are reached by nothing and still in their time of
    grace, `needed` ones are bases of what is reached. `postponed` packs wait for running writers.
    `bytes_after` of a dry run leaves out what is saved by merging.
    """

    bytes_before: int
    bytes_after: int
    packs_before: int
    packs_after: int
    dropped: int
    waiting: int
    needed: int
    orphans: int
    postponed: int
    dry_run: bool


def gc(repo: Repository, request: GcRequest | None = None, progress: Progress = SILENT) -> GcResult:
    """Merge small packs and drop what nothing has reached for the time of grace.

    Safe beside other commands, and when it is cut off at any moment. Raises IntegrityError, having
    changed nothing, in a repository that lacks something, and NegativeAnswer beside another gc or
    repack.
    """
    request = request or GcRequest()
    grace = _days(repo, "gc.grace_days", request.grace_days)
    reflog = _days(repo, "gc.reflog_days", request.reflog_days)
    with maintenance(repo.scratch), sweep.nothing_replaced():
        result = _Run(repo, grace, reflog, progress).run(dry_run=request.dry_run)
    if not request.dry_run:
        # Parts of pushes and fetches that nobody went on with.
        forget_old(repo)
        repo.storage.pack_refs()
    return result


def _days(repo: Repository, key: str, given: float | None) -> int:
    days = repo.config.get(key) if given is None else given
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 <= days <= 1_000_000:
        raise UsageError(f"{days} is not a number of days", hint=f"{key} is set to one")
    return round(days * DAY)


class _Choice(NamedTuple):
    """Packs to be merged; of those without tails also where they are."""

    names: set[str]
    where: str | None = None


class _Run:
    def __init__(self, repo: Repository, grace: int, reflog: int, progress: Progress) -> None:
        self._repo = repo
        self._store = repo.store
        self._now = repo.environment.clock()
        self._grace = grace
        # Where reflogs keep nothing, not even what was logged this very moment counts.
        self._logged = self._now - reflog + (reflog == 0)
        self._progress = progress
        self._staging = repo.scratch / "gc"
        repo.store.refresh()
        if repo.store.damaged:
            raise IntegrityError("a pack is damaged")
        self._packs = census(repo.store)
        self._reach = Reach(repo, progress)

    def run(self, *, dry_run: bool) -> GcResult:
        """See `gc`."""
        packs = self._packs
        everything = {item for pack in packs.values() for item in pack.ids()}
        self._mark(everything)
        standing = needed(self._reach.seen, nearest(packs))
        garbage = everything - standing
        since = self._since(garbage)
        old = {item for item in garbage if self._now - since[item] >= self._grace}
        old -= self._below(garbage - old)
        wanted = needed(everything - old, nearest(packs))
        merger = Merger(self._store, packs, wanted)
        chosen = self._choose(merger)
        doomed = set[str]().union(*(item.names for item in chosen))
        if dry_run:
            return self._foreseen(merger, doomed, wanted, len(garbage - old))
        unreachable.save(self._repo.folder / "unreachable", self._staging, since)
        new = self._rewrite(merger, chosen, doomed)
        gone, orphans = self._sweep(doomed, wanted)
        self._settle(new, gone)
        fileio.reap(self._repo.scratch)
        after = census(self._store, self._packs)
        left = {item for pack in after.values() for item in pack.ids()}
        return GcResult(
            _size(packs),
            _size(after),
            len(packs),
            len(after),
            len(everything - left),
            len((garbage - old) & left),
            self._unreached_bases(),
            orphans,
            len(doomed - gone),
            dry_run=False,
        )

    def _mark(self, everything: set[ObjectId]) -> None:
        """Reach what must stay, and make sure that it is there."""
        self._progress.start("finding what is in use", len(everything))
        self._reach.extend(roots(self._repo, self._logged))
        self._progress.finish()
        lost = self._reach.seen - everything
        if lost:
            raise MissingObjectError(f"object {min(lost).hex()[:12]} is missing")

    def _since(self, garbage: set[ObjectId]) -> dict[ObjectId, int]:
        """Return when each object was first seen to be garbage; now for what is new."""
        now = self._now
        known = unreachable.load(self._repo.folder / "unreachable")
        # A time in the future is that of a clock that was wrong.
        return {item: min(known.get(item, now), now) for item in garbage}

    def _below(self, young: set[ObjectId]) -> set[ObjectId]:
        """Return what garbage in its time of grace leads to, as far as it is there."""
        below = Reach(self._repo)
        below.seen |= self._reach.seen
        for item in young - below.seen:
            with suppress(MissingObjectError, IntegrityError):
                below.extend([item])
        return below.seen

    def _choose(self, merger: Merger) -> list[_Choice]:
        """Return the packs to rewrite: what a repack settled, others, and those without tails."""
        away = self._repo.offloaded.packs()
        names = self._packs.keys() - away.keys()
        known = settled.load(self._repo.folder / "repacked")
        planned = known.packs & names if known else set[str]()
        thorough = self._grace == 0
        chosen = [
            _Choice(merger.choose(planned, thorough=thorough)),
            _Choice(merger.choose(names - planned, thorough=thorough)),
        ]
        for where in sorted({where for where in away.values() if is_remote(where)}):
            # A pack that a repository at a path may have as it is stays as it is.
            tailless = [
                name
                for name, place in away.items()
                if place == where and name in self._packs and not self._packs[name].tail_bytes
            ]
            chosen.append(_Choice(merger.choose(tailless, thorough=thorough), where))
        return chosen

    def _rewrite(self, merger: Merger, chosen: list[_Choice], doomed: set[str]) -> list[set[str]]:
        """Copy what is wanted and return the names of the new packs, as they were chosen."""
        self._progress.start("merging", sum(self._packs[name].size for name in doomed))
        new = []
        for names, where in chosen:
            with Rewriter(self._store, self._repo.scratch, away=self._lister(where)) as writer:
                merger.copy(names, doomed, writer, self._progress.advance)
                new.append(set(writer.packs))
        self._progress.finish()
        return new

    def _lister(self, where: str | None) -> Callable[[str], None] | None:
        if where is None:
            return None
        return lambda name: self._repo.offloaded.add([name], where)

    def _sweep(self, doomed: set[str], wanted: set[ObjectId]) -> tuple[set[str], int]:
        """Delete what is not needed, no writer being at work; return packs and count orphans."""
        try:
            with alone(self._repo.scratch):
                self._store.refresh()
                # A commit may have taken up what nothing reached before.
                self._reach.extend(roots(self._repo, self._logged))
                live = self._reach.seen
                packs = census(self._store, self._packs)
                packs = sweep.sound(self._store, packs, doomed, self._packs)
                gone = sweep.removable(packs, doomed, lambda item: item in wanted or item in live)
                sweep.remove(self._store, gone, packs)
                # Those that never came are listed, too, as by a fetch that was cut off.
                there = self._store.index.packs() | self._store.damaged.keys()
                self._repo.offloaded.remove(self._repo.offloaded.packs().keys() - there)
                ends = self._repo.shallow.commits()
                self._repo.shallow.change(
                    (), [item for item in ends if self._store.kind(item) is None]
                )
                orphans = sweep.orphans(self._store)
                for item in orphans:
                    self._store.storage.delete(item.key)
                return gone, len(orphans)
        except NegativeAnswer:
            return set(), 0

    def _settle(self, new: list[set[str]], gone: set[str]) -> None:
        path = self._repo.folder / "repacked"
        known = settled.load(path)
        if known is not None and (new[0] or gone & known.packs):
            known.having(new[0], gone).save(path, self._staging)

    def _unreached_bases(self) -> int:
        """Count chunks that no version needs but as bases of those that versions do need."""
        live, records = self._reach.seen, nearest(self._packs)
        standing = (records[item] for item in needed(live, records) if item in records)
        return len({record.base for record in standing if record.base} - live)

    def _foreseen(
        self,
        merger: Merger,
        doomed: set[str],
        wanted: set[ObjectId],
        waiting: int,
    ) -> GcResult:
        packs = self._packs
        saved = sum(merger.waste(packs[name]) for name in doomed)
        dropped = {item for name in doomed for item in packs[name].ids()} - wanted
        merged = len(packs) - len(doomed) + (1 if doomed else 0)
        return GcResult(
            _size(packs),
            _size(packs) - saved,
            len(packs),
            merged,
            len(dropped),
            waiting,
            self._unreached_bases(),
            len(sweep.orphans(self._store)),
            0,
            dry_run=True,
        )


def _size(packs: Census) -> int:
    return sum(pack.size for pack in packs.values())
