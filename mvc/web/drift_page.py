"""`mvc drift --html`: how far a fleet has drifted, as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any

from mvc.base.wording import short
from mvc.ops.drift import METRICS, DriftResult, Metric, Outlier, outliers
from mvc.web.heat import Scale
from mvc.web.page import render
from mvc.web.wording import inexact

MOST_VERSIONS = 300
MOST_CELLS = 30_000
LEAST_LAYERS = 20
MOST_NUMBERS = 10
DIGITS = 6
WORDS: dict[Metric, str] = {
    "relative": "L2 relative to the base",
    "l2": "L2",
    "cosine": "1 − cosine",  # noqa: RUF001 - the sign for minus
    "changed": "share of elements that differ",
}
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Column:
    """A version: its whole name, what of it tells it from the others, and its distance in all."""

    name: str
    label: str
    commit: str
    total: float | None
    level: int
    stands_out: bool
    notes: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A layer of a version."""

    text: str
    level: int


@dataclass(frozen=True, slots=True)
class Row:
    """A layer."""

    name: str
    cells: tuple[Cell, ...]


def drift_page(found: DriftResult, document: Mapping[str, Any], metric: Metric) -> str:
    """Return the page; `document` is the JSON of docs/pictures.md, kept shortened in the page."""
    kept = shortened(document, metric)
    versions, layers = kept["versions"], kept["layers"]
    scale = Scale.of(
        [
            far
            for version in versions
            for far in (*version["layers"][metric], _total(version, metric))
        ]
    )
    standing = outliers(found, metric)
    several = len({layer["path"] for layer in layers}) > 1
    names = [f"{layer['path']}:{layer['name']}" if several else layer["name"] for layer in layers]
    rows = [
        Row(name, tuple(_cell(version["layers"][metric][at], scale) for version in versions))
        for at, name in enumerate(names)
    ]
    return render(
        "drift.html",
        kept,
        title=f"{len(found.versions)} versions from {found.base_name}",
        base=found.base_name,
        base_id=short(found.base),
        count=len(found.versions),
        columns=_columns(versions, metric, scale, standing),
        rows=rows,
        scale=scale,
        metric=metric,
        metrics=[(each, WORDS[each]) for each in METRICS],
        outliers=standing,
        layers=len(found.layers),
        equal=found.equal_layers,
        versions_hidden=len(found.versions) - len(versions),
        layers_hidden=len(found.layers) - len(layers),
        numbers=len(versions) <= MOST_NUMBERS,
    )


def _cell(far: float | None, scale: Scale) -> Cell:
    return Cell(inexact(far), scale.level(far))


def _total(version: Mapping[str, Any], metric: Metric) -> float | None:
    found: float | None = version["total"][metric]
    return found


def _columns(
    versions: Sequence[Mapping[str, Any]],
    metric: Metric,
    scale: Scale,
    standing: Sequence[Outlier],
) -> list[Column]:
    far = {item.name for item in standing}
    names = [version["name"] for version in versions]
    # What all names begin with, up to a slash, tells none of them from the others.
    shared = commonprefix(names).rpartition("/")[0]  # noqa: RUF071 - of characters
    cut = len(shared) + 1 if shared and len(names) > 1 else 0
    return [
        Column(
            version["name"],
            version["name"][cut:],
            version["commit"][:10],
            _total(version, metric),
            scale.level(_total(version, metric)),
            version["name"] in far,
            _notes(version),
        )
        for version in versions
    ]


def _notes(version: Mapping[str, Any]) -> str:
    parts = [
        f"{version[what]:,} {what}"
        for what in ("missing", "added", "reshaped", "recast")
        if version[what]
    ]
    text = f"tensors: {', '.join(parts)}" if parts else ""
    if version["nonfinite"]:
        text += ("; " if text else "") + f"{version['nonfinite']:,} elements are NaN or infinite"
    return text


def shortened(document: Mapping[str, Any], metric: Metric) -> dict[str, Any]:
    """Return the JSON with what a page has room for.

    The farthest versions, the layers that differ most, and six digits of each number; `omitted`
    says what is left out.
    """
    versions = document["versions"][:MOST_VERSIONS]
    most = max(LEAST_LAYERS, MOST_CELLS // max(1, len(versions)))
    far = [
        max((version["layers"][metric][at] or 0.0 for version in versions), default=0.0)
        for at in range(len(document["layers"]))
    ]
    kept = sorted(sorted(range(len(far)), key=lambda at: -far[at])[:most])
    omitted = {
        "versions": len(document["versions"]) - len(versions),
        "layers": len(far) - len(kept),
    }
    return {
        **document,
        "layers": [document["layers"][at] for at in kept],
        "versions": [_shortened_version(version, kept) for version in versions],
        **({"omitted": omitted} if any(omitted.values()) else {}),
    }


def _shortened_version(version: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    layers = {
        metric: [_rounded(values[at]) for at in kept]
        for metric, values in version["layers"].items()
    }
    return {**version, "layers": layers}


def _rounded(far: float | None) -> float | None:
    return None if far is None else float(f"{far:.{DIGITS}g}")
