"""What a model file says beside its tensors: metadata of safetensors, operators of networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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


def known(name: str) -> bool:
    """Tell whether mvc sees more than tensors in files of the format `name`."""
    return name in _GRAPHS or name == "safetensors"


def compare_graphs(
    name: str, sources: tuple[Source, Source], weights: Mapping[str, str]
) -> GraphDiff | None:
    """Compare the operators of two files of the format `name`; see graphs.compare for `weights`."""
    old, new = graph(name, sources[0]), graph(name, sources[1])
    return graphs.compare(old, new, weights) if old and new else None


def compare_metadata(name: str, sources: tuple[Source, Source]) -> tuple[FieldChange, ...]:
    """Return what differs in the metadata of two files of the format `name`."""
    if name != "safetensors":
        return ()
    old, new = _metadata(sources[0]), _metadata(sources[1])
    return (fields.changes(old, new) or ()) if old is not None and new is not None else ()


def _metadata(source: Source) -> Any | None:
    try:
        size = int.from_bytes(source.read_at(0, 8), "little")
        if size > MAX_HEADER:
            return None
        header = json.loads(source.read_at(8, size))
    except (FormatError, ValueError, RecursionError):
        return None
    return {"__metadata__": header.get("__metadata__", {})} if isinstance(header, dict) else None
