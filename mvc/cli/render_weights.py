"""How far tensors and layers changed, as people read it: a table, or lines with bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mvc.base.wording import percent
from mvc.cli.paper import Paper
from mvc.cli.render_elements import element_lines
from mvc.diff.layers import Layer, layers
from mvc.diff.order import Order
from mvc.diff.weights import Weights
from mvc.ops.diff import ChangedTensor, TensorDiff

BAR = 8
BAR_DECADES = 6
LEAST_NAME = 16
WIDE = 120
"""Columns from which a table tells more."""


def table(tensors: TensorDiff, order: Order, paper: Paper) -> Iterator[str]:
    """Yield a table of the changed tensors, with elements below each where these were asked for."""
    shown = order.applied(tensors.changed)
    if not shown:
        return
    rows = [_cells(item, paper) for item in shown]
    # Ranks, the last column, are those of matrices alone.
    heads = max((list(row) for row in rows), key=len)
    widths = [max(len(head), *(len(row.get(head, "")) for row in rows)) for head in heads]
    room = max(LEAST_NAME, paper.width - 2 - sum(widths) - 2 * len(widths))
    title, *names = paper.labels(["tensor", *(item.name for item in shown)], room, 2)

    def line(name: str, cells: Sequence[str]) -> str:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return "  " + "  ".join([name, *padded])

    yield paper.style(line(title, heads), "dim")
    for name, row, item in zip(names, rows, shown, strict=True):
        yield line(name, [row.get(head, "-") for head in heads])
        yield from _notes(item.weights, paper)
        yield from element_lines(item, paper)
    yield from left_out(len(tensors.changed) - len(shown), "tensor", paper)


def left_out(count: int, noun: str, paper: Paper) -> Iterator[str]:
    """Say that so many were not shown, if any."""
    if count:
        more = noun if count == 1 else noun + "s"
        yield paper.style(f"  and {count:,} more {more} that changed", "dim")


def _notes(weights: Weights | None, paper: Paper) -> Iterator[str]:
    if weights and (weights.old_nonfinite or weights.new_nonfinite):
        before, after = weights.old_nonfinite, weights.new_nonfinite
        yield paper.style(f"    NaN or infinite: {before} before, {after} after", "yellow")


def _cells(item: ChangedTensor, paper: Paper) -> dict[str, str]:
    cells = {"shape": "x".join(map(str, item.shape)) or "scalar"}
    weights = item.weights
    if weights is None:
        return cells
    cells["changed"] = percent(weights.changed, weights.elements)
    cells[paper.delta] = number(weights.l2)
    cells["relative"] = number(weights.relative_l2)
    cells["cosine"] = "-" if weights.cosine is None else f"{weights.cosine:.6f}"
    if paper.width >= WIDE:
        cells["largest"] = number(weights.max_abs)
        cells["at"] = "-" if weights.max_at is None else ",".join(map(str, weights.max_at)) or "-"
        cells["mean"] = "-" if weights.mean_shift is None else f"{weights.mean_shift:+.2g}"
        cells["flips"] = "-" if weights.sign_flips is None else f"{weights.sign_flips:,}"
    if weights.effective_rank is not None:
        cells["rank"] = f"{weights.effective_rank:.1f}"
    return cells


def number(value: float | None) -> str:
    """Return a number with three digits."""
    return "-" if value is None else f"{value:.3g}"


def layer_rows(
    tensors: TensorDiff, order: Order, paper: Paper
) -> tuple[list[tuple[str, str, int]], int]:
    """Return (name, text with a bar, bytes) of each layer that changed, and how many were left out.

    A bar's length is the change relative to the layer's norm on a scale of decades, from a
    millionth (shortest) to the norm itself; its signs are the shares of elements that grew and
    shrank.
    """
    found = layers(tensors.changed)
    shown = order.applied(found)
    measured = [_layer_cells(layer, paper) for layer in shown]
    widths = [max(map(len, column)) for column in zip(*measured, strict=True)]
    rows = []
    for layer, (share, norm, bar) in zip(shown, measured, strict=True):
        text = f"{share:>{widths[0]}}  {norm:<{widths[1]}}  {bar:<{widths[2]}}"
        rows.append((layer.name, text.rstrip(), layer.bytes))
    return rows, len(found) - len(shown)


def _layer_cells(layer: Layer, paper: Paper) -> tuple[str, str, str]:
    weights = layer.weights
    if weights is None:
        return "changed", "", ""
    share = "~" + percent(weights.changed, weights.elements).lstrip("<>")
    return share, f"{paper.delta} {number(weights.l2)}", _bar(weights)


def _bar(weights: Weights) -> str:
    moved = (weights.grown or 0) + (weights.shrunk or 0)
    if not moved:
        return "~"
    # A change from nothing is greater than any share of something.
    relative = 1.0 if weights.relative_l2 is None else weights.relative_l2
    height = 1 + math.log10(relative) / BAR_DECADES if relative > 0 else 0
    length = min(BAR, max(2, round(BAR * height)))
    plus = round(length * (weights.grown or 0) / moved)
    plus = min(max(plus, 1 if weights.grown else 0), length - (1 if weights.shrunk else 0))
    return "+" * plus + "-" * (length - plus)


def bar_styled(text: str, paper: Paper) -> str:
    """Return the text of a layer with a coloured bar at its end."""
    bare = text.rstrip()
    head = bare.rstrip("+-~")
    bar = bare[len(head) :]
    plus = bar.count("+")
    coloured = paper.style(bar[:plus], "green") + paper.style(bar[plus:], "red")
    return head + coloured + text[len(bare) :]
