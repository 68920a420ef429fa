"""How far versions have drifted from a base, by layer: a fleet of devices from its release."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Literal

from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.diff.drift import Distance, Task, measure
from mvc.diff.structure import natural_key
from mvc.ops.drift_inputs import FleetVersion, Table, base_of, models_of, versions
from mvc.repo.repository import Repository
from mvc.repo.selection import Selection

Metric = Literal["relative", "l2", "cosine", "changed"]
METRICS: tuple[Metric, ...] = ("relative", "l2", "cosine", "changed")
FEW = 5
"""Versions below which none is called an outlier."""
CUT = 3.5
"""How many robust deviations from the median an outlier is away (Iglewicz and Hoaglin 1993)."""


@dataclass(frozen=True, slots=True)
class DriftRequest:
    """Which versions to measure, from which base, and which files or tensors (`PATH[:GLOB]`).

    `refs` are revisions or patterns of refs; without any, the branches of devices. Without `base`
    the newest common ancestor of all of them is it; of a single one, of it and HEAD.
    """

    refs: tuple[str, ...] = ()
    base: str | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that some version changed: tensors of `elements` elements in a file."""

    path: str
    name: str
    elements: int


@dataclass(frozen=True, slots=True)
class Drifted:
    """A version: its distance by layer, None where it has none of a layer, and in all.

    `missing`, `added`, `reshaped` and `recast` count tensors that are not in the numbers, but for
    recast ones that could be compared by value.
    """

    name: str
    commit: ObjectId
    layers: tuple[Distance | None, ...]
    total: Distance
    missing: int
    added: int
    reshaped: int
    recast: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """A version whose distance stands out: `times` the median of all, most in one layer."""

    name: str
    value: float
    times: float | None
    layer: Layer | None


@dataclass(frozen=True, slots=True)
class DriftResult:
    """All versions, those farthest away first by relative distance.

    `layers` are in natural order; `equal_layers` more are the same everywhere.
    """

    base_name: str
    base: ObjectId
    layers: tuple[Layer, ...]
    equal_layers: int
    versions: tuple[Drifted, ...]


def value(distance: Distance, metric: Metric) -> float | None:
    """Return a distance by one of the metrics."""
    if metric == "changed":
        return distance.share
    found: float | None = getattr(distance, metric)
    return found


def by_distance(found: DriftResult, metric: Metric) -> tuple[Drifted, ...]:
    """Return the versions, those farthest away by this metric first."""

    def key(item: Drifted) -> tuple[float, object]:
        far = value(item.total, metric)
        return (-math.inf if far is None else -far, natural_key(item.name))

    return tuple(sorted(found.versions, key=key))


def outliers(found: DriftResult, metric: Metric) -> tuple[Outlier, ...]:
    """Return the versions that are far above the median of all, the farthest first.

    By the modified z-score, 0.6745 (x - median) / MAD above 3.5, and with the mean absolute
    deviation where more than half are equal: Iglewicz and Hoaglin, How to Detect and Handle
    Outliers, 1993.
    """
    items = [(far, item) for item in by_distance(found, metric)
             if (far := value(item.total, metric)) is not None]  # fmt: skip
    if len(items) < FEW:
        return ()
    middle = median(far for far, _ in items)
    deviations = [abs(far - middle) for far, _ in items]
    spread = median(deviations) / 0.6745 or fmean(deviations) * 1.253314
    if not spread:
        return ()
    return tuple(
        Outlier(item.name, far, far / middle if middle else None, _sharpest(found, item, metric))
        for far, item in items
        if (far - middle) / spread > CUT
    )


def _sharpest(found: DriftResult, item: Drifted, metric: Metric) -> Layer | None:
    """Return the layer in which a version is farthest beyond what is usual for that layer."""
    best: tuple[float, Layer] | None = None
    for place, layer in enumerate(found.layers):
        own = item.layers[place]
        far = value(own, metric) if own is not None else None
        if not far:
            continue
        usual = [
            other
            for each in found.versions
            if (cell := each.layers[place]) is not None
            and (other := value(cell, metric)) is not None
        ]
        times = far / middle if (middle := median(usual)) else math.inf
        if best is None or times > best[0]:
            best = times, layer
    return best[1] if best else None


def drift(repo: Repository, request: DriftRequest, progress: Progress = SILENT) -> DriftResult:
    """Measure how far versions are from their base.

    Tensors that are equal everywhere are not read. Raises NotFoundError for an unknown revision
    and UsageError where there is no common base.
    """
    given = versions(repo, request.refs)
    name, base = base_of(repo, request.base, list(given.values()))
    chosen = Selection(request.paths)
    models = models_of(repo, base, chosen)
    fleet = [FleetVersion(each, commit) for each, commit in given.items()]
    table = Table(repo, models, chosen)
    for number, version in enumerate(fleet):
        table.enter(number, version)
    sums = _measured(repo, table, progress)
    return _result(name, base, table, sums, fleet)


_Sums = dict[tuple[str, str], tuple[Distance, tuple[Distance, ...]]]


def _measured(repo: Repository, table: Table, progress: Progress) -> _Sums:
    order = table.ordered()
    tasks = [Task(table.entries[at].base, tuple(table.entries[at].others)) for at in order]
    return dict(zip(order, measure(repo.store, tasks, progress), strict=True))


def _result(
    name: str, base: ObjectId, table: Table, sums: _Sums, fleet: Sequence[FleetVersion]
) -> DriftResult:
    layers = table.layers()
    shown = tuple(
        Layer(path, layer, sum(sums[at][0].elements for at in tensors))
        for (path, layer), tensors in layers.items()
    )
    measured = []
    for number, version in enumerate(fleet):
        cells = tuple(
            None if path in version.lost else _summed(_of(table, sums, tensors, number))
            for (path, _), tensors in layers.items()
        )
        measured.append(
            Drifted(
                version.name,
                version.commit,
                cells,
                _summed(cell for cell in cells if cell is not None) or Distance(),
                version.missing,
                version.added,
                version.reshaped,
                version.recast,
            )
        )
    result = DriftResult(name, base, shown, table.equal_layers(), tuple(measured))
    return replace(result, versions=by_distance(result, "relative"))


def _of(
    table: Table, sums: _Sums, tensors: Iterable[tuple[str, str]], number: int
) -> Iterator[Distance]:
    """Yield the distances of a version in some tensors that can be compared."""
    for at in tensors:
        equal, others = sums[at]
        held = table.entries[at].held
        if number not in held:
            yield equal
        elif (place := held[number]) is not None:
            yield others[place]


def _summed(distances: Iterable[Distance]) -> Distance | None:
    total = None
    for distance in distances:
        total = total or Distance()
        total.add(distance)
    return total
