"""Give up lower bits that another repository holds, and bring them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import (
    MvcError,
    NotAllowedError,
    NotFoundError,
    StorageError,
    UsageError,
)
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.repo.names import FOLDER
from mvc.repo.reach import Reach
from mvc.repo.repository import Repository, is_repository
from mvc.storage import keys
from mvc.store.directory import ChunkEntry
from mvc.store.locks import maintenance, pinned
from mvc.store.tail_packs import copy_tail, lower_chunks, rebuild
from mvc.store.tails import StoreSource, is_remote

BATCH_BYTES = 1 << 30
"""Bytes of tails that are given up in one step: what a run that is cut off does again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A pack whose tail stays, and why."""

    pack: str
    why: str


@dataclass(frozen=True, slots=True)
class OffloadResult:
    """The packs whose lower bits `source` holds now, the bytes that this frees, and the others."""

    source: str
    packs: tuple[str, ...]
    freed: int
    kept: tuple[Kept, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class BackResult:
    """What came back: packs and bytes, and how many had to be coded anew."""

    packs: tuple[str, ...]
    bytes: int
    coded: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where tails are: how many, and what is wrong with it (None if it can be reached)."""

    source: str
    packs: int
    problem: str | None


def offloaded(repo: Repository) -> set[str]:
    """Return the names of the packs whose tails are elsewhere."""
    return set(repo.offloaded.packs())


def places(repo: Repository) -> tuple[Place, ...]:
    """Tell where lower bits are, and whether they can be read from there."""
    counts: dict[str, int] = {}
    for where in repo.offloaded.packs().values():
        counts[where] = counts.get(where, 0) + 1
    return tuple(Place(where, count, _problem(where)) for where, count in sorted(counts.items()))


def offload(
    repo: Repository, target: Path, *, dry_run: bool = False, progress: Progress = SILENT
) -> OffloadResult:
    """Remove the tails of packs that the repository at `target` can stand in for.

    That takes that every chunk of a tail was loaded from there and has its id, and that a version
    there needs it, so that collecting garbage there leaves it. What stays, stays for a reason that
    is given. Raises NotFoundError if there is no repository, UsageError if it is this one.
    """
    with _opened(repo, target) as source, maintenance(repo.scratch), _pinned(source):
        return _Offloading(repo, source, progress, dry_run=dry_run).run()


def bring_back(repo: Repository, progress: Progress = SILENT) -> BackResult:
    """Bring all tails back that are elsewhere, each as a whole.

    Packs that are whole again count even if a later one fails. Raises NotFoundError where a source
    cannot be reached, IntegrityError where it does not hold what it held.
    """
    done: list[str] = []
    total = coded = 0
    with maintenance(repo.scratch):
        sizes = _sizes(repo)
        listed = repo.offloaded.packs()
        progress.start("bringing tails back", len(listed))
        for where in sorted(set(listed.values())):
            packs = [name for name, place in listed.items() if place == where]
            with _opened(repo, Path(where)) as source, _pinned(source):
                for name in packs:
                    progress.advance(1)
                    if keys.pack_head(name) in sizes and keys.pack_tail(name) not in sizes:
                        size = copy_tail(repo.store, name, source.storage, repo.scratch)
                        if size is None:
                            size = rebuild(
                                repo.store, name, StoreSource(source.store), repo.scratch
                            )
                            coded += 1
                        total += size
                        done.append(name)
                    repo.offloaded.remove([name])
        progress.finish()
    return BackResult(tuple(sorted(done)), total, coded)


class _Offloading:
    def __init__(
        self, repo: Repository, source: Repository, progress: Progress, *, dry_run: bool
    ) -> None:
        self._repo = repo
        self._source = source
        self._where = str(source.folder)
        self._dry_run = dry_run
        self._progress = progress
        self._needed: set[ObjectId] = set()
        self._kept: list[Kept] = []

    def run(self) -> OffloadResult:
        """See `offload`."""
        self._source.store.refresh()
        self._needed = _needed(self._source, self._progress)
        sizes = _sizes(self._repo)
        candidates = self._candidates(sizes)
        given: list[str] = []
        batch: list[str] = []
        freed = waiting = 0
        self._progress.start("comparing", sum(_raw(found) for found in candidates.values()))
        for name, entries in candidates.items():
            why = self._why_not(entries)
            if why is not None:
                self._kept.append(Kept(name, why))
                continue
            size = sizes.get(keys.pack_tail(name), 0)
            batch.append(name)
            freed, waiting = freed + size, waiting + size
            if waiting >= BATCH_BYTES:
                self._give_up(batch)
                given, batch, waiting = given + batch, [], 0
        self._give_up(batch)
        self._progress.finish()
        packs = tuple(sorted(given + batch))
        return OffloadResult(self._where, packs, freed, tuple(self._kept), self._dry_run)

    def _candidates(self, sizes: dict[str, int]) -> dict[str, list[ChunkEntry]]:
        """Return the records in tails that are here, or that are listed to be elsewhere."""
        found = {}
        listed = self._repo.offloaded.packs()
        for key, size in sizes.items():
            name = keys.pack_of(key)
            if name is None:
                continue
            here = keys.pack_tail(name) in sizes
            if not here and listed.get(name) == self._where:
                continue
            try:
                entries = lower_chunks(self._repo.storage, name, size)
            except MvcError as error:
                self._kept.append(Kept(name, error.message))
                continue
            if entries:
                found[name] = entries
        return found

    def _why_not(self, entries: list[ChunkEntry]) -> str | None:
        """Return why the source cannot stand in for the tail of these records, None if it can."""
        store = self._source.store
        missing = sum(1 for entry in entries if not store.contains(entry.id))
        if missing:
            return f"{missing} of {len(entries)} chunks are not there"
        loose = sum(1 for entry in entries if entry.id not in self._needed)
        if loose:
            return f"no branch or tag there needs {loose} of {len(entries)} chunks"
        source = StoreSource(store)

        def load(entry: ChunkEntry) -> tuple[ChunkEntry, str | None]:
            try:
                source.segments(entry.id)
            except MvcError as error:
                return entry, error.message
            return entry, None

        for entry, problem in ordered_map(load, entries):
            self._progress.advance(entry.word * entry.words)
            if problem is not None:
                return problem
        return None

    def _give_up(self, names: list[str]) -> None:
        """List the packs, then remove their tails."""
        if self._dry_run or not names:
            return
        self._repo.offloaded.add(names, self._where)
        for name in names:
            self._repo.storage.delete(keys.pack_tail(name))
        if self._repo.store.damaged.keys() & set(names):
            # Their tails were missing without being listed.
            self._repo.store.rebuild()


def _raw(entries: list[ChunkEntry]) -> int:
    return sum(entry.word * entry.words for entry in entries)


def _sizes(repo: Repository) -> dict[str, int]:
    return {item.key: item.size for item in repo.storage.list(keys.PACKS)}


def _needed(repo: Repository, progress: Progress) -> set[ObjectId]:
    """Return what branches and tags reach: what stays whatever is collected."""
    starts = list(repo.refs.all().values())
    if not starts:
        return set()
    progress.start("looking at its versions", sum(repo.store.index.counts().values()))
    reach = Reach(repo, progress)
    reach.extend(starts)
    progress.finish()
    return reach.seen


@contextmanager
def _opened(repo: Repository, target: Path) -> Iterator[Repository]:
    """Open the other repository, such that it answers only from what it holds itself."""
    folder = target / FOLDER if is_repository(target / FOLDER) else target
    if not is_repository(folder):
        raise NotFoundError(
            f"there is no repository at {target}",
            hint="name the folder of a bare repository, or that of a working copy",
        )
    folder = folder.resolve()
    if _is_same(repo.folder, folder):
        raise UsageError(f"{target} is this repository itself", hint="name another one that has it")
    source = Repository(folder, None, repo.environment)
    try:
        source.store.tails = None
        yield source
    finally:
        source.close()


def _is_same(one: Path, other: Path) -> bool:
    """Tell whether two folders hold the same packs, under whatever names."""
    if one.resolve() == other.resolve() or (one / "packs").resolve() == (other / "packs").resolve():
        return True
    return fileio.stat_file(one / keys.FORMAT) == fileio.stat_file(other / keys.FORMAT)


@contextmanager
def _pinned(source: Repository) -> Iterator[None]:
    """Keep the packs of the other side while inside; on a read-only disk nobody removes them."""
    pin = pinned(source.scratch)
    entered = False
    with suppress(NotAllowedError, StorageError):
        pin.__enter__()
        entered = True
    try:
        yield
    finally:
        if entered:
            pin.__exit__(None, None, None)


def _problem(where: str) -> str | None:
    if is_remote(where):
        # It is asked when something is needed.
        return None
    if not is_repository(Path(where)):
        return "cannot be reached"
    try:
        Repository(Path(where), None).close()
    except MvcError as error:
        return error.message
    return None
