"""A comparison as programs read it: the JSON that docs/diff.md describes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

from mvc.cli.weights_json import elements_json, layer_json, weights_json
from mvc.diff.findings import GraphDiff
from mvc.diff.layers import layers
from mvc.diff.order import Order
from mvc.diff.structure import Described, Recoded, Status
from mvc.ops.diff import WORKTREE, ChangedTensor, DiffResult, End, FileDiff, FileEnd, TensorDiff

STATUSES: tuple[Status, ...] = get_args(Status)


def as_json(result: DiffResult, order: Order | None = None) -> dict[str, Any]:
    """Return the whole comparison as documented in docs/diff.md, what changed in some order."""
    order = order or Order()
    return {
        "from": _end_json(result.old),
        "to": _end_json(result.new),
        "files": [_file_json(file, order) for file in result.files],
        "totals": totals(result),
    }


def totals(result: DiffResult) -> dict[str, Any]:
    """Return the sums over all files."""
    with_tensors = [file.tensors for file in result.files if file.tensors]
    measured = [item.weights for each in with_tensors for item in each.changed if item.weights]
    return {
        **{
            f"files_{status}": sum(file.status == status for file in result.files)
            for status in STATUSES
        },
        **{
            f"tensors_{what}": sum(len(getattr(each, what)) for each in with_tensors)
            for what in ("added", "removed", "reshaped", "recast", "renamed", "changed")
        },
        "tensors_unchanged": sum(each.unchanged for each in with_tensors),
        "elements": sum(weights.elements for weights in measured),
        "changed_elements": sum(weights.changed for weights in measured),
        "l2": result.l2,
    }


def _end_json(end: End) -> str | None:
    if end.commit is not None:
        return end.commit.hex()
    return WORKTREE if end.name == WORKTREE else end.path


def _file_json(file: FileDiff, order: Order) -> dict[str, Any]:
    shown = file.new or file.old
    return {
        "path": file.path,
        "old_path": file.old.path if file.old else None,
        "status": file.status,
        "old": _id(file.old),
        "new": _id(file.new),
        "old_size": file.old.size if file.old else None,
        "new_size": file.new.size if file.new else None,
        "format": shown.format or None if shown else None,
        "old_format": file.old.format or None if file.old else None,
        "tensors": _tensors_json(file.tensors, order) if file.tensors else None,
        "unchanged_tensors": file.tensors.unchanged if file.tensors else None,
        "text": file.text,
        "summary": file.summary,
        "fields": None if file.fields is None else [asdict(item) for item in file.fields],
        "tokens": asdict(file.tokens) if file.tokens else None,
        "header": [asdict(item) for item in file.header],
        "graph": _graph_json(file.graph) if file.graph else None,
        "old_parts": [part.path for part in file.old_parts],
        "new_parts": [part.path for part in file.new_parts],
    }


def _graph_json(graph: GraphDiff) -> dict[str, Any]:
    return {
        "added": [asdict(item) for item in graph.added],
        "removed": [asdict(item) for item in graph.removed],
        "changed": [asdict(item) for item in graph.changed],
        "properties": [asdict(item) for item in graph.properties],
        "unchanged": graph.unchanged,
        "renamed": graph.renamed,
        "complete": graph.complete,
    }


def _id(end: FileEnd | None) -> str | None:
    return end.id.hex() if end and end.id else None


def _tensors_json(tensors: TensorDiff, order: Order) -> dict[str, Any]:
    return {
        "added": [_described_json(item) for item in tensors.added],
        "removed": [_described_json(item) for item in tensors.removed],
        "reshaped": [_recoded_json(item) for item in tensors.reshaped],
        "recast": [_recoded_json(item) for item in tensors.recast],
        "changed": [_changed_json(item) for item in order.applied(tensors.changed)],
        "renamed": [asdict(item) for item in tensors.renamed],
        "moves": [asdict(item) for item in tensors.moves],
        "layers": [layer_json(item) for item in order.applied(layers(tensors.changed))],
    }


def _described_json(item: Described) -> dict[str, Any]:
    return {"name": item.name, "dtype": item.dtype, "shape": item.shape, "bytes": item.bytes}


def _recoded_json(item: Recoded) -> dict[str, Any]:
    return {
        "name": item.name,
        "old_dtype": item.old_dtype,
        "new_dtype": item.new_dtype,
        "old_shape": item.old_shape,
        "new_shape": item.new_shape,
        "old_name": item.old_name,
        "cast": asdict(item.cast) if item.cast else None,
        "growth": asdict(item.growth) if item.growth else None,
        "same_words": item.same_words,
        "transposed": item.transposed,
    }


def _changed_json(item: ChangedTensor) -> dict[str, Any]:
    return {
        "name": item.name,
        "dtype": item.dtype,
        "shape": item.shape,
        "bytes": item.bytes,
        "old_name": item.old_name,
        **weights_json(item.weights),
        **elements_json(item.elements),
    }
