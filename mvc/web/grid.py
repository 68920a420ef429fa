"""Tensors laid out as kind x block: row `attention.query.weight`, column 3 of `encoder.layer`.

A network has several stacks of blocks, each with kinds of its own; every stack is a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mvc.diff.structure import natural_key

MOST_ROWS = 240
MOST_COLUMNS = 96
Value = float | None


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor is: its stack, the number of its block, and its kind inside a block."""

    stack: str | None
    block: int
    kind: str


def place_of(name: str) -> Place:
    """Return the place of a tensor; its block is the first piece of its name that is a number."""
    pieces = name.split(".")
    for at, piece in enumerate(pieces):
        if piece.isascii() and piece.isdigit() and len(piece) <= 9:
            return Place(".".join(pieces[:at]), int(piece), ".".join(pieces[at + 1 :]))
    return Place(None, 0, name)


def grids(names: Sequence[str], values: Sequence[Value]) -> tuple[tuple[Grid, ...], int]:
    """Return the grids of tensors in natural order, those outside all blocks last.

    Of more than MOST_ROWS rows the ones with the greatest values stay; second comes how many kinds
    were left out.
    """
    found: dict[tuple[str | None, str], dict[int, Cell]] = {}
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        place = place_of(name)
        _put(found.setdefault((place.stack, place.kind), {}), place.block, Cell(value, at))
    kept = sorted(found, key=lambda row: -max(map(_rank, found[row].values())))[:MOST_ROWS]
    stacks: dict[str | None, list[str]] = {}
    for stack, kind in sorted(kept, key=lambda row: natural_key(row[1])):
        stacks.setdefault(stack, []).append(kind)
    order = sorted(stacks, key=lambda stack: (stack is None, natural_key(stack or "")))
    drawn = (_grid(stack, {kind: found[stack, kind] for kind in stacks[stack]}) for stack in order)
    return tuple(drawn), len(found) - len(kept)


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
