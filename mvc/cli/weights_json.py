"""How far tensors changed, as programs read it: the JSON that docs/diff.md describes."""

from __future__ import annotations

import math
from typing import Any

from mvc.diff.elements import ElementChange, Value
from mvc.diff.layers import Layer
from mvc.diff.weights import Histogram, Weights


def weights_json(weights: Weights | None) -> dict[str, Any]:
    """Return the numbers of a tensor or layer, nothing where none were asked for."""
    if weights is None:
        return {}
    return {
        "unit": weights.unit,
        "elements": weights.elements,
        "changed": weights.changed,
        "changed_fraction": weights.changed_fraction,
        "grown": weights.grown,
        "shrunk": weights.shrunk,
        "sign_flips": weights.sign_flips,
        "norm": weights.norm,
        "new_norm": weights.new_norm,
        "l2": weights.l2,
        "relative_l2": weights.relative_l2,
        "cosine": weights.cosine,
        "max_abs": weights.max_abs,
        "max_at": weights.max_at,
        "mean_shift": weights.mean_shift,
        "effective_rank": weights.effective_rank,
        "old_nonfinite": weights.old_nonfinite,
        "new_nonfinite": weights.new_nonfinite,
        "histogram": _histogram_json(weights.histogram),
    }


def layer_json(layer: Layer) -> dict[str, Any]:
    """Return a layer."""
    numbers = weights_json(layer.weights)
    numbers.pop("effective_rank", None)
    return {
        "name": layer.name,
        "tensors": layer.tensors,
        "bytes": layer.bytes,
        **numbers,
        "largest": layer.largest,
    }


def elements_json(elements: tuple[ElementChange, ...] | None) -> dict[str, Any]:
    """Return the elements that were asked for, under their key; nothing where none were."""
    if elements is None:
        return {}
    return {
        "words": [
            {
                "index": item.index,
                "old": _value_json(item.old),
                "new": _value_json(item.new),
                "change": item.change,
                "old_bits": item.old_bits,
                "new_bits": item.new_bits,
            }
            for item in elements
        ]
    }


def _histogram_json(histogram: Histogram | None) -> dict[str, Any] | None:
    if histogram is None:
        return None
    return {
        "zero": histogram.zero,
        "first": histogram.first,
        "grown": histogram.grown,
        "shrunk": histogram.shrunk,
    }


def _value_json(value: Value | None) -> Any:
    """Return a value that JSON knows: a pair for a complex number, null for one not finite."""
    if isinstance(value, complex):
        return [_value_json(value.real), _value_json(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
