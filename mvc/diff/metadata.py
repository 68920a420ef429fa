"""What a model file says of itself, field by field: metadata, and scales of its integers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mvc.base.errors import FormatError
from mvc.diff import fields
from mvc.diff.findings import FieldChange
from mvc.formats import gguf_metadata, tflite_scales, torch_legacy, torch_values, torch_zip
from mvc.formats.base import MAX_HEADER, Source
from mvc.formats.graph import digest

Said = dict[str, Any]

_FLAT = ("gguf", "pytorch", "pytorch-legacy")


def known(name: str) -> bool:
    """Tell whether files of the format `name` have metadata that mvc reads."""
    return name in _READERS


def compare(name: str, sources: tuple[Source, Source]) -> tuple[FieldChange, ...]:
    """Return what differs in the metadata of two files of the format `name`."""
    read = _READERS.get(name)
    if read is None:
        return ()
    try:
        old, new = map(read, sources)
    except (FormatError, ValueError, RecursionError):
        return ()
    if name in _FLAT:
        return tuple(_flat(old, new))
    if name == "tflite":
        # What only one side has quantised is told as such, tensor by tensor.
        both = old.keys() & new.keys()
        old, new = ({"quantisation": _only(side, both)} for side in (old, new))
    return fields.changes(old, new) or ()


def _flat(old: Said, new: Said) -> Iterator[FieldChange]:
    """Yield what differs where keys hold dots and no groups."""
    for key in dict.fromkeys((*old, *new)):
        one = fields.text(old[key]) if key in old else None
        two = fields.text(new[key]) if key in new else None
        if one != two:
            yield FieldChange(key, one, two)


def _only(side: Said, names: set[str]) -> Said:
    return {name: value for name, value in side.items() if name in names}


def _safetensors(source: Source) -> Said:
    size = int.from_bytes(source.read_at(0, 8), "little")
    if size > MAX_HEADER:
        raise FormatError("its header is too long")
    header = json.loads(source.read_at(8, size))
    if not isinstance(header, dict):
        raise FormatError("its header is no object")
    return {"__metadata__": header.get("__metadata__", {})}


def _tflite(source: Source) -> Said:
    """Return scales and zero points by names of tensors; where there are many, how many."""
    return {
        name: {
            "scale": _one_or_many(one.scales, "<f8"),
            "zero_point": _one_or_many(one.zero_points or (0,), "<i8"),
        }
        for name, one in tflite_scales.read(source).items()
    }


def _one_or_many(values: Sequence[float], kind: str) -> Any:
    if len(values) == 1:
        return values[0]
    return f"{len(values)} numbers #{digest(np.asarray(values, kind).tobytes())}"


_READERS: dict[str, Callable[[Source], Said]] = {
    "gguf": gguf_metadata.read,
    "pytorch": lambda source: torch_values.plain(torch_zip.value(source)),
    "pytorch-legacy": lambda source: torch_values.plain(torch_legacy.value(source)),
    "safetensors": _safetensors,
    "tflite": _tflite,
}
