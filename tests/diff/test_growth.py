from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.diff.findings import Growth
from mvc.diff.structure import Recoded
from tests.diff.sources import compared, noise


def grown(old: np.ndarray, new: np.ndarray, *, words: bool = True) -> Recoded:
    found = compared({"w": old}, {"w": new}, words=words)
    (item,) = found.reshaped
    return item


TABLE = noise(1, 300, 8)


def test_rows_that_were_added_leave_the_rest_equal() -> None:
    item = grown(TABLE, np.concatenate([TABLE, noise(2, 16, 8)]))
    assert item.growth == Growth(axis=0, added=16, common=2400, changed=0)


def test_rows_that_were_removed_count_below_zero() -> None:
    assert grown(TABLE, TABLE[:-3]).growth == Growth(0, -3, 297 * 8, 0)


def test_columns_in_front_are_told_from_columns_behind() -> None:
    more = noise(2, 300, 3)
    assert grown(TABLE, np.concatenate([TABLE, more], 1)).growth == Growth(1, 3, 2400, 0)
    front = Growth(1, 3, 2400, 0, "start")
    assert grown(TABLE, np.concatenate([more, TABLE], 1)).growth == front


def test_what_changed_in_the_common_part_is_counted() -> None:
    new = np.concatenate([TABLE, TABLE[:2]])
    new[5, 5] += 1
    assert grown(TABLE, new).growth == Growth(0, 2, 2400, 1)


def test_two_axes_that_differ_are_no_growth() -> None:
    assert grown(TABLE, noise(1, 301, 9)).growth is None
    assert grown(TABLE, noise(1, 301, 8).astype("f2")).growth is None


def test_equal_words_of_another_shape_and_swapped_axes_are_named() -> None:
    assert grown(TABLE, TABLE.reshape(8, 300)).same_words
    assert grown(TABLE, TABLE.reshape(-1)).same_words
    turned = grown(TABLE, TABLE.T)
    assert (turned.transposed, turned.same_words, turned.growth) == (True, False, None)
    assert not grown(TABLE, noise(9, 8, 300)).transposed


def test_without_words_only_the_shape_counts() -> None:
    item = grown(TABLE, np.concatenate([TABLE, TABLE[:2]]), words=False)
    assert item.growth == Growth(0, 2, 2400, None)


def test_chunks_with_equal_ids_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from mvc.diff import growth
    from tests.diff.sources import source

    large = noise(3, 3 << 12, 1 << 9)
    old, new = (source({"w": side}) for side in (large, np.concatenate([large, large[:16]])))
    read: list[int] = []
    between = growth.Run.between

    def counted(run: growth.Run, start: int, stop: int) -> np.ndarray:
        read.append(stop - start)
        return between(run, start, stop)

    monkeypatch.setattr(growth.Run, "between", counted)
    found = growth.measure(old.get("w"), new.get("w"))
    assert found == Growth(0, 16, large.size, 0)
    assert sum(read) <= large.size


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4)),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(0, 3),
)
def test_growth_agrees_with_slices(
    shape: tuple[int, int, int], axis: int, added: int, changes: int
) -> None:
    old = np.arange(np.prod(shape), dtype="i4").reshape(shape) + 1
    extra = list(shape)
    extra[axis] = added
    new = np.concatenate([old, -np.ones(extra, "i4")], axis)
    flat = np.unravel_index(np.arange(min(changes, old.size)), shape)
    new[flat] += 1000
    expected = len(flat[0])
    found = grown(old, new).growth
    assert found is not None
    assert (found.axis, found.added, found.common) == (axis, added, old.size)
    if found.end == "end":
        assert found.changed == expected
