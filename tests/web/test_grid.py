from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mvc.web.grid import MOST_COLUMNS, MOST_ROWS, grids

NAMES = st.lists(
    st.text(alphabet="ab.0129", min_size=1, max_size=12), unique=True, min_size=1, max_size=40
)


def test_each_stack_of_blocks_is_a_grid_of_its_own() -> None:
    names = [
        *(f"encoder.layer.{n}.{kind}" for n in range(3) for kind in ("query.weight", "norm")),
        *(f"decoder.layer.{n}.query.weight" for n in range(2)),
        "head.weight",
    ]
    found, hidden = grids(names, [float(n) for n in range(len(names))])
    assert [(each.stack, each.columns) for each in found] == [
        ("decoder.layer", ("0", "1")),
        ("encoder.layer", ("0", "1", "2")),
        (None, ("",)),
    ]
    assert found[1].rows == ("norm", "query.weight")
    assert [cell and cell.value for cell in found[1].cells[1]] == [0.0, 2.0, 4.0]
    assert hidden == 0


def test_a_block_without_a_tensor_is_empty() -> None:
    found, _ = grids(["a.0.x", "a.1.x", "a.1.y"], [1.0, 2.0, 3.0])
    assert found[0].rows == ("x", "y")
    assert found[0].cells[1][0] is None


def test_of_many_blocks_neighbours_share_a_column_with_the_greatest_of_them() -> None:
    names = [f"layer.{n}.w" for n in range(1000)]
    found, _ = grids(names, [float(n) for n in range(1000)])
    assert len(found[0].columns) <= MOST_COLUMNS
    first = found[0].cells[0][0]
    assert first is not None
    assert first.count == int(found[0].columns[0].partition("–")[2]) + 1  # noqa: RUF001
    assert first.value == first.count - 1


def test_of_many_kinds_those_that_changed_most_stay() -> None:
    names = [f"only.{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(400)]
    found, hidden = grids(names, [float(n) for n in range(400)])
    assert len(found[0].rows) == MOST_ROWS
    assert hidden == 400 - MOST_ROWS
    assert names[-1] in found[0].rows
    assert names[0] not in found[0].rows


@given(NAMES)
def test_every_tensor_is_in_one_cell(names: list[str]) -> None:
    found, hidden = grids(names, [1.0] * len(names))
    cells = [cell for each in found for row in each.cells for cell in row if cell]
    assert sum(cell.count for cell in cells) == len(names)
    assert hidden == 0
    for each in found:
        assert all(len(row) == len(each.columns) for row in each.cells)
        assert len(each.cells) == len(each.rows)
