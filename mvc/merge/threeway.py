"""What becomes of each file and each tensor when versions are merged: decided by ids alone.

A file, and inside model files a tensor, that one side changed is taken from that side; where
sides changed it differently, a strategy says what becomes of it, or it is a conflict. Equal
subtrees are never entered, and no weight is read. docs/merge.md tells the rules.

Sides are numbered: 0 is what is merged into (ours), the others follow in the order given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mvc.base.ids import ObjectId
from mvc.merge.layouts import Layouts
from mvc.merge.strategies import Strategy
from mvc.objects.model import Checkpoint
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.metadata import read_checkpoint, read_tensor
from mvc.store.object_store import ObjectStore

OURS = 0
BASE = -1

Mode = Literal["three-way", "mix", "vector"]
"""When a strategy that computes is applied: where sides disagree; wherever the sides that count
are not equal, as in an average of clients; wherever the second side changed something."""

Why = Literal["changed", "deleted", "reshaped", "structure", "literals", "packed"]
"""What is in conflict: sides changed it differently; one deleted what another changed; dtypes or
shapes differ; tensors were added or removed differently; the bytes beside the tensors differ; the
dtype has no numbers to compute with."""

Id = ObjectId | None
Row = tuple[Id, tuple[Id, ...]]
"""The id of a tensor in the base and on each side, None where there is no such tensor."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that nothing decided. `tensor` is None where it is the file as a whole."""

    path: str
    tensor: str | None
    why: Why


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """A tensor that is not equal everywhere.

    It becomes that of the side `source`, BASE for the base's; with a `strategy` it is computed
    from the sides `mixed` instead. A conflict keeps what `source` has. Where `source` has none, the
    result has none.
    """

    name: str
    base: Id
    sides: tuple[Id, ...]
    source: int
    strategy: Strategy | None = None
    mixed: tuple[int, ...] = ()
    conflict: Why | None = None

    @property
    def result(self) -> Id:
        """The id it becomes, where it is not computed."""
        return self.base if self.source == BASE else self.sides[self.source]


@dataclass(frozen=True, slots=True)
class FilePlan:
    """A file that is not equal everywhere.

    It becomes `entry` (None: it is deleted), which is that of the side `source`. If it is
    `composed`, `entry` is only what its tensors are put into, in the place of its own.
    """

    path: str
    base: Entry | None
    sides: tuple[Entry | None, ...]
    source: int
    entry: Entry | None
    tensors: tuple[TensorPlan, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    remarks: tuple[str, ...] = ()
    composed: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How a merge decides.

    Attributes:
        mode: When strategies are applied.
        counted: The sides that strategies combine.
        choose: The strategies for a tensor of a file, or for a file (tensor None); the first that
            can be applied counts. Called with (path, tensor).
        literals: The same for the bytes beside the tensors of a file, by its path.
        supports: Whether numbers of a dtype can be computed.
    """

    mode: Mode
    counted: tuple[int, ...]
    choose: Callable[[str, str | None], Iterable[Strategy]]
    literals: Callable[[str], Iterable[Strategy]]
    supports: Callable[[str], bool]


def plan(store: ObjectStore, base: Id, sides: Sequence[Id], rules: Rules) -> Iterator[FilePlan]:
    """Yield what becomes of every file that is not equal in all versions, in order of paths.

    Args:
        store: Where everything is.
        base: The tree of the common ancestor, None where there is none.
        sides: The trees to merge, the first being ours; None for one without files.
        rules: What decides where sides disagree.
    """
    rows: dict[str, tuple[Entry | None, dict[int, Entry | None]]] = {}
    for number, root in enumerate(sides):
        for path, old, new in trees.changed(store, base, root, separator="/"):
            rows.setdefault(path, (old, {}))[1][number] = new
    planner = _Planner(store, rules)
    for path in sorted(rows):
        before, noted = rows[path]
        yield planner.file(
            path, before, tuple(noted.get(side, before) for side in range(len(sides)))
        )


class _Planner:
    def __init__(self, store: ObjectStore, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self._types: dict[ObjectId, tuple[str, tuple[int, ...]]] = {}

    def file(self, path: str, base: Entry | None, sides: tuple[Entry | None, ...]) -> FilePlan:
        """Return what becomes of a file."""
        row = _id(base), tuple(map(_id, sides))
        entries = [entry for entry in (base, *sides) if entry is not None]
        models = all(entry.kind == "checkpoint" for entry in entries)
        if models and self._mixes(row):
            return self._model(path, base, sides)
        source = settled(*row)
        if source is not None:
            return FilePlan(path, base, sides, source, sides[source])
        changed = {held for held in row[1] if held != row[0]}
        if models and None not in changed:
            return self._model(path, base, sides)
        source = _first(self._whole_file(path), row)
        if source is not None:
            return FilePlan(path, base, sides, source, base if source == BASE else sides[source])
        why: Why = "deleted" if None in changed else "changed"
        kept = OURS if sides[OURS] else next(n for n, entry in enumerate(sides) if entry)
        found = (Conflict(path, None, why),)
        return FilePlan(path, base, sides, kept, sides[kept], conflicts=found)

    def _mixes(self, row: Row) -> bool:
        """Tell whether strategies may compute something although one side alone changed it."""
        base, sides = row
        if self._rules.mode == "three-way" or None in sides:
            return False
        if self._rules.mode == "vector":
            return base is not None and sides[1] != base
        return len({sides[side] for side in self._rules.counted}) > 1

    def _model(self, path: str, base: Entry | None, sides: tuple[Entry | None, ...]) -> FilePlan:
        """Return what becomes of a model file that several sides have."""
        before = read_checkpoint(self._store, base.id) if base else None
        models = {
            side: read_checkpoint(self._store, entry.id)
            for side, entry in enumerate(sides)
            if entry is not None
        }
        rows = self._rows(before, models, len(sides))
        layouts = Layouts(self._store, before, models)
        standing, source = layouts.standing()
        conflicts: list[Conflict] = []
        if standing in ("literals", "structure"):
            choose = self._rules.literals if standing == "literals" else self._whole_file
            picked = _first(choose(path), (_id(base), tuple(map(_id, sides))))
            if picked is not None and picked in models:
                source = picked
            else:
                why: Why = "structure" if standing == "structure" else "literals"
                conflicts.append(Conflict(path, None, why))
            if standing == "structure":
                return FilePlan(
                    path, base, sides, source, sides[source], conflicts=tuple(conflicts)
                )
        told = ("its sides differ in remarks that nothing computes with; one is kept",)
        remarks = told if standing == "harmless" else ()
        plans = tuple(self._tensor(path, name, row, source) for name, row in rows.items())
        conflicts += [Conflict(path, item.name, item.conflict) for item in plans if item.conflict]
        whole = next((side for side in models if _is_whole(plans, layouts, source, side)), None)
        kept = source if whole is None else whole
        return FilePlan(
            path,
            base,
            sides,
            kept,
            sides[kept],
            plans,
            tuple(conflicts),
            remarks,
            composed=whole is None,
        )

    def _rows(
        self, base: Checkpoint | None, models: dict[int, Checkpoint], count: int
    ) -> dict[str, Row]:
        """Return the tensors that are not equal everywhere, by name."""
        first = next(iter(models.values()))
        noted: dict[str, tuple[Id, dict[int, Id]]] = {}
        for side, model in models.items():
            start = (base or first).tensors
            for name, old, new in trees.changed(self._store, start, model.tensors, separator=""):
                noted.setdefault(name, (_id(old), {}))[1][side] = _id(new)
        return {
            name: (
                old if base else None,
                tuple(found.get(side, old) if side in models else None for side in range(count)),
            )
            for name, (old, found) in sorted(noted.items())
        }

    def _tensor(self, path: str, name: str, row: Row, layout: int) -> TensorPlan:
        """Return what becomes of a tensor in the file of the side `layout`."""
        base, sides = row
        held = sides[layout]
        if held is None:
            lost = any(item not in (base, None) for item in sides)
            return TensorPlan(name, base, sides, layout, conflict="deleted" if lost else None)
        chosen = list(self._rules.choose(path, name))
        if self._mixes(row) and chosen and chosen[0].kind.computes:
            mixed = self._mixed(name, row, held, chosen[:1])
            if mixed is not None:
                return mixed
        source = self._agreed(row, mixing=bool(chosen) and chosen[0].kind.computes)
        if source is None:
            return self._disputed(name, row, held, layout, chosen)
        if self._one_type([sides[source], held]):
            return TensorPlan(name, base, sides, source)
        why: Why = "deleted" if sides[source] is None else "reshaped"
        return TensorPlan(name, base, sides, layout, conflict=why)

    def _agreed(self, row: Row, *, mixing: bool) -> int | None:
        """Return the side that a tensor is taken from, None where sides disagree."""
        source = settled(*row)
        counted = self._rules.counted
        if source is None and mixing and self._rules.mode == "mix":
            # What the sides that count agree on is their mean; ours may not be among them.
            base, sides = row
            if len({sides[side] for side in counted}) == 1 and sides[counted[0]] != base:
                return counted[0]
        return source

    def _disputed(
        self, name: str, row: Row, held: ObjectId, layout: int, chosen: Sequence[Strategy]
    ) -> TensorPlan:
        base, sides = row
        for strategy in chosen:
            if strategy.kind.computes:
                found = self._mixed(name, row, held, [strategy])
                if found is not None:
                    return found
                continue
            source = _pick(strategy, row)
            if source is not None and self._one_type(
                [base if source == BASE else sides[source], held]
            ):
                return TensorPlan(name, base, sides, source)
        kept = OURS if self._one_type([sides[OURS], held]) else layout
        why: Why = "changed"
        changed = [item for item in sides if item != base]
        if None in changed:
            why = "deleted"
        elif not self._one_type([*changed, held]):
            why = "reshaped"
        elif chosen and not self._rules.supports(self._type(held)[0]):
            why = "packed"
        return TensorPlan(name, base, sides, kept, conflict=why)

    def _mixed(
        self, name: str, row: Row, held: ObjectId, chosen: Sequence[Strategy]
    ) -> TensorPlan | None:
        """Return a tensor computed by the first strategy that can compute it."""
        base, sides = row
        mixed = tuple(side for side in self._rules.counted if sides[side] is not None)
        if not self._one_type([*(sides[side] for side in mixed), held]):
            return None
        if not self._rules.supports(self._type(held)[0]):
            return None
        for strategy in chosen:
            kind = strategy.kind
            enough = kind.least <= len(mixed) <= (kind.most or len(mixed))
            if enough and (not kind.base or self._one_type([base, held])):
                return TensorPlan(name, base, sides, mixed[0], strategy, mixed)
        return None

    def _whole_file(self, path: str) -> Iterable[Strategy]:
        return self._rules.choose(path, None)

    def _one_type(self, items: Sequence[Id]) -> bool:
        """Tell whether all of some tensors are there and have one dtype and shape."""
        if None in items:
            return False
        return len({self._type(item) for item in set(items) if item is not None}) <= 1

    def _type(self, item: ObjectId) -> tuple[str, tuple[int, ...]]:
        if item not in self._types:
            tensor = read_tensor(self._store, item)
            self._types[item] = tensor.dtype, tensor.shape
        return self._types[item]


def settled(base: Id, sides: Sequence[Id]) -> int | None:
    """Return the first side that has what three-way merging gives, None where it gives nothing.

    That is what the only sides that changed something agree on.
    """
    changed = {held for held in sides if held != base}
    if len(changed) > 1:
        return None
    return next((side for side, held in enumerate(sides) if held != base), OURS)


def _pick(strategy: Strategy, row: Row) -> int | None:
    """Return the side that a strategy takes as it is: for `theirs` the first that changed it."""
    base, sides = row
    if strategy.name == "ours":
        return OURS
    if strategy.name == "base":
        return BASE if base is not None else None
    others = (side for side in range(1, len(sides)) if sides[side] != base)
    return next(others, None)


def _first(strategies: Iterable[Strategy], row: Row) -> int | None:
    """Return the side that the first strategy that computes nothing takes, None without one."""
    for strategy in strategies:
        if not strategy.kind.computes:
            return _pick(strategy, row)
    return None


def _is_whole(plans: Sequence[TensorPlan], layouts: Layouts, source: int, side: int) -> bool:
    """Tell whether a side's file is the result as it stands, with all its bytes."""
    return all(item.strategy is None and item.result == item.sides[side] for item in plans) and (
        side == source or layouts.alike(source, side)
    )


def _id(entry: Entry | None) -> Id:
    return entry.id if entry else None
