"""Give up lower bits that another repository holds, and bring them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from mvc.base.errors import IntegrityError, MvcError, NotFoundError
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.ops.complete import complete
from mvc.ops.holders import Holder, at_path, at_remote, kept, other_repository
from mvc.ops.links import Access, meant, opened
from mvc.ops.tails import let_ask
from mvc.repo import remotes
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository, is_repository
from mvc.storage import keys
from mvc.store.directory import ChunkEntry
from mvc.store.locks import maintenance
from mvc.store.tail_packs import copy_tail, lower_chunks, rebuild
from mvc.store.tails import StoreSource, is_remote
from mvc.sync.address import PathAddress, parse

AHEAD_BYTES = 16 << 20
"""Bytes of words that are asked for together."""
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
    repo: Repository,
    target: Path | Remote,
    access: Access | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> OffloadResult:
    """Remove the tails of packs that another repository, at a path or a remote, can stand in for.

    That takes that every chunk of a tail was loaded from there and has its id, and that a version
    there needs it, so that collecting garbage there leaves it. What stays, stays for a reason that
    is given. Raises NotFoundError if there is no repository, UsageError if it is this one.
    """
    if isinstance(target, Path):
        found = at_path(repo, target, progress)
    else:
        found = at_remote(repo, target, access or Access(), progress)
    with found as holder, maintenance(repo.scratch):
        return _Offloading(repo, holder, progress, dry_run=dry_run).run()


def place(repo: Repository, word: str, here: Path) -> Path | Remote:
    """Return what a word names: a remote, its address, or a folder as seen from `here`."""
    with suppress(NotFoundError):
        remote = remotes.find(repo, word)
        address = parse(remote.url)
        return Path(address.path) if isinstance(address, PathAddress) else remote
    address = parse(word)
    if isinstance(address, PathAddress):
        return Path(normpath(here / address.path))
    return Remote("", word)


def bring_back(
    repo: Repository, access: Access | None = None, progress: Progress = SILENT
) -> BackResult:
    """Bring all tails back that are elsewhere, each as a whole.

    Packs that are whole again count even if a later one fails. Raises NotFoundError where a source
    cannot be reached, IntegrityError where it does not hold what it held.
    """
    done: list[str] = []
    total = coded = 0
    before = repo.offloaded.packs()
    for where in sorted({where for where in before.values() if is_remote(where)}):
        total += _back_from(repo, where, access or Access(), progress)
    with maintenance(repo.scratch):
        sizes = _sizes(repo)
        listed = {
            name: where for name, where in repo.offloaded.packs().items() if not is_remote(where)
        }
        progress.start("bringing tails back", len(listed))
        for where in sorted(set(listed.values())):
            packs = [name for name, found in listed.items() if found == where]
            with other_repository(repo, Path(where)) as source, kept(source):
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
    done += [name for name, where in before.items() if is_remote(where)]
    return BackResult(tuple(sorted(done)), total, coded)


def _back_from(repo: Repository, where: str, access: Access, progress: Progress) -> int:
    """Bring what is at a remote and return the bytes that came; IntegrityError if some did not."""
    let_ask(repo, access)
    remote = meant(repo, where, access.here)
    with opened(repo, remote, access) as link:
        found = complete(repo, remote, link, progress)
    if found.left:
        raise IntegrityError(
            f"no version at {where} has all the lower bits of {found.left} packs any more",
            hint="what was there of others is here again; `mvc fsck` there may say more",
        )
    return found.sent.bytes


class _Offloading:
    def __init__(
        self, repo: Repository, holder: Holder, progress: Progress, *, dry_run: bool
    ) -> None:
        self._repo = repo
        self._holder = holder
        self._where = holder.where
        self._dry_run = dry_run
        self._progress = progress
        self._kept: list[Kept] = []

    def run(self) -> OffloadResult:
        """See `offload`."""
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
        holder = self._holder
        missing = sum(1 for entry in entries if not holder.has(entry.id))
        if missing:
            return f"{missing} of {len(entries)} chunks are not there"
        loose = sum(1 for entry in entries if not holder.needs(entry.id))
        if loose:
            return f"no branch or tag there needs {loose} of {len(entries)} chunks"

        def load(entry: ChunkEntry) -> tuple[ChunkEntry, str | None]:
            try:
                holder.source.segments(entry.id)
            except MvcError as error:
                return entry, error.message
            return entry, None

        for entry, problem in ordered_map(load, self._fetched(entries)):
            self._progress.advance(entry.word * entry.words)
            if problem is not None:
                return problem
        return None

    def _fetched(self, entries: list[ChunkEntry]) -> Iterator[ChunkEntry]:
        """Yield records whose chunks are on their way, some at a time."""
        waiting: list[ChunkEntry] = []
        for entry in entries:
            waiting.append(entry)
            if _raw(waiting) >= AHEAD_BYTES or entry is entries[-1]:
                with suppress(MvcError):
                    self._holder.source.fetch(item.id for item in waiting)
                yield from waiting
                waiting = []

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
