"""Tensors laid out as kind x block: row `attention.query.weight`, column 3 of `encoder.layer`.

A network has several stacks of blocks, each with kinds of its own; every stack is a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix

from mvc.diff import layers
from mvc.diff.structure import natural_key

MOST_ROWS = 240
MOST_COLUMNS = 96
Value = float | None
_Row = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One tensor, or several of a kind in a range of blocks.

    `first` is the place of the one that `value` is of: the greatest.
    """

    value: Value
    first: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class Grid:
    """A stack: cells by row and column, None where versions are equal or have no such tensor.

    `stack` is None for tensors outside all blocks, which have one column without a name.
    """

    stack: str | None
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


def grids(names: Sequence[str], values: Sequence[Value]) -> tuple[tuple[Grid, ...], int]:
    """Return the grids of tensors in natural order, those outside all blocks last.

    Of more than MOST_ROWS rows the ones with the greatest values stay; second comes how many kinds
    were left out.
    """
    found: dict[_Row, dict[int, Cell]] = {}
    rows: dict[tuple[str, bool], _Row] = {}
    places = layers.grid(names)
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        place = places[name]
        key = place.kind, place.block is None
        if key not in rows:
            rows[key] = _row_of(name, place)
        _put(found.setdefault(rows[key], {}), place.block or 0, Cell(value, at))
    kept = sorted(found, key=lambda row: -max(map(_rank, found[row].values())))[:MOST_ROWS]
    stacks: dict[str | None, list[str]] = {}
    for stack, kind in sorted(kept, key=lambda row: natural_key(row[1])):
        stacks.setdefault(stack, []).append(kind)
    order = sorted(stacks, key=lambda stack: (stack is None, natural_key(stack or "")))
    drawn = (_grid(stack, {kind: found[stack, kind] for kind in stacks[stack]}) for stack in order)
    return tuple(drawn), len(found) - len(kept)


def _row_of(name: str, place: layers.Cell) -> _Row:
    """Return the stack of a kind and what is left of its name below that."""
    if place.block is None:
        return None, name
    stack = commonprefix((name, place.kind))  # noqa: RUF071 - of characters, not of folders
    return stack.rstrip("./"), place.kind[len(stack) :].lstrip("./")


def _grid(stack: str | None, rows: dict[str, dict[int, Cell]]) -> Grid:
    blocks = sorted({block for cells in rows.values() for block in cells})
    width = -(-len(blocks) // MOST_COLUMNS)
    runs = [blocks[at : at + width] for at in range(0, len(blocks), width)]
    column = {block: at for at, run in enumerate(runs) for block in run}
    labels = ("",) if stack is None else tuple(map(_label, runs))
    cells = tuple(_row(row, column, len(runs)) for row in rows.values())
    return Grid(stack, tuple(rows), labels, cells)


def _row(cells: dict[int, Cell], column: dict[int, int], width: int) -> tuple[Cell | None, ...]:
    row: dict[int, Cell] = {}
    for block, cell in cells.items():
        _put(row, column[block], cell)
    return tuple(row.get(at) for at in range(width))


def _put(row: dict[int, Cell], at: int, new: Cell) -> None:
    old = row.get(at)
    if old is None:
        row[at] = new
    else:
        greater = new if _rank(new) > _rank(old) else old
        row[at] = Cell(greater.value, greater.first, old.count + new.count)


def _rank(cell: Cell) -> float:
    return -1.0 if cell.value is None else cell.value


def _label(run: Sequence[int]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}"  # noqa: RUF001
