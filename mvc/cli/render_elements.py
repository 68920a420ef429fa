"""Elements side by side, as people read them: index, old, new, change."""

from __future__ import annotations

from collections.abc import Iterator

from mvc.cli.paper import Paper
from mvc.diff.elements import ElementChange, Value
from mvc.ops.diff import ChangedTensor


def element_lines(item: ChangedTensor, paper: Paper) -> Iterator[str]:
    """Yield a line for each element that was asked for, and how many others differ."""
    if item.elements is None:
        return
    rows = [_row(element) for element in item.elements]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for index, old, new, change in rows:
        values = f"{old:>{widths[1]}} {paper.arrow} {new:<{widths[2]}}"
        yield f"    {index:<{widths[0]}}  {values}  {change:>{widths[3]}}".rstrip()
    more = item.weights.changed - len(rows) if item.weights else 0
    if more:
        words = "word" if item.weights and item.weights.unit == "word" else "element"
        yield paper.style(f"    and {more:,} more {words}{'s' if more > 1 else ''}", "dim")


def _row(element: ElementChange) -> tuple[str, str, str, str]:
    index = f"[{','.join(map(str, element.index))}]"
    old, new = _text(element.old, element.old_bits), _text(element.new, element.new_bits)
    if old == new:
        # NaNs differ in bits alone.
        old, new = f"{old} ({element.old_bits})", f"{new} ({element.new_bits})"
    return index, old, new, "" if element.change is None else f"{element.change:+.3g}"


def _text(value: Value | None, bits: str) -> str:
    if value is None:
        return bits
    if isinstance(value, complex):
        return repr(value).strip("()")
    return repr(value) if not isinstance(value, bool) else str(value).lower()
