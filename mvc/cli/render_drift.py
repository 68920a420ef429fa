"""Drift as people read it in a terminal: a heat map of block characters, and what stands out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log

from mvc.base.escape import escaped
from mvc.base.wording import counted, short
from mvc.ops.drift import Drifted, DriftResult, Layer, Metric, by_distance, outliers, value

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = ".:-=+*#@"
WORDS: dict[Metric, str] = {
    "relative": "relative L2",
    "l2": "L2",
    "cosine": "cosine distance",
    "changed": "share of elements that differ",
}
TABLE_VERSIONS = 6
CELL = 11
LEAST_NAME = 12
DECADES = 4
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BLOCK = re.compile(r"(?:[^./]*[./])*?[^./]*[0-9](?=[./]|\Z)", re.ASCII)
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the lines are written on: a style function, the columns, and the characters it has."""

    style: Callable[..., str]
    width: int
    unicode: bool

    def cut(self, text: str, limit: int) -> str:
        """Return `text`, harmless, in at most `limit` columns; of long ones more of the end."""
        text = escaped(text)
        if len(text) <= limit:
            return text
        gap = "…" if self.unicode else "..."
        head = (limit - len(gap)) // 3
        return text[:head] + gap + text[len(text) - (limit - len(gap) - head) :]

    @property
    def marks(self) -> str:
        """The characters of the levels, the least first."""
        return BLOCKS if self.unicode else ASCII

    @property
    def none(self) -> str:
        """What stands for no difference."""
        return "·" if self.unicode else " "


@dataclass(frozen=True, slots=True)
class _Scale:
    """A logarithmic scale of as many levels as there are marks."""

    low: float
    high: float
    marks: str
    none: str

    @classmethod
    def of(cls, values: Values, sheet: Sheet) -> _Scale:
        found = [item for item in values if item]
        high = max(found, default=0.0)
        low = max(min(found, default=0.0), high * 10.0**-DECADES)
        return cls(min(low, high / 10), high, sheet.marks, sheet.none)

    def mark(self, far: float | None) -> str:
        """Return the character of a distance: ? for none, as a layer may be missing."""
        if far is None:
            return "?"
        if not far:
            return self.none
        place = log(max(far, self.low) / self.low) / log(self.high / self.low)
        return self.marks[min(len(self.marks) - 1, int(place * len(self.marks)))]

    def legend(self) -> str:
        return f"{_number(self.low)} {self.marks} {_number(self.high)}, {self.none!r} equal"


@dataclass(frozen=True, slots=True)
class _Section:
    """A block of the network: its first layer, its name, and how much of a layer's name it is."""

    start: int
    name: str
    length: int


def lines(found: DriftResult, metric: Metric, sheet: Sheet, *, by_name: bool) -> Iterator[str]:
    """Yield the heat map, then what stands out."""
    count = counted(len(found.versions), "version")
    name, commit = escaped(found.base_name), short(found.base)
    base = name if name == commit else f"{name} ({commit})"
    yield sheet.style(f"{count} from {base}, {WORDS[metric]}", "dim")
    order = list(by_distance(found, metric))
    if by_name:
        order.sort(key=lambda item: item.name)
    if not found.layers:
        yield "no layer differs from the base"
        yield from _notes(order, sheet)
        return
    far = {item.name for item in outliers(found, metric)}
    yield ""
    if len(order) <= TABLE_VERSIONS and LEAST_NAME + CELL * len(order) + 14 <= sheet.width:
        yield from _table(found, order, metric, sheet)
    else:
        yield from _map(found, order, metric, sheet, far)
    yield ""
    yield from _outliers(found, metric)
    yield from _notes(order, sheet)
    verb = "is" if found.equal_layers == 1 else "are"
    equal = f"; {found.equal_layers} {verb} equal in all" if found.equal_layers else ""
    yield f"{counted(len(found.layers), 'layer')} differ{equal}".replace(
        "1 layer differ", "1 layer differs"
    )


def _cells(item: Drifted, metric: Metric) -> list[float | None]:
    return [None if cell is None else value(cell, metric) for cell in item.layers]


def _table(
    found: DriftResult, order: Sequence[Drifted], metric: Metric, sheet: Sheet
) -> Iterator[str]:
    """Yield a line a layer with a column a version, for few versions."""
    columns = [_cells(item, metric) for item in order]
    scale = _Scale.of([far for column in columns for far in column], sheet)
    room = sheet.width - CELL * len(order) - 1
    labels = _labels(found.layers)
    names = [sheet.cut(name, room) for name, _ in labels]
    width = max(len(name) for name in [*names, "layer"])
    heads = [sheet.cut(name, CELL - 1) for name in _told_apart([item.name for item in order])]
    yield sheet.style(f"{'layer':<{width}} " + "".join(f"{head:>{CELL}}" for head in heads), "dim")
    for (_, place), name in zip(labels, names, strict=True):
        if place is None:
            yield name
            continue
        cells = (f"{scale.mark(column[place])} {_number(column[place]):>8}" for column in columns)
        yield f"{name:<{width}} " + "".join(f"{cell:>{CELL}}" for cell in cells)
    totals = (f"{_number(value(item.total, metric)):>{CELL}}" for item in order)
    yield sheet.style(f"{'all':<{width}} " + "".join(totals), "bold")


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return names without the folders that all of them begin with."""
    parts = [name.split("/") for name in names]
    shared = 0
    while len(names) > 1 and all(len(each) > shared + 1 for each in parts):
        if len({each[shared] for each in parts}) > 1:
            break
        shared += 1
    return ["/".join(each[shared:]) for each in parts]


def _map(
    found: DriftResult, order: Sequence[Drifted], metric: Metric, sheet: Sheet, far: set[str]
) -> Iterator[str]:
    """Yield a line a version with a character a layer, or a run of layers where there are many."""
    names = [sheet.cut(item.name, max(LEAST_NAME, sheet.width // 3)) for item in order]
    width = max(map(len, names))
    room = max(8, sheet.width - width - 12)
    step = -(-len(found.layers) // room)
    starts = range(0, len(found.layers), step)
    rows = [_merged(_cells(item, metric), step) for item in order]
    scale = _Scale.of([cell for row in rows for cell in row], sheet)
    sections = _sections(found.layers)
    ruler = _ruler(sections, step, len(starts))
    yield " " * (width + 12) + sheet.style(ruler, "dim")
    for item, name, row in zip(order, names, rows, strict=True):
        total = _number(value(item.total, metric))
        shown = "".join(map(scale.mark, row))
        label = f"{name:<{width}}  {total:>8}"
        yield f"{sheet.style(label, 'yellow') if item.name in far else label}  {shown}"
    yield ""
    column = "a layer" if step == 1 else f"the farthest of {step} layers"
    yield f"each column {column}: {scale.legend()}"
    yield from _wrapped(_names(sections, ruler, step), sheet)


def _merged(cells: Values, step: int) -> list[float | None]:
    merged: list[float | None] = []
    for at in range(0, len(cells), step):
        run = [cell for cell in cells[at : at + step] if cell is not None]
        merged.append(max(run) if run else None)
    return merged


def _sections(layers: Sequence[Layer]) -> list[_Section]:
    found: list[_Section] = []
    several = len({layer.path for layer in layers}) > 1
    for at, layer in enumerate(layers):
        match = _BLOCK.match(layer.name)
        block = match[0] if match else re.split(r"[./]", layer.name, maxsplit=1)[0]
        name = f"{layer.path}:{block}" if several else block
        if not found or found[-1].name != name:
            found.append(_Section(at, name, len(block)))
    return found


def _ruler(sections: Sequence[_Section], step: int, columns: int) -> str:
    """Return letters over the columns where blocks begin; none where there are too many blocks."""
    row = [" "] * columns
    if len(sections) > len(LETTERS):
        return ""
    for letter, section in zip(LETTERS, sections, strict=False):
        if row[section.start // step] == " ":
            row[section.start // step] = letter
    return "".join(row).rstrip()


def _names(sections: Sequence[_Section], ruler: str, step: int) -> list[str]:
    if not ruler:
        return [f"from {sections[0].name} to {sections[-1].name}"]
    letters = zip(LETTERS, sections, strict=False)
    return [
        f"{letter} {section.name}"
        for letter, section in letters
        if ruler[section.start // step] == letter
    ]


def _wrapped(words: Sequence[str], sheet: Sheet) -> Iterator[str]:
    line = ""
    for word in map(escaped, words):
        if line and len(line) + 2 + len(word) > sheet.width:
            yield line
            line = ""
        line += ("  " if line else "") + word
    yield line


def _labels(layers: Sequence[Layer]) -> list[tuple[str, int | None]]:
    """Return the lines of a table: layers with their places, and blocks, which have none.

    The layers of a block are indented below it and go without its name.
    """
    sections = _sections(layers)
    found: list[tuple[str, int | None]] = []
    ends = [*(section.start for section in sections[1:]), len(layers)]
    for section, end in zip(sections, ends, strict=True):
        rests = [layer.name[section.length :] for layer in layers[section.start : end]]
        if len(rests) == 1:
            found.append((section.name + rests[0], section.start))
            continue
        found.append((section.name, None))
        for place, rest in enumerate(rests, section.start):
            found.append((f"  {rest.lstrip('./') or layers[place].name}", place))
    return found


def _outliers(found: DriftResult, metric: Metric) -> Iterator[str]:
    for item in outliers(found, metric):
        times = f"{item.times:.3g} times the median" if item.times else "all others are at 0"
        where = f", most in {escaped(item.layer.name)}" if item.layer else ""
        yield f"{escaped(item.name)} stands out: {_number(item.value)}, {times}{where}"


def _notes(order: Sequence[Drifted], sheet: Sheet) -> Iterator[str]:
    for item in order:
        parts = [
            f"{count:,} {what}"
            for count, what in (
                (item.missing, "missing"),
                (item.added, "added"),
                (item.reshaped, "reshaped"),
                (item.recast, "recast"),
            )
            if count
        ]
        text = f"tensors: {', '.join(parts)}" if parts else ""
        if any(cell is None for cell in item.layers):
            text += ("; " if text else "") + "some layers cannot be compared"
        if item.total.nonfinite:
            count = counted(item.total.nonfinite, "element")
            text += ("; " if text else "") + f"{count} NaN or infinite"
        if text:
            yield sheet.style(f"{escaped(item.name)}: {text}", "yellow")


def _number(far: float | None) -> str:
    if far is None:
        return "-"
    return "0" if not far else f"{far:.3g}"
