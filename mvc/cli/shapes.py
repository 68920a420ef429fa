"""The JSON that commands print (docs/json.md). Fields may be added, never changed or removed."""

from __future__ import annotations

from typing import Any

from mvc.base.ids import ObjectId
from mvc.base.wording import iso_time
from mvc.cli.render_signature import Judge
from mvc.cli.render_signature import shape as verdict
from mvc.objects.history import ED25519
from mvc.ops.ls_tree import Row
from mvc.ops.show import Shown, ShownBlob, ShownCheckpoint, ShownCommit, TensorRow
from mvc.repo.history import Version

Shape = dict[str, Any]


def hexed(item: ObjectId | None) -> str | None:
    """Return an id as its 64 digits."""
    return None if item is None else item.hex()


def version(item: Version, refs: tuple[str, ...] = (), judge: Judge | None = None) -> Shape:
    """Return a commit as `log --json` lists it; a `judge` adds what signatures are worth."""
    commit = item.commit
    return {
        "id": item.id.hex(),
        "parents": [parent.hex() for parent in commit.parents],
        "author": commit.author,
        "time": iso_time(commit.time),
        "message": commit.message,
        "params": commit.params,
        "metrics": {metric.key: metric.value for metric in commit.metrics},
        "labels": commit.labels,
        "tree": commit.tree.hex(),
        "refs": list(refs),
        "recipe": hexed(commit.recipe),
        "base": hexed(commit.base),
        "signature": commit.signature and {"algorithm": ED25519, "key": commit.signature.key.hex()},
        **({"verified": verdict(judge(commit))} if judge else {}),
    }


def row(item: Row) -> Shape:
    """Return a file or folder as `ls-tree --json` lists it."""
    return {"path": item.path, "kind": item.kind, "id": item.id.hex(), "size": item.size}


def shown(item: Shown) -> Shape:
    """Return what `show --json` prints."""
    if isinstance(item, ShownCommit):
        return _commit(item)
    if isinstance(item, ShownCheckpoint):
        return _checkpoint(item)
    if isinstance(item, ShownBlob):
        return {
            "kind": "blob",
            "path": item.path,
            "id": item.id.hex(),
            "size": item.size,
            "sha256": item.sha256.hex(),
        }
    return {"kind": "tree", "path": item.path, "entries": [row(entry) for entry in item.rows]}


def _commit(item: ShownCommit) -> Shape:
    changes = [
        {
            "status": change.status,
            "path": change.path,
            "old_size": change.old_size,
            "size": change.size,
        }
        for change in item.changes
    ]
    tag = item.tag and {
        "name": item.tag.name,
        "author": item.tag.author,
        "time": iso_time(item.tag.time),
        "message": item.tag.message,
    }
    about = version(Version(item.id, item.commit))
    del about["refs"]
    return {"kind": "commit", **about, "changes": changes, "tag": tag}


def _checkpoint(item: ShownCheckpoint) -> Shape:
    return {
        "kind": "checkpoint",
        "path": item.path,
        "id": item.id.hex(),
        "format": item.format,
        "size": item.size,
        "sha256": item.sha256.hex(),
        "tensor_bytes": item.tensor_bytes,
        "literal_bytes": item.literal_bytes,
        "notes": list(item.notes),
        "tensors": [_tensor(entry) for entry in item.tensors],
        "views": [
            {
                "name": view.name,
                "source": view.source,
                "shape": list(view.shape),
                "offset": view.offset,
                "strides": list(view.strides),
            }
            for view in item.views
        ],
    }


def _tensor(entry: TensorRow) -> Shape:
    return {
        "name": entry.name,
        "dtype": entry.dtype,
        "shape": list(entry.shape),
        "bytes": entry.bytes,
        "id": entry.id.hex(),
    }
