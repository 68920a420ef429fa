"""What happened to a model file, in a sentence for each kind of change.

Arrows are written `->`; names are those of the files, unescaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from mvc.diff.findings import Cast, FieldChange, GraphDiff, Growth, Move, TokenDiff
from mvc.diff.structure import Described, Recoded, TensorChanges
from mvc.diff.weights import Weights

MOST_MOVES = 4
MOST_KINDS = 4
MOST_FIELDS = 8
MOST_GROWN = 8
FEWEST = 64
"""Elements of a tensor whose cosine says something."""

UNLIKE = 0.1


def sentences(found: TensorChanges) -> tuple[str, ...]:
    """Return what was renamed, cast, quantised and resized, the most telling first."""
    return (*_moved(found.moves), *_casts(found), *_resized(found.reshaped))


def _moved(moves: Sequence[Move]) -> Iterator[str]:
    shown = moves if len(moves) <= MOST_MOVES else moves[: MOST_MOVES - 1]
    for move in shown:
        yield f"renamed {move.old} -> {move.new}, {_words(move.tensors, move.equal)}"
    rest = moves[len(shown) :]
    if rest:
        tensors, equal = (sum(getattr(one, part) for one in rest) for part in ("tensors", "equal"))
        yield f"renamed in {len(rest)} other ways, {_words(tensors, equal)}"


def _words(tensors: int, equal: int) -> str:
    if equal == tensors:
        return f"{_tensors(tensors)}, words equal"
    if not equal:
        return f"{_tensors(tensors)}, words changed"
    return f"{_tensors(tensors)}, words of {equal} equal"


def _tensors(number: int) -> str:
    return f"{number} tensor{'' if number == 1 else 's'}"


def _casts(found: TensorChanges) -> Iterator[str]:
    def key(item: Recoded) -> tuple[str, str, str]:
        return item.old_dtype, item.new_dtype, _verb(item.cast)

    added = {item.name: item for item in (*found.added, *found.removed)}
    for (old, new, verb), items in groupby(sorted(found.recast, key=key), key=key):
        yield _cast_sentence(old, new, verb, list(items), added)


def _verb(cast: Cast | None) -> str:
    return cast.kind if cast and cast.kind in ("quantised", "dequantised") else "cast"


def _cast_sentence(
    old: str, new: str, verb: str, items: Sequence[Recoded], beside: dict[str, Described]
) -> str:
    parts = [f"{verb} {old} -> {new}", _tensors(len(items))]
    casts = [item.cast for item in items if item.cast]
    if verb != "cast":
        names = {cast.scale for cast in casts} | {cast.zero_point for cast in casts}
        helpers = sum(name in beside for name in names if name)
        if any(item.transposed for item in items):
            turned = sum(item.transposed for item in items)
            parts.append(f"{turned} of them with axes swapped")
        parts.append(_quantising(casts))
        if helpers:
            what = "added" if verb == "quantised" else "removed"
            parts.append(f"{helpers} scales and zero points {what}")
    elif casts:
        parts.append(_rounding(casts))
    return ", ".join(parts)


def _quantising(casts: Sequence[Cast]) -> str:
    worst = max((cast.relative_l2 or 0.0 for cast in casts), default=0.0)
    nearest = not any(cast.differing for cast in casts)
    how = "rounding only, " if nearest else "not all to the nearest step, "
    return f"{how}relative error up to {worst:.2g}"


def _rounding(casts: Sequence[Cast]) -> str:
    kinds = {cast.kind for cast in casts}
    if kinds <= {"exact"}:
        return "no value changed"
    if kinds <= {"exact", "rounded"}:
        return "rounding only"
    if kinds <= {"exact", "truncated"}:
        return "lower bits dropped"
    if kinds == {"changed"}:
        return "values changed beyond rounding"
    changed = sum(cast.kind == "changed" for cast in casts)
    return f"values of {changed} changed beyond rounding"


def _resized(reshaped: Iterable[Recoded]) -> Iterator[str]:
    listed = list(reshaped)
    for what, items in (
        ("transposed", [item for item in listed if item.transposed]),
        ("in another shape", [item for item in listed if item.same_words]),
    ):
        if len(items) == 1:
            yield f"{items[0].name} {what}, words equal"
        elif items:
            yield f"{_tensors(len(items))} {what}, words equal"
    grown = [(item, item.growth) for item in listed if item.growth is not None]
    for item, growth in grown[:MOST_GROWN]:
        yield _grown(item, growth)
    if len(grown) > MOST_GROWN:
        yield f"{_tensors(len(grown) - MOST_GROWN)} more that became longer or shorter"


def _grown(item: Recoded, growth: Growth) -> str:
    what = {0: "row", 1: "column"}.get(growth.axis, f"place along axis {growth.axis}")
    if len(item.new_shape) == 1:
        what = "element"
    number = abs(growth.added)
    if number != 1:
        what = what.replace("place", "places") if "place" in what else what + "s"
    verb = "added to" if growth.added > 0 else "removed from"
    where = " at the start" if growth.end == "start" else ""
    text = f"{number} {what} {verb} {item.name}{where}"
    if growth.changed is None:
        return text
    if not growth.changed:
        return f"{text}, the rest equal"
    share = 100 * growth.changed / growth.common
    return f"{text}, {share:.3g}% of the rest changed"


def about_weights(changed: Iterable[Weights | None]) -> Iterator[str]:
    """Say so where most of what changed has nothing of what it was."""
    known = [one for one in changed if one is not None and one.elements >= FEWEST]
    unlike = [one for one in known if one.cosine is not None and abs(one.cosine) < UNLIKE]
    if 2 * sum(one.elements for one in unlike) > sum(one.elements for one in known):
        yield f"{_tensors(len(unlike))} with nothing of the old values, cosine below {UNLIKE}"


def about_graph(graph: GraphDiff | None) -> Iterator[str]:
    """Say what became of the operators of a network."""
    if graph is None or not graph.differs:
        return
    rewired = sum(change.rewired for change in graph.changed)
    parts = [
        (len(graph.added), "added"),
        (len(graph.removed), "removed"),
        (rewired, "rewired"),
        (len(graph.changed) - rewired, "set otherwise"),
    ]
    told = [f"{number} {what}" for number, what in parts if number]
    if told:
        kinds = Counter(operator.op for operator in (*graph.added, *graph.removed))
        most = ", ".join(op for op, _ in kinds.most_common(MOST_KINDS))
        more = ", ..." if len(kinds) > MOST_KINDS else ""
        yield f"operators: {', '.join(told)}" + (f" ({most}{more})" if most else "")
    for change in graph.properties:
        yield _field(change)


def about_tokens(found: TokenDiff | None) -> Iterator[str]:
    """Say what became of a vocabulary."""
    if found is None:
        return
    parts = [
        (found.added, "added"),
        (found.removed, "removed"),
        (found.renumbered, "with another number"),
    ]
    told = [f"{number} {what}" for number, what in parts if number]
    if told:
        yield f"tokens: {', '.join(told)}, {found.old_size} -> {found.new_size}"
    merges = [
        f"{number} {what}"
        for number, what in ((found.merges_added, "added"), (found.merges_removed, "removed"))
        if number
    ]
    if merges:
        yield f"merges: {', '.join(merges)}"


def about_fields(changed: Sequence[FieldChange]) -> Iterator[str]:
    """Say which fields differ, or how many if there are many."""
    if len(changed) > MOST_FIELDS:
        yield f"{len(changed)} fields differ"
        return
    for change in changed:
        yield _field(change)


def _field(change: FieldChange) -> str:
    if change.old is None:
        return f"{change.path} added: {change.new}"
    if change.new is None:
        return f"{change.path} removed: {change.old}"
    return f"{change.path}: {change.old} -> {change.new}"
