"""Drift as programs read it (docs/pictures.md). Fields may be added, never changed or removed."""

from __future__ import annotations

from typing import Any

from mvc.ops.drift import METRICS, Drifted, DriftResult, Metric, by_distance, outliers, value

Shape = dict[str, Any]


def of_drift(found: DriftResult, metric: Metric) -> Shape:
    """Return all distances by all metrics; order and outliers are by one of them."""
    return {
        "base": found.base.hex(),
        "base_name": found.base_name,
        "metric": metric,
        "layers": [
            {"path": layer.path, "name": layer.name, "elements": layer.elements}
            for layer in found.layers
        ],
        "equal_layers": found.equal_layers,
        "versions": [_version(item) for item in by_distance(found, metric)],
        "outliers": [
            {
                "name": item.name,
                "value": item.value,
                "times_median": item.times,
                "layer": item.layer and item.layer.name,
                "path": item.layer and item.layer.path,
            }
            for item in outliers(found, metric)
        ],
    }


def _version(item: Drifted) -> Shape:
    return {
        "name": item.name,
        "commit": item.commit.hex(),
        "total": {metric: value(item.total, metric) for metric in METRICS},
        "layers": {
            metric: [cell and value(cell, metric) for cell in item.layers] for metric in METRICS
        },
        "elements": item.total.elements,
        "changed_elements": item.total.changed,
        "nonfinite": item.total.nonfinite,
        "missing": item.missing,
        "added": item.added,
        "reshaped": item.reshaped,
        "recast": item.recast,
    }
