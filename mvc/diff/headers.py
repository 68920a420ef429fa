"""What a model file says beside its tensors: its operators, and what its integers stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from mvc.base.errors import FormatError
from mvc.diff import graphs, metadata
from mvc.diff.findings import GraphDiff
from mvc.diff.quantised import Scaling, Stated, Tell, nothing
from mvc.formats import onnx_graph, tflite_graph, tflite_scales
from mvc.formats.base import Source
from mvc.formats.graph import Graph
from mvc.formats.tflite_scales import Scales

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
    return name in _GRAPHS or metadata.known(name)


def compare_graphs(
    name: str, sources: tuple[Source, Source], weights: Mapping[str, str]
) -> GraphDiff | None:
    """Compare the operators of two files of the format `name`; see graphs.compare for `weights`."""
    old, new = graph(name, sources[0]), graph(name, sources[1])
    return graphs.compare(old, new, weights) if old and new else None


def stated(name: str, read: Callable[[], Source | None]) -> Tell:
    """Return how to learn what a file in the format `name` says of its integers.

    `read` gives the file without its tensors, None where there is none.
    """
    return partial(_scalings, read) if name == "tflite" else nothing


def _scalings(read: Callable[[], Source | None]) -> dict[str, Scaling]:
    source = read()
    try:
        found = tflite_scales.read(source) if source is not None else {}
    except FormatError:
        return {}
    return {name: _scaling(one) for name, one in found.items()}


def _scaling(one: Scales) -> Scaling:
    def along(values: Sequence[float]) -> Stated | None:
        many = len(values) > 1
        shape = tuple(len(values) if many and axis == one.axis else 1 for axis in range(one.rank))
        return Stated(tuple(values), shape) if values else None

    return Scaling(None, along(one.scales), None, along(one.zero_points))
