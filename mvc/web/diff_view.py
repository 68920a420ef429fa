"""What the page of a comparison shows, in the order and the words it shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mvc.base.wording import counted, percent, size
from mvc.diff.findings import FieldChange
from mvc.diff.layers import summed
from mvc.diff.sides import BLOB
from mvc.ops.diff import ChangedTensor, DiffResult, FileDiff
from mvc.web import histogram
from mvc.web.grid import Cell, grids
from mvc.web.heat import LEVELS, Scale
from mvc.web.structure_view import Entry, operators_of, structure_of
from mvc.web.wording import figure, inexact

MOST_FILES = 400
MOST_ROWS = 2000
LEAST_ROWS = 20
MOST_ENTRIES = 1000
MOST_LINES = 500
OPEN_FILES = 6
MOST_NUMBERS = 13
OUTSIDE = "outside blocks"
SPARK = (72.0, 20.0)


@dataclass(frozen=True, slots=True)
class Row:
    """A changed tensor in the table."""

    anchor: str
    name: str
    old_name: str | None
    shape: str
    dtype: str
    changed: str
    share: float
    relative: float | None
    level: int
    bar: float
    l2: float | None
    cosine: float | None
    rank: float | None
    max_abs: float | None
    max_at: str
    mean_shift: float | None
    sign_flips: int | None
    nonfinite: str
    spark: str


@dataclass(frozen=True, slots=True)
class Spot:
    """A cell of the heat map."""

    text: str
    level: int
    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A grid with its colours; `numbers` tells whether there is room for them in the cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Spot | None, ...]], ...]
    numbers: bool


@dataclass(frozen=True, slots=True)
class Map:
    """The heat map: grids, the scale of their colours, and how many kinds it leaves out."""

    stacks: tuple[Stack, ...]
    scale: Scale
    hidden: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text's difference."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """Everything about one file."""

    anchor: str
    title: str
    status: str
    details: str
    sentences: tuple[str, ...]
    open: bool
    heat: Map | None
    rows: tuple[Row, ...]
    rows_hidden: int
    ranks: bool
    histogram: histogram.Picture | None
    structure: tuple[Entry, ...]
    structure_hidden: int
    operators: tuple[Entry, ...]
    operators_hidden: int
    fields: tuple[FieldChange, ...]
    fields_hidden: int
    lines: tuple[Line, ...]
    lines_hidden: int


def headline(result: DiffResult) -> str:
    """Return one line that says how much differs."""
    if not result.files:
        return "Nothing differs."
    count = len(result.files)
    line = f"{counted(count, 'file')} differ{'s' if count == 1 else ''}"
    with_tensors = [file.tensors for file in result.files if file.tensors]
    names = ("changed", "added", "removed", "renamed", "reshaped", "recast")
    found = [
        f"{total:,} {what}"
        for what in names
        if (total := sum(len(getattr(each, what)) for each in with_tensors))
    ]
    unchanged = sum(each.unchanged for each in with_tensors)
    if found or unchanged:
        found += [f"{unchanged:,} unchanged"] * bool(unchanged)
        line += "; tensors: " + ", ".join(found)
    return line + "."


@dataclass(frozen=True, slots=True)
class Largest:
    """The tensor with the largest relative change, or with the largest one where none has that."""

    path: str
    name: str
    relative: float


def largest(result: DiffResult) -> Largest | None:
    """Return the largest relative change of all files, the first of equals."""
    found = [
        Largest(file.path, item.name, item.weights.relative_l2)
        for file in result.files
        if file.tensors
        for item in file.tensors.changed
        if item.weights and item.weights.relative_l2 is not None
    ]
    return max(found, key=lambda item: item.relative, default=None)


def elements(result: DiffResult) -> tuple[int, int]:
    """Return how many elements the changed tensors have, and how many of them differ."""
    measured = [
        item.weights
        for file in result.files
        if file.tensors
        for item in file.tensors.changed
        if item.weights
    ]
    return sum(item.elements for item in measured), sum(item.changed for item in measured)


def sections(result: DiffResult) -> tuple[Section, ...]:
    """Return the first files, models before others, with the rows there is room for."""
    shown = sorted(result.files[:MOST_FILES], key=lambda file: file.tensors is None)
    models = sum(file.tensors is not None for file in shown)
    room = max(LEAST_ROWS, MOST_ROWS // max(1, models))
    few = len(shown) <= OPEN_FILES
    return tuple(_section(place, file, room, few=few) for place, file in enumerate(shown))


def _section(place: int, file: FileDiff, room: int, *, few: bool) -> Section:
    anchor = f"f{place}"
    heat: Map | None = None
    rows: tuple[Row, ...] = ()
    hidden, drawn = 0, None
    structure: list[Entry] = []
    if file.tensors is not None:
        chosen = _chosen(file.tensors.changed, room)
        hidden = len(file.tensors.changed) - len(chosen)
        heat = _heat(file.tensors.changed, chosen, anchor)
        scale = heat.scale if heat else Scale(0.0, 0.0)
        rows = tuple(_row(file.tensors.changed[at], f"{anchor}t{at}", scale) for at in chosen)
        measured = [item.weights for item in file.tensors.changed if item.weights]
        held = [item.histogram for item in measured if item.histogram]
        drawn = histogram.picture(summed(held)) if held else None
        structure = list(structure_of(file.tensors))
    operators = list(operators_of(file))
    fields = [*file.header, *(file.fields or ())]
    if file.graph is not None:
        fields += file.graph.properties
    lines = [] if file.fields else list(_lines(file.text or ""))
    return Section(
        anchor,
        _title(file),
        file.status,
        _details(file),
        tuple(_sentences(file)),
        few or place == 0,
        heat,
        rows,
        hidden,
        any(row.rank is not None for row in rows),
        drawn,
        tuple(structure[:MOST_ENTRIES]),
        max(0, len(structure) - MOST_ENTRIES),
        tuple(operators[:MOST_ENTRIES]),
        max(0, len(operators) - MOST_ENTRIES),
        tuple(fields[:MOST_ENTRIES]),
        max(0, len(fields) - MOST_ENTRIES),
        tuple(lines[:MOST_LINES]),
        max(0, len(lines) - MOST_LINES),
    )


def _title(file: FileDiff) -> str:
    if file.old and file.new and file.old.path != file.new.path:
        return f"{file.old.path} → {file.new.path}"
    return file.path


def _details(file: FileDiff) -> str:
    ends = [end for end in (file.old, file.new) if end is not None]
    formats = " → ".join(dict.fromkeys(end.format for end in ends if end.format not in ("", BLOB)))
    sizes = " → ".join(dict.fromkeys(size(end.size) for end in ends))
    return " · ".join(filter(None, [formats, sizes]))


def _sentences(file: FileDiff) -> Iterator[str]:
    yield from file.summary
    if file.summary:
        return
    if file.tensors is not None and not file.tensors.differs:
        yield "No tensor differs, other bytes do."
    elif file.status == "modified" and file.tensors is None and file.text is None:
        yield "The bytes differ."


def _chosen(changed: Sequence[ChangedTensor], room: int) -> list[int]:
    """Return the places of the tensors that get a row: all, or those that changed most."""
    if len(changed) <= room:
        return list(range(len(changed)))
    most = sorted(range(len(changed)), key=lambda at: -(_relative(changed[at]) or 0.0))[:room]
    return sorted(most)


def _relative(item: ChangedTensor) -> float | None:
    return item.weights.relative_l2 if item.weights else None


def _heat(changed: Sequence[ChangedTensor], chosen: Sequence[int], anchor: str) -> Map | None:
    values = [_relative(item) for item in changed]
    if not changed or all(item.weights is None for item in changed):
        return None
    found, hidden = grids([item.name for item in changed], values)
    scale = Scale.of(values)
    rowed = set(chosen)

    def spot(cell: Cell | None) -> Spot | None:
        if cell is None:
            return None
        item = changed[cell.first]
        target = f"{anchor}t{cell.first}" if cell.first in rowed else ""
        return Spot(_short(item), _level(item, scale), target, _spot_title(item, cell.count))

    stacks = [
        Stack(
            OUTSIDE if each.stack is None else each.stack,
            each.columns,
            tuple(
                (kind, tuple(map(spot, cells)))
                for kind, cells in zip(each.rows, each.cells, strict=True)
            ),
            len(each.columns) <= MOST_NUMBERS,
        )
        for each in found
    ]
    return Map(tuple(stacks), scale, hidden)


def _level(item: ChangedTensor, scale: Scale) -> int:
    """Return a colour; a change from nothing is greater than any share of something."""
    weights = item.weights
    if weights and weights.relative_l2 is None and weights.l2:
        return LEVELS
    return scale.level(_relative(item))


def _short(item: ChangedTensor) -> str:
    weights = item.weights
    if weights is None or weights.l2 is None:
        return "differs"
    return "from 0" if weights.relative_l2 is None else inexact(weights.relative_l2)


def _spot_title(item: ChangedTensor, count: int) -> str:
    weights = item.weights
    parts = [item.name]
    if count > 1:
        parts.append(f"the most changed of {count}")
    if weights is None:
        return parts[0]
    if weights.relative_l2 is not None:
        parts.append(f"relative change {figure(weights.relative_l2)}")
    share = percent(weights.changed, weights.elements)
    parts.append(f"{share} of {weights.elements:,} {weights.unit}s changed")
    if weights.l2 is not None:
        parts.append(f"‖Δ‖ {figure(weights.l2)}")
    return " · ".join(parts)


def _row(item: ChangedTensor, anchor: str, scale: Scale) -> Row:
    weights = item.weights
    shape = "×".join(map(str, item.shape)) or "scalar"  # noqa: RUF001
    if weights is None:
        empty = ("", 0.0, None, 0, 0.0, None, None, None, None, "", None, None, "", "")
        return Row(anchor, item.name, item.old_name, shape, item.dtype, *empty)
    relative = weights.relative_l2
    before, after = weights.old_nonfinite, weights.new_nonfinite
    return Row(
        anchor,
        item.name,
        item.old_name,
        shape,
        item.dtype,
        percent(weights.changed, weights.elements),
        weights.changed_fraction,
        relative,
        _level(item, scale),
        4 + 96 * scale.place(relative) if relative else 0.0,
        weights.l2,
        weights.cosine,
        weights.effective_rank,
        weights.max_abs,
        f"[{', '.join(map(str, weights.max_at))}]" if weights.max_at else "",
        weights.mean_shift,
        weights.sign_flips,
        f"NaN or infinite: {before:,} before, {after:,} after" if before or after else "",
        _spark(item),
    )


def _spark(item: ChangedTensor) -> str:
    drawn = histogram.picture(item.weights.histogram if item.weights else None)
    if drawn is None:
        return ""
    heights = [(0.0, 0.0)] * (drawn.last - drawn.first)
    for bar in drawn.bars:
        heights[round(bar.x * len(heights))] = (bar.up, bar.down)
    return histogram.path(heights, *SPARK)


def _lines(text: str) -> Iterator[Line]:
    kinds = {"+": "add", "-": "del", "@": "at"}
    for line in text.expandtabs(4).rstrip("\n").split("\n") if text else []:
        yield Line(kinds.get(line[:1], ""), line)
