"""Structure side by side: what came, went, moved or was cast, in the words of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mvc.diff.findings import Cast, Growth
from mvc.diff.structure import Recoded
from mvc.ops.diff import FileDiff, TensorDiff
from mvc.web.wording import figure


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the structure: what is at the left, what at the right, and what happened."""

    mark: str
    what: str
    old: str
    old_kind: str
    new: str
    new_kind: str


def structure_of(tensors: TensorDiff) -> Iterator[Entry]:
    """Yield the tensors that are not on both sides as they were."""
    for gone in tensors.removed:
        yield Entry("-", "removed", gone.name, _kind(gone.dtype, gone.shape), "", "")
    for new in tensors.added:
        yield Entry("+", "added", "", "", new.name, _kind(new.dtype, new.shape))
    for moved in tensors.renamed:
        kind = _kind(moved.dtype, moved.shape)
        yield Entry(">", "renamed, equal words", moved.old_name, kind, moved.name, kind)
    for item in tensors.changed:
        if item.old_name is not None:
            kind = _kind(item.dtype, item.shape)
            yield Entry(">", "renamed and changed", item.old_name, kind, item.name, kind)
    for other in (*tensors.reshaped, *tensors.recast):
        yield Entry(
            "~",
            recoded(other),
            other.old_name or other.name,
            _kind(other.old_dtype, other.old_shape),
            other.name,
            _kind(other.new_dtype, other.new_shape),
        )


def _kind(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} [{', '.join(map(str, shape))}]"


def recoded(item: Recoded) -> str:
    """Return what happened to a tensor of another shape or dtype."""
    parts = []
    if item.transposed:
        parts.append("transposed" if item.cast else "transposed, equal words")
    elif item.old_shape != item.new_shape:
        if item.same_words:
            parts.append("reshaped, equal words")
        else:
            parts.append(_growth(item.growth) if item.growth else "reshaped")
    if item.old_dtype != item.new_dtype:
        parts.append(_cast(item.cast) if item.cast else "recast")
    return "; ".join(parts) or "recast"


def _growth(growth: Growth) -> str:
    noun = {0: "row", 1: "column"}.get(growth.axis, f"slice of axis {growth.axis}")
    verb = "more" if growth.added >= 0 else "fewer"
    text = f"{abs(growth.added):,} {verb} {noun}{'' if abs(growth.added) == 1 else 's'}"
    if growth.changed is None:
        return text
    rest = "the rest equal" if not growth.changed else f"{growth.changed:,} of the rest changed"
    return f"{text}, {rest}"


def _cast(cast: Cast) -> str:
    text = {
        "exact": "cast, every value kept",
        "rounded": "cast, rounding only",
        "truncated": "cast, lower bits dropped",
        "quantised": "quantised",
        "dequantised": "dequantised",
        "changed": f"cast of changed values: {cast.differing:,} of {cast.elements:,} differ",
    }[cast.kind]
    error = cast.relative_l2
    return f"{text}, relative error {figure(error)}" if error else text


def operators_of(file: FileDiff) -> Iterator[Entry]:
    """Yield the operators of a graph that came, went, or do something else."""
    if file.graph is None:
        return
    for gone in file.graph.removed:
        yield Entry("-", "removed", gone.op, gone.name or gone.scope, "", "")
    for new in file.graph.added:
        yield Entry("+", "added", "", "", new.op, new.name or new.scope)
    for both in file.graph.changed:
        reasons = [f"{len(both.attributes)} attributes"] * bool(both.attributes)
        reasons += ["rewired"] * both.rewired
        yield Entry(
            "~", ", ".join(reasons) or "changed", both.old.op, both.old.name, both.new.op,
            both.new.name,
        )  # fmt: skip
