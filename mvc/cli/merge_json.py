"""What merge, cherry-pick and revert did, as JSON (docs/merge.md, "JSON")."""

from __future__ import annotations

from typing import Any

from mvc.cli.shapes import hexed
from mvc.ops.merge_result import Dispute, MergedFile, MergeResult


def shape(done: MergeResult) -> dict[str, Any]:
    """Return what --json prints of a merge, or of one commit picked."""
    return {
        "verb": done.verb,
        "status": done.status,
        "dry_run": done.dry_run,
        "branch": done.branch,
        "old": hexed(done.old),
        "commit": hexed(done.commit),
        "tree": hexed(done.tree),
        "bases": [item.hex() for item in done.bases],
        "parents": [
            {"name": item.name, "commit": item.commit.hex(), "weight": item.weight}
            for item in done.parents
        ],
        "message": done.message,
        "params": dict(done.params),
        "files": [_file(item) for item in done.files],
        "conflicts": [_dispute(item) for item in done.conflicts],
        "remarks": list(done.remarks),
        "written": done.written,
    }


def _file(item: MergedFile) -> dict[str, Any]:
    return {
        "path": item.path,
        "result": item.result,
        "taken": dict(item.taken),
        "computed": dict(item.computed),
        "conflicts": item.conflicts,
        "remarks": list(item.remarks),
    }


def _dispute(item: Dispute) -> dict[str, Any]:
    return {
        "path": item.path,
        "tensor": item.tensor,
        "why": item.why,
        "sides": [{"name": side.name, "relative_l2": side.relative} for side in item.sides],
    }
