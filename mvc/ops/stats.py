"""What a repository takes, and why: by version, by cause, by length of its chains of deltas."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mvc.base import fileio
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.ops.log import LogRequest, bounds
from mvc.repo import history
from mvc.repo.history import Version
from mvc.repo.holdings import Cause, Holdings, Tally
from mvc.repo.repository import Repository
from mvc.store.accounting import Ledger

INDEX = "index.sqlite"


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """Which versions to count: those that `revisions` reach (`A..B` too), else all of them."""

    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionStats:
    """A version: bytes of its files, those that no older version had, and what these took.

    `recovery_bytes` is how much of the packs' sections restoring all of it reads.
    """

    version: Version
    raw_bytes: int
    new_bytes: int
    stored_bytes: int
    recovery_bytes: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What was found.

    `raw_bytes` are those of all files of all versions, `stored_bytes` what they take; without
    revisions that is every byte of the repository's folder. `by_cause` adds up to both, except
    that the raw bytes of what nothing reaches are in no version. `metadata_bytes` are those of
    packs that are not in sections of chunks. `kept_bytes` are sections that coding made no
    smaller, `offloaded_bytes` those in tails of packs that another place keeps. `depths` are
    records by the deltas in a row that lead to them; `worst_chunk` is the most that decoding a
    chunk reads, relative to its raw bytes. `versions` are newest first.
    """

    whole: bool
    raw_bytes: int
    stored_bytes: int
    pack_bytes: int
    metadata_bytes: int
    index_bytes: int
    other_bytes: int
    kept_bytes: int
    offloaded_bytes: int
    packs: int
    objects: dict[str, int]
    by_cause: dict[Cause, Tally]
    depths: dict[int, Tally]
    worst_chunk: float
    versions: tuple[VersionStats, ...]

    @property
    def worst_version(self) -> VersionStats | None:
        """The version whose restoring reads most, relative to its raw bytes."""
        return max(
            (item for item in self.versions if item.raw_bytes),
            key=lambda item: item.recovery_bytes / item.raw_bytes,
            default=None,
        )


def stats(
    repo: Repository, request: StatsRequest | None = None, progress: Progress = SILENT
) -> Stats:
    """Count what the repository holds, from metadata alone.

    An object counts for the oldest version that has it. Raises NotFoundError for an unknown
    revision, and IntegrityError where metadata is damaged.
    """
    revisions = request.revisions if request else ()
    log = LogRequest(revisions, everything=not revisions)
    starts, excluded = bounds(repo, log) if revisions or _has_versions(repo) else ([], [])
    # Refs come before packs: what a ref leads to is in a pack by then.
    holdings = Holdings(repo.store, ledger := Ledger(repo.store))
    if excluded:
        for version in _oldest_first(repo, excluded, []):
            holdings.visit(version.id, version.commit)
        holdings.finish()
        holdings.reset()
    versions = _oldest_first(repo, starts, excluded)
    progress.start("counting", len(versions))
    for version in versions:
        holdings.visit(version.id, version.commit)
        progress.advance(1)
    if not revisions:
        _visit_tags(repo, holdings)
    holdings.finish()
    progress.finish()
    found = _of_versions(repo, ledger, holdings, versions)
    return found if revisions else _of_folder(repo, ledger, holdings, found)


def _has_versions(repo: Repository) -> bool:
    return bool(repo.head_commit() or repo.refs.all())


def _oldest_first(
    repo: Repository, starts: list[ObjectId], excluded: list[ObjectId]
) -> list[Version]:
    return list(history.topological(repo, starts, excluded))[::-1]


def _visit_tags(repo: Repository, holdings: Holdings) -> None:
    seen: set[ObjectId] = set()
    for target in repo.refs.all().values():
        while target not in seen and repo.store.kind(target) == "tag":
            seen.add(target)
            tag = repo.tag(target)
            holdings.visit_tag(target, tag)
            target = tag.target


def _of_versions(
    repo: Repository, ledger: Ledger, holdings: Holdings, versions: list[Version]
) -> Stats:
    """Return what was found of versions, as if there was nothing else."""
    tallies = holdings.tallies
    uses = zip(versions, holdings.versions, strict=True)
    return Stats(
        whole=False,
        raw_bytes=sum(tally.raw_bytes for tally in tallies.values()),
        stored_bytes=sum(tally.stored_bytes for tally in tallies.values()),
        pack_bytes=sum(tally.stored_bytes for tally in tallies.values()),
        metadata_bytes=tallies["metadata"].stored_bytes,
        index_bytes=0,
        other_bytes=0,
        kept_bytes=holdings.kept_bytes,
        offloaded_bytes=holdings.away_bytes,
        packs=len(ledger.packs),
        objects=repo.store.index.counts(),
        by_cause=tallies,
        depths=dict(sorted(holdings.depths.items())),
        worst_chunk=holdings.worst_chunk,
        versions=tuple(VersionStats(version, *use) for version, use in uses)[::-1],
    )


def _of_folder(repo: Repository, ledger: Ledger, holdings: Holdings, found: Stats) -> Stats:
    """Return the same with every byte of the repository's folder."""
    tallies = dict(found.by_cause)
    sizes = {entry.parts: entry.stat.size for entry in fileio.walk_files(repo.folder, ())}
    index = sum(size for (name, *_), size in sizes.items() if name.startswith(INDEX))
    packs = sum(pack.head + pack.tail for pack in ledger.packs)
    tallies["metadata"] = replace(
        tallies["metadata"],
        stored_bytes=tallies["metadata"].stored_bytes + sum(pack.frame for pack in ledger.packs),
    )
    tallies["unreached"] = holdings.unreached()
    tallies["index"] = Tally(stored_bytes=index)
    tallies["other"] = Tally(stored_bytes=sum(sizes.values()) - index - packs)
    return replace(
        found,
        whole=True,
        stored_bytes=sum(sizes.values()),
        pack_bytes=packs,
        metadata_bytes=packs - sum(pack.sections for pack in ledger.packs),
        index_bytes=index,
        other_bytes=tallies["other"].stored_bytes,
        by_cause=tallies,
    )
