"""The structure of what differs, as people read it: tensors, operators, fields, tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mvc.base.escape import escaped
from mvc.cli.paper import Paper
from mvc.cli.render_weights import LEAST_NAME
from mvc.diff.findings import (
    FieldChange,
    GraphDiff,
    Operator,
    OperatorChange,
    Renamed,
    TokenDiff,
)
from mvc.diff.structure import Described, Recoded, Status
from mvc.diff.summary import MOST_FIELDS, MOST_MOVES
from mvc.ops.diff import FileDiff, TensorDiff

MARKS: dict[Status, str] = {"added": "+", "removed": "-", "modified": "~", "renamed": ">"}
COLOURS = {"+": "green", "-": "red", "~": "yellow", ">": "cyan", "@": "cyan"}

MOST = 40
"""Lines of one kind; more of them say less than their number does."""

FEW = 8
"""The same where layers are what is shown."""

Row = tuple[str, str, int, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    mark: str
    name: str
    text: str
    was: str | None = None


def sentences(file: FileDiff, paper: Paper) -> Iterator[str]:
    """Yield what happened to a file."""
    for sentence in file.summary:
        yield f"  {paper.style(arrows(escaped(sentence), paper), 'bold')}"


def model(file: FileDiff, paper: Paper) -> Iterator[str]:
    """Yield what happened to a model, then its tensors and operators that came, went or changed."""
    yield from sentences(file, paper)
    if file.tensors is not None:
        yield from _tensors(file.tensors, paper)
    if file.graph is not None:
        yield from _operators(file.graph, paper)
    if len(file.header) > MOST_FIELDS:
        yield from _fields(file.header, paper)


def configuration(file: FileDiff, paper: Paper) -> Iterator[str]:
    """Yield the tokens and fields that differ in a file of known syntax."""
    if file.tokens is not None:
        yield from _tokens(file.tokens, paper)
    yield from _fields(file.fields or (), paper)


def _fields(fields: Sequence[FieldChange], paper: Paper) -> Iterator[str]:
    for field in fields[:MOST]:
        yield f"  {_field(field, paper)}"
    yield from _more(len(fields) - MOST, "fields", paper)


def arrows(text: str, paper: Paper) -> str:
    """Return a sentence with the arrows of the paper."""
    return text.replace(" -> ", f" {paper.arrow} ")


def _tensors(tensors: TensorDiff, paper: Paper) -> Iterator[str]:
    groups = _groups(tensors, paper)
    entries = [entry for _, group in groups for entry in group[:MOST]]
    if not entries:
        return
    details = max(len(entry.text) for entry in entries)
    room = max(LEAST_NAME, paper.width - 6 - details)
    names = iter(paper.labels([entry.name for entry in entries], room, 4))
    for what, group in groups:
        for entry in group[:MOST]:
            shown = paper.style(f"{entry.mark} {next(names)}", COLOURS[entry.mark])
            yield f"  {shown}  {entry.text}"
            if entry.was is not None:
                yield paper.style(f"      was {escaped(entry.was)}", "dim")
        yield from _more(len(group) - MOST, what, paper)


def _groups(tensors: TensorDiff, paper: Paper) -> list[tuple[str, list[_Entry]]]:
    """Return what is listed; of renames, those that no sentence sums up."""
    renamed: Sequence[Renamed] = tensors.renamed if len(tensors.moves) > MOST_MOVES else ()
    return [
        ("renamed", [_entry(">", one, one.old_name) for one in renamed]),
        ("added", [_entry("+", one) for one in _unexplained(tensors)]),
        ("removed", [_entry("-", one) for one in tensors.removed]),
        *(
            (what, [_Entry("~", one.name, _told(one, paper), one.old_name) for one in listed])
            for what, listed in (("reshaped", tensors.reshaped), ("recast", tensors.recast))
        ),
    ]


def _entry(mark: str, one: Described | Renamed, was: str | None = None) -> _Entry:
    return _Entry(mark, one.name, kind(one.dtype, one.shape), was)


def _more(number: int, what: str, paper: Paper) -> Iterator[str]:
    if number > 0:
        yield paper.style(f"  ... {number} more {what}; --json has all", "dim")


def kind(dtype: str, shape: tuple[int, ...]) -> str:
    """Return a dtype with a shape."""
    return f"{escaped(dtype)} {_shape(shape)}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _both(values: Sequence[str], paper: Paper) -> str:
    return f" {paper.arrow} ".join(dict.fromkeys(map(escaped, values)))


def recoded(item: Recoded, paper: Paper) -> str:
    """Return what a tensor was and what it is."""
    dtype = _both([item.old_dtype, item.new_dtype], paper)
    if item.old_shape == item.new_shape:
        return f"{dtype} {_shape(item.new_shape)}"
    return f"{dtype} {_shape(item.old_shape)} {paper.arrow} {_shape(item.new_shape)}"


def _told(item: Recoded, paper: Paper) -> str:
    """Return the same, and what became of the values."""
    parts = [recoded(item, paper)]
    if item.cast is not None:
        error = item.cast.relative_l2
        parts.append(item.cast.kind + (f" {error:.1e}" if error else ""))
    elif item.growth is not None and item.growth.changed is not None:
        parts.append("rest equal" if not item.growth.changed else "rest changed")
    elif item.same_words:
        parts.append("words equal")
    if item.transposed:
        parts.append("axes swapped" if item.cast else "transposed, words equal")
    return "  ".join(parts)


def rows(tensors: TensorDiff, paper: Paper) -> list[Row]:
    """Return (name, text, bytes, mark) of tensors that came, went, or got another form.

    Of each kind the first few: what they have in common is said in sentences.
    """
    found: list[Row] = []
    for what, mark, listed in (
        ("added", "+", _unexplained(tensors)),
        ("removed", "-", tensors.removed),
    ):
        found += [
            (one.name, f"{what} {kind(one.dtype, one.shape)}", one.bytes, mark)
            for one in listed[:FEW]
        ]
        found += _rest(listed, what)
    for what, changed in (("reshaped", tensors.reshaped), ("recast", tensors.recast)):
        found += [(item.name, recoded(item, paper), item.new_bytes, "~") for item in changed[:FEW]]
        found += _rest(changed, what)
    return found


def _rest(listed: Sequence[Described | Recoded], what: str) -> list[Row]:
    left = listed[FEW:]
    size = sum(item.new_bytes if isinstance(item, Recoded) else item.bytes for item in left)
    return [(f"{len(left)} more", what, size, "")] if left else []


def _unexplained(tensors: TensorDiff) -> list[Described]:
    """Return what was added, without the scales and zero points of quantised tensors."""
    casts = [item.cast for item in tensors.recast if item.cast]
    known = {cast.scale for cast in casts} | {cast.zero_point for cast in casts}
    return [item for item in tensors.added if item.name not in known]


def _operators(graph: GraphDiff, paper: Paper) -> Iterator[str]:
    for mark, what, listed in (("+", "added", graph.added), ("-", "removed", graph.removed)):
        for operator in listed[:MOST]:
            text = _fitted(f"{mark} {_operator(operator)}", paper)
            yield f"  {paper.style(text, COLOURS[mark])}"
        yield from _more(len(listed) - MOST, f"operators {what}", paper)
    for change in graph.changed[:MOST]:
        text = _fitted(f"~ {_operator(change.new)}", paper)
        yield f"  {paper.style(text, COLOURS['~'])}"
        for line in _changed(change, paper):
            yield f"      {_fitted(line, paper)}"
    yield from _more(len(graph.changed) - MOST, "operators changed", paper)
    if not graph.complete:
        yield paper.style("  the graph is too large to be compared in full", "yellow")


def _operator(operator: Operator) -> str:
    name = operator.name or (operator.outputs[0] if operator.outputs else "")
    where = f"  in {operator.scope}" if operator.scope else ""
    return escaped(f"{operator.op}  {name}{where}")


def _changed(change: OperatorChange, paper: Paper) -> Iterator[str]:
    if change.old.op != change.new.op:
        yield _both([change.old.op, change.new.op], paper)
    for attribute in change.attributes:
        yield _field(attribute, paper)
    if change.rewired:
        sides = [", ".join(side.inputs) for side in (change.old, change.new)]
        yield f"takes {_both(sides, paper)}"


def _fitted(text: str, paper: Paper) -> str:
    """Return one line that the paper has room for."""
    room = max(LEAST_NAME, paper.width - 6)
    gap = "…" if paper.unicode else "..."
    return text if len(text) <= room else text[: room - len(gap)] + gap


def _field(change: FieldChange, paper: Paper) -> str:
    name = escaped(change.path)
    if change.old is None:
        return f"{paper.style('+', 'green')} {name}: {escaped(change.new or '')}"
    if change.new is None:
        return f"{paper.style('-', 'red')} {name}: {escaped(change.old)}"
    values = f"{escaped(change.old)} {paper.arrow} {escaped(change.new)}"
    return f"{paper.style('~', 'yellow')} {name}: {values}"


def _tokens(found: TokenDiff, paper: Paper) -> Iterator[str]:
    for mark, number, sample in (
        ("+", found.added, found.added_sample),
        ("-", found.removed, found.removed_sample),
    ):
        if number:
            shown = " ".join(escaped(token) for token in sample)
            text = f"{mark} {number} token{'' if number == 1 else 's'}: {shown}"
            yield f"  {paper.style(_fitted(text, paper), COLOURS[mark])}"
    if found.renumbered:
        yield f"  ~ {found.renumbered} tokens have another number"
    if found.merges_added or found.merges_removed:
        yield f"  ~ merges: {found.merges_added} added, {found.merges_removed} removed"
