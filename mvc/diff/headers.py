"""What a model file says beside its tensors: metadata of safetensors, operators of networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mvc.base.errors import FormatError
from mvc.diff import fields, graphs
from mvc.diff.findings import FieldChange, GraphDiff
from mvc.formats import onnx_graph, tflite_graph
from mvc.formats.base import MAX_HEADER, Source
from mvc.formats.graph import Graph

_GRAPHS: dict[str, Callable[[Source], Graph]] = {
    "onnx": onnx_graph.read,
    "tflite": tflite_graph.read,
}


def graph(name: str, source: Source) -> Graph | None:
    """Return the operators of a file in the format `name`, None where mvc sees none."""
    read = _GRAPHS.get(name)
    if read is None:
        return None
    try:
        return read(source)
    except FormatError:
        return None


def compare_graphs(
    names: tuple[str, str], sources: tuple[Source, Source], weights: Mapping[str, str]
) -> GraphDiff | None:
    """Compare the operators of two files of one format; see graphs.compare for `weights`."""
    if names[0] != names[1]:
        return None
    old, new = (graph(name, source) for name, source in zip(names, sources, strict=True))
    return graphs.compare(old, new, weights) if old and new else None


def compare_metadata(
    names: tuple[str, str], sources: tuple[Source, Source]
) -> tuple[FieldChange, ...]:
    """Return what differs in the metadata of two safetensors files."""
    if names != ("safetensors", "safetensors"):
        return ()
    old, new = (_metadata(source) for source in sources)
    return fields.changes(old, new) or () if old is not None and new is not None else ()


def _metadata(source: Source) -> Any | None:
    try:
        size = int.from_bytes(source.read_at(0, 8), "little")
        if size > MAX_HEADER:
            return None
        header = json.loads(source.read_at(8, size))
    except (FormatError, ValueError, RecursionError):
        return None
    return {"__metadata__": header.get("__metadata__", {})} if isinstance(header, dict) else None


def new_names(changed: Iterator[tuple[str | None, str]]) -> dict[str, str]:
    """Return the new names of tensors by their old ones, where these differ."""
    return {old: new for old, new in changed if old is not None}
