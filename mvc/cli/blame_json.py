"""Who changed what last, as programs read it: the JSON that docs/history.md describes."""

from __future__ import annotations

from typing import Any

from mvc.base.wording import iso_time
from mvc.ops.blame import BlamedTensor, BlameResult, Origin


def as_json(found: BlameResult) -> dict[str, Any]:
    """Return the whole answer as documented in docs/history.md."""
    return {
        "commit": found.commit.hex(),
        "files": [
            {
                "path": file.path,
                "tensors": [_tensor(item) for item in file.tensors]
                if file.tensors is not None
                else None,
                "last_change": _origin(file.whole) if file.whole else None,
            }
            for file in found.files
        ],
    }


def _tensor(item: BlamedTensor) -> dict[str, Any]:
    return {
        "name": item.name,
        "dtype": item.dtype,
        "shape": item.shape,
        "bytes": item.bytes,
        "view_of": item.view_of,
        "last_change": _origin(item.origin),
    }


def _origin(origin: Origin) -> dict[str, Any]:
    commit, weights = origin.version.commit, origin.weights
    return {
        "commit": origin.version.id.hex(),
        "author": commit.author,
        "device": origin.device,
        "time": iso_time(commit.time),
        "message": commit.message,
        "path": origin.path,
        "name": origin.name,
        "made": origin.made,
        "at_or_before": origin.at_or_before,
        "against": origin.against.hex() if origin.against else None,
        "changed_fraction": weights.changed_fraction if weights else None,
        "l2": weights.l2 if weights else None,
        "relative_l2": weights.relative_l2 if weights else None,
    }
