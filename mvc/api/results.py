"""What the Python interface returns, where that is not what an operation returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mvc.base.ids import ObjectId
from mvc.objects.history import Scalar
from mvc.repo.holdings import Tally, VersionUse

if TYPE_CHECKING:
    from mvc.ops.merge_result import Dispute, MergedFile
    from mvc.ops.merge_result import MergeResult as _MergeResult
    from mvc.ops.stats import Stats as _Stats
    from mvc.repo.history import Version as _Version


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of a repository's history."""

    id: str
    parents: tuple[str, ...]
    author: str
    time: datetime
    message: str
    params: dict[str, Scalar]
    metrics: dict[str, float]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stats:
    """What versions take; the fields are those of `mvc stats --json` (docs/json.md).

    A tally has `tensors`, `chunks`, `raw_bytes`, `stored_bytes`. `depth` is by deltas in a row.
    `versions` are by id, newest first: `raw`, `new`, `stored` and `recovery` bytes.
    """

    raw_bytes: int
    stored_bytes: int
    pack_bytes: int
    metadata_bytes: int
    index_bytes: int
    other_bytes: int
    kept_bytes: int
    offloaded_bytes: int
    objects: int
    packs: int
    by_cause: dict[str, Tally]
    depth: dict[int, Tally]
    versions: dict[str, VersionUse]


@dataclass(frozen=True, slots=True)
class MergeParent:
    """A version that was merged, under the name it was given by; `weight` None: not weighed."""

    name: str
    commit: str
    weight: float | None


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge, cherry-pick or revert did; the fields are those of --json (docs/merge.md).

    `status` is `same`, `forward`, `merged`, `conflicts`, `stopped` or `aborted`. Each of `files`
    has `path`, `result`, `taken`, `computed`, `conflicts`, `remarks`; each of `conflicts` has
    `path`, `tensor`, `why`, `sides`.
    """

    status: str
    branch: str | None
    old: str | None
    commit: str | None
    tree: str | None
    bases: tuple[str, ...]
    parents: tuple[MergeParent, ...]
    message: str
    params: dict[str, Scalar]
    files: tuple[MergedFile, ...]
    conflicts: tuple[Dispute, ...]
    remarks: tuple[str, ...]


def version(found: _Version) -> Version:
    """Return a version of history as programs read it."""
    commit = found.commit
    return Version(
        found.id.hex(),
        tuple(parent.hex() for parent in commit.parents),
        commit.author,
        datetime.fromtimestamp(commit.time / 1e6, UTC),
        commit.message,
        dict(commit.params),
        {metric.key: metric.value for metric in commit.metrics},
        dict(commit.labels),
    )


def measured(found: _Stats) -> Stats:
    """Return what versions take, with ids as text."""
    return Stats(
        found.raw_bytes,
        found.stored_bytes,
        found.pack_bytes,
        found.metadata_bytes,
        found.index_bytes,
        found.other_bytes,
        found.kept_bytes,
        found.offloaded_bytes,
        sum(found.objects.values()),
        found.packs,
        {str(cause): tally for cause, tally in found.by_cause.items()},
        found.depths,
        {
            item.version.id.hex(): VersionUse(
                item.raw_bytes, item.new_bytes, item.stored_bytes, item.recovery_bytes
            )
            for item in found.versions
        },
    )


def merged(found: _MergeResult) -> MergeResult:
    """Return what a merge did, with ids as text."""
    return MergeResult(
        found.status,
        found.branch,
        _hex(found.old),
        _hex(found.commit),
        _hex(found.tree),
        tuple(item.hex() for item in found.bases),
        tuple(MergeParent(item.name, item.commit.hex(), item.weight) for item in found.parents),
        found.message,
        dict(found.params),
        found.files,
        found.conflicts,
        found.remarks,
    )


def _hex(item: ObjectId | None) -> str | None:
    return None if item is None else item.hex()
