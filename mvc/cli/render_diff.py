"""A comparison as people read it; `diff_json` has it as programs do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mvc.cli.diff_json import totals
from mvc.cli.escape import escaped, escaped_lines
from mvc.cli.wording import counted, percent, short, size
from mvc.diff.structure import Recoded, Status
from mvc.diff.weights import Weights
from mvc.ops.diff import ChangedTensor, DiffResult, FileDiff, TensorDiff

BAR = 8
BAR_DECADES = 6
LEAST_NAME = 16
MARKS: dict[Status, str] = {"added": "+", "removed": "-", "modified": "~", "renamed": ">"}
COLOURS = {"+": "green", "-": "red", "~": "yellow", ">": "cyan", "@": "cyan"}


@dataclass(frozen=True, slots=True)
class Paper:
    """What the lines are written on: a style function, the columns, and the characters it has."""

    style: Callable[..., str]
    width: int
    unicode: bool

    @property
    def delta(self) -> str:
        """The heading of the norm of a change."""
        return "‖Δ‖" if self.unicode else "|d|"

    @property
    def arrow(self) -> str:
        """From old to new."""
        return "→" if self.unicode else "->"

    def labels(self, names: Sequence[str], limit: int, indent: int) -> list[str]:
        """Return names as labels of one width, harmless and at most `limit` characters long.

        Long names are cut in the middle, at a place that keeps different names different. Where
        there is none they stay whole, and what follows goes on a line of its own.
        """
        whole = [escaped(name) for name in names]
        gap = "…" if self.unicode else "..."
        room = limit - len(gap)
        shown = whole
        for head in sorted(range(room + 1), key=lambda place: abs(2 * place - room)):
            cut = [_cut(name, limit, head, gap) for name in whole]
            if len(set(cut)) == len(set(whole)):
                shown = cut
                break
        width = max((len(name) for name in shown if len(name) <= limit), default=0)
        below = "\n" + " " * (indent + width)
        return [f"{name:<{width}}" if len(name) <= width else name + below for name in shown]


def _cut(name: str, limit: int, head: int, gap: str) -> str:
    if len(name) <= limit:
        return name
    return name[:head] + gap + name[len(name) - (limit - len(gap) - head) :]


def lines(result: DiffResult, paper: Paper) -> Iterator[str]:
    """Yield the full report: structure, then a table of the changed tensors of each file."""
    if not result.files:
        return
    yield from _title(result, paper)
    for file in result.files:
        yield ""
        yield _header(file, paper)
        if file.tensors is not None:
            yield from _structure(file.tensors, paper)
            yield from _table(file.tensors, paper)
        for line in escaped_lines(file.text) if file.text else []:
            colour = COLOURS.get(line[:1])
            yield "  " + (paper.style(line, colour) if colour else line)
    yield ""
    yield from _totals(result)
    yield from _sums(result, paper)


def stat_lines(result: DiffResult, paper: Paper) -> Iterator[str]:
    """Yield one line a tensor with a bar, then totals.

    A bar's length is the change relative to the tensor's norm on a scale of decades, from a
    millionth (shortest) to the norm itself; its signs are the shares of elements that grew and
    shrank.
    """
    if not result.files:
        return
    for file in result.files:
        yield _header(file, paper)
        if file.tensors is None:
            continue
        rows = _stat_rows(file.tensors, paper)
        middle = max((len(row[1]) for row in rows), default=0)
        room = max(LEAST_NAME, paper.width - 4 - middle - 2 - 7)
        names = paper.labels([row[0] for row in rows], room, 2)
        for name, (_, text, bytes_, mark) in zip(names, rows, strict=True):
            line = f"{name}  {_bar_styled(text.ljust(middle), mark, paper)}"
            yield f"  {line}  {size(bytes_):>7}"
    yield from _totals(result)
    yield from _sums(result, paper)


def name_lines(result: DiffResult) -> Iterator[str]:
    """Yield the path of every file that differs."""
    for file in result.files:
        yield escaped(file.path)


def _title(result: DiffResult, paper: Paper) -> Iterator[str]:
    ends = [
        escaped(end.name) + (f" ({short(end.commit)})" if end.commit else "")
        for end in (result.old, result.new)
    ]
    yield paper.style(f"{ends[0]} {paper.arrow} {ends[1]}", "dim")


def _header(file: FileDiff, paper: Paper) -> str:
    mark = MARKS[file.status]
    name = escaped(file.path)
    if file.status == "renamed" and file.old is not None:
        name = f"{escaped(file.old.path)} {paper.arrow} {name}"
    parts = [f"{paper.style(mark, COLOURS[mark], 'bold')} {paper.style(name, 'bold')}"]
    if file.status != "modified":
        parts.append(file.status)
    ends = [end for end in (file.old, file.new) if end is not None]
    parts.append(_both([end.format for end in ends], paper))
    parts.append(_both([size(end.size) for end in ends], paper))
    if file.tensors is not None and not file.tensors.differs:
        parts.append("no tensor differs, other bytes do")
    elif file.text is not None:
        marks = [line[:1] for line in file.text.split("\n")]
        parts.append(f"+{marks.count('+')} -{marks.count('-')}")
    elif file.status == "modified" and file.tensors is None:
        parts.append("bytes differ")
    return "  ".join(part for part in parts if part)


def _both(values: Sequence[str], paper: Paper) -> str:
    return escaped(f" {paper.arrow} ".join(dict.fromkeys(values)))


def _structure(tensors: TensorDiff, paper: Paper) -> Iterator[str]:
    entries = [
        *(("+", item.name, _kind(item.dtype, item.shape)) for item in tensors.added),
        *(("-", item.name, _kind(item.dtype, item.shape)) for item in tensors.removed),
        *(("~", item.name, _recoded(item, paper)) for item in tensors.reshaped),
        *(("~", item.name, _recoded(item, paper)) for item in tensors.recast),
    ]
    if not entries:
        return
    details = max(len(text) for _, _, text in entries)
    room = max(LEAST_NAME, paper.width - 6 - details)
    names = paper.labels([name for _, name, _ in entries], room, 4)
    for name, (mark, _, text) in zip(names, entries, strict=True):
        yield f"  {paper.style(f'{mark} {name}', COLOURS[mark])}  {text}"


def _kind(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{escaped(dtype)} {_shape(shape)}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _recoded(item: Recoded, paper: Paper) -> str:
    dtype = _both([item.old_dtype, item.new_dtype], paper)
    if item.old_shape == item.new_shape:
        return f"{dtype} {_shape(item.new_shape)}"
    return f"{dtype} {_shape(item.old_shape)} {paper.arrow} {_shape(item.new_shape)}"


def _table(tensors: TensorDiff, paper: Paper) -> Iterator[str]:
    if not tensors.changed:
        return
    heads = ["shape", "changed", paper.delta, "relative", "cosine"]
    rows = [_cells(item) for item in tensors.changed]
    if all(item.weights is None for item in tensors.changed):
        heads, rows = heads[:1], [row[:1] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    room = max(LEAST_NAME, paper.width - 2 - sum(widths) - 2 * len(widths))
    title, *names = paper.labels(["tensor", *(item.name for item in tensors.changed)], room, 2)

    def line(name: str, cells: Sequence[str]) -> str:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return "  " + "  ".join([name, *padded])

    yield paper.style(line(title, heads), "dim")
    for name, cells, item in zip(names, rows, tensors.changed, strict=True):
        yield line(name, cells)
        if item.weights and (item.weights.old_nonfinite or item.weights.new_nonfinite):
            before, after = item.weights.old_nonfinite, item.weights.new_nonfinite
            yield paper.style(f"    NaN or infinite: {before} before, {after} after", "yellow")


def _cells(item: ChangedTensor) -> list[str]:
    shape = "x".join(map(str, item.shape)) or "scalar"
    weights = item.weights
    if weights is None:
        return [shape, "", "", "", ""]
    cosine = "-" if weights.cosine is None else f"{weights.cosine:.6f}"
    return [
        shape,
        percent(weights.changed, weights.elements),
        _number(weights.l2),
        _number(weights.relative_l2),
        cosine,
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _stat_rows(tensors: TensorDiff, paper: Paper) -> list[tuple[str, str, int, str]]:
    """Return (name, text, bytes, mark) of all that differs."""
    rows = [
        (item.name, f"added {_kind(item.dtype, item.shape)}", item.bytes, "+")
        for item in tensors.added
    ]
    rows += [
        (item.name, f"removed {_kind(item.dtype, item.shape)}", item.bytes, "-")
        for item in tensors.removed
    ]
    for recoded in (*tensors.reshaped, *tensors.recast):
        rows.append((recoded.name, _recoded(recoded, paper), recoded.new_bytes, "~"))
    measured = [_stat_cells(item, paper) for item in tensors.changed]
    widths = [max(map(len, column)) for column in zip(*measured, strict=True)]
    for item, cells in zip(tensors.changed, measured, strict=True):
        share, norm, bar = (
            f"{cell:>{width}}" if place == 0 else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        rows.append((item.name, f"{share}  {norm}  {bar}".rstrip(), item.bytes, ""))
    return rows


def _stat_cells(item: ChangedTensor, paper: Paper) -> list[str]:
    weights = item.weights
    if weights is None:
        return ["changed", "", ""]
    share = "~" + percent(weights.changed, weights.elements).lstrip("<>")
    return [share, f"{paper.delta} {_number(weights.l2)}", _bar(weights)]


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


def _bar_styled(text: str, mark: str, paper: Paper) -> str:
    if mark:
        return paper.style(text, COLOURS[mark])
    bare = text.rstrip()
    head = bare.rstrip("+-~")
    bar = bare[len(head) :]
    plus = bar.count("+")
    coloured = paper.style(bar[:plus], "green") + paper.style(bar[plus:], "red")
    return head + coloured + text[len(bare) :]


def _totals(result: DiffResult) -> Iterator[str]:
    sums = totals(result)
    count = len(result.files)
    parts = [f"{counted(count, 'file')} differ{'s' if count == 1 else ''}"]
    found = [
        f"{sums[f'tensors_{what}']} {what}"
        for what in ("changed", "added", "removed", "reshaped", "recast", "unchanged")
        if sums[f"tensors_{what}"]
    ]
    if found:
        parts.append("tensors: " + ", ".join(found))
    yield "; ".join(parts)


def _sums(result: DiffResult, paper: Paper) -> Iterator[str]:
    sums = totals(result)
    if sums["elements"]:
        share = percent(sums["changed_elements"], sums["elements"])
        norm = f"; {paper.delta} {_number(result.l2)}" if result.l2 is not None else ""
        yield f"{share} of {sums['elements']:,} elements in changed tensors differ{norm}"
