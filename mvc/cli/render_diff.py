"""A comparison as people read it; `diff_json` has it as programs do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mvc.base.escape import escaped, escaped_lines
from mvc.base.wording import counted, percent, short, size
from mvc.cli import render_structure
from mvc.cli.diff_json import totals
from mvc.cli.paper import Paper
from mvc.cli.render_structure import COLOURS, MARKS
from mvc.cli.render_weights import LEAST_NAME, bar_styled, layer_rows, left_out, number, table
from mvc.diff.order import Order
from mvc.ops.diff import DiffResult, FileDiff, TensorDiff


def lines(result: DiffResult, paper: Paper, order: Order | None = None) -> Iterator[str]:
    """Yield the full report: structure, then a table of the changed tensors of each file."""
    order = order or Order()
    if not result.files:
        return
    titled = list(_title(result, paper))
    yield from titled
    for place, file in enumerate(result.files):
        if titled or place:
            yield ""
        yield _header(file, paper)
        if file.tensors is not None:
            yield from render_structure.model(file, paper)
            yield from table(file.tensors, order, paper)
        elif file.fields or file.tokens:
            yield from render_structure.configuration(file, paper)
        elif file.text:
            yield from _hunks(file.text, paper)
    yield ""
    yield from _totals(result)
    yield from _sums(result, paper)


def _hunks(text: str, paper: Paper) -> Iterator[str]:
    for line in escaped_lines(text):
        colour = COLOURS.get(line[:1])
        yield "  " + (paper.style(line, colour) if colour else line)


def stat_lines(result: DiffResult, paper: Paper, order: Order | None = None) -> Iterator[str]:
    """Yield one line a layer with a bar, then totals."""
    if not result.files:
        return
    for file in result.files:
        yield _header(file, paper)
        yield from render_structure.sentences(file, paper)
        if file.tensors is not None:
            yield from _stat(file.tensors, order or Order(), paper)
    yield from _totals(result)
    yield from _sums(result, paper)


def _stat(tensors: TensorDiff, order: Order, paper: Paper) -> Iterator[str]:
    measured, more = layer_rows(tensors, order, paper)
    rows = render_structure.rows(tensors, paper) + [(*row, "") for row in measured]
    middle = max((len(row[1]) for row in rows), default=0)
    room = max(LEAST_NAME, paper.width - 4 - middle - 2 - 7)
    names = paper.labels([row[0] for row in rows], room, 2)
    for name, (_, text, bytes_, mark) in zip(names, rows, strict=True):
        padded = text.ljust(middle)
        shown = paper.style(padded, COLOURS[mark]) if mark else bar_styled(padded, paper)
        yield f"  {name}  {shown}  {size(bytes_):>7}"
    yield from left_out(more, "layer", paper)


def name_lines(result: DiffResult) -> Iterator[str]:
    """Yield the path of every file that differs."""
    for file in result.files:
        yield escaped(file.path)


def _title(result: DiffResult, paper: Paper) -> Iterator[str]:
    ends = [(end and end.path) for end in (result.files[0].old, result.files[0].new)]
    if [result.old.path, result.new.path] == ends:
        return
    names = [
        escaped(end.name) + (f" ({short(end.commit)})" if end.commit else "")
        for end in (result.old, result.new)
    ]
    yield paper.style(f"{names[0]} {paper.arrow} {names[1]}", "dim")


def _header(file: FileDiff, paper: Paper) -> str:
    mark = MARKS[file.status]
    name = escaped(file.path)
    if file.old is not None and file.old.path != file.path:
        name = f"{escaped(file.old.path)} {paper.arrow} {name}"
    parts = [f"{paper.style(mark, COLOURS[mark], 'bold')} {paper.style(name, 'bold')}"]
    if file.status != "modified":
        parts.append(file.status)
    ends = [end for end in (file.old, file.new) if end is not None]
    parts.append(_both([end.format for end in ends], paper))
    parts.append(_both([size(end.size) for end in ends], paper))
    if file.tensors is not None and not file.tensors.differs:
        said = bool(file.summary) or file.status == "renamed"
        parts.append("no tensor differs" if said else "no tensor differs, other bytes do")
    elif file.fields:
        parts.append(f"{counted(len(file.fields), 'field')} differ{'s' * (len(file.fields) == 1)}")
    elif file.text is not None:
        marks = [line[:1] for line in file.text.split("\n")]
        parts.append(f"+{marks.count('+')} -{marks.count('-')}")
    elif file.status == "modified" and file.tensors is None:
        parts.append("bytes differ")
    return "  ".join(part for part in parts if part)


def _both(values: Sequence[str], paper: Paper) -> str:
    return escaped(f" {paper.arrow} ".join(dict.fromkeys(values)))


def _totals(result: DiffResult) -> Iterator[str]:
    sums = totals(result)
    count = len(result.files)
    parts = [f"{counted(count, 'file')} differ{'s' if count == 1 else ''}"]
    found = [
        f"{sums[f'tensors_{what}']} {what}"
        for what in ("changed", "renamed", "added", "removed", "reshaped", "recast", "unchanged")
        if sums[f"tensors_{what}"]
    ]
    if found:
        parts.append("tensors: " + ", ".join(found))
    yield "; ".join(parts)


def _sums(result: DiffResult, paper: Paper) -> Iterator[str]:
    sums = totals(result)
    if sums["elements"]:
        share = percent(sums["changed_elements"], sums["elements"])
        norm = f"; {paper.delta} {number(result.l2)}" if result.l2 is not None else ""
        yield f"{share} of {sums['elements']:,} elements in changed tensors differ{norm}"
