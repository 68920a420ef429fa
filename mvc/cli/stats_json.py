"""The JSON of `mvc stats` (docs/json.md). Fields may be added, never changed or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mvc.base.wording import iso_time
from mvc.cli.shapes import hexed
from mvc.ops.stats import Stats, VersionStats
from mvc.ops.tensor_stats import TensorPlace, TensorStats, TensorUse
from mvc.repo.holdings import Tally

if TYPE_CHECKING:
    from mvc.ops.repack import RepackResult

Shape = dict[str, Any]


def of_stats(found: Stats, limit: int | None, estimate: RepackResult | None = None) -> Shape:
    """Return the sums, the newest `limit` versions, and what a repack would do."""
    worst = found.worst_version
    return {
        "whole": found.whole,
        "versions": len(found.versions),
        "raw_bytes": found.raw_bytes,
        "stored_bytes": found.stored_bytes,
        "pack_bytes": found.pack_bytes,
        "metadata_bytes": found.metadata_bytes,
        "index_bytes": found.index_bytes,
        "other_bytes": found.other_bytes,
        "kept_bytes": found.kept_bytes,
        "offloaded_bytes": found.offloaded_bytes,
        "packs": found.packs,
        "objects": sum(found.objects.values()),
        "objects_by_kind": found.objects,
        "by_cause": {cause: _tally(tally) for cause, tally in found.by_cause.items()},
        "depth": {str(depth): _by_depth(tally) for depth, tally in found.depths.items()},
        "recovery": {
            "max_depth": max(found.depths, default=0),
            "worst_chunk": round(found.worst_chunk, 4),
            "worst_version": worst and worst.version.id.hex(),
            "worst_version_bytes": worst and worst.recovery_bytes,
            "worst_version_raw_bytes": worst and worst.raw_bytes,
        },
        "commits": [_version(item) for item in found.versions[:limit]],
        "repack": estimate and _repack(estimate),
    }


def of_tensors(found: TensorStats) -> Shape:
    """Return what the tensors of a version take."""
    return {
        "commit": found.commit.hex(),
        "raw_bytes": found.raw_bytes,
        "stored_bytes": found.stored_bytes,
        "tensors": [_tensor(item) for item in found.tensors],
    }


def _repack(estimate: RepackResult) -> Shape:
    before, after = estimate.before, estimate.after
    return {
        "pack_bytes": before.bytes,
        "expected_bytes": after.bytes,
        "recovery": round(before.recovery, 4),
        "expected_recovery": round(after.recovery, 4),
        "budget": estimate.budget,
        "advised": estimate.advised,
    }


def _tally(tally: Tally) -> Shape:
    return {
        "tensors": tally.tensors,
        "chunks": tally.chunks,
        "raw_bytes": tally.raw_bytes,
        "stored_bytes": tally.stored_bytes,
    }


def _by_depth(tally: Tally) -> Shape:
    shape = _tally(tally)
    del shape["tensors"]
    return shape


def _version(item: VersionStats) -> Shape:
    commit = item.version.commit
    return {
        "id": item.version.id.hex(),
        "time": iso_time(commit.time),
        "message": commit.message,
        "raw_bytes": item.raw_bytes,
        "new_bytes": item.new_bytes,
        "stored_bytes": item.stored_bytes,
        "recovery_bytes": item.recovery_bytes,
    }


def _tensor(item: TensorUse) -> Shape:
    return {
        "path": item.place.path,
        "name": item.place.name,
        "dtype": item.dtype,
        "shape": list(item.shape),
        "raw_bytes": item.raw_bytes,
        "stored_bytes": item.stored_bytes,
        "record_bytes": item.record_bytes,
        "cause": item.cause,
        "depth": item.depth,
        "base": hexed(item.base),
        "base_place": item.base_place and _place(item.base_place),
    }


def _place(place: TensorPlace) -> Shape:
    return {"path": place.path, "name": place.name}
