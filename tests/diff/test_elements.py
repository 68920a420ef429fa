from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import dtypes
from mvc.base.dtypes import CHUNK_WORDS
from mvc.diff.elements import ElementChange, elements
from mvc.diff.structure import Pair
from mvc.objects.model import Content, Tensor
from mvc.repo.tensors import Held
from tests.diff.test_weights import LABELS, held


def listed(
    label: str, shape: tuple[int, ...], old: bytes, new: bytes, count: int, *, first: bool = False
) -> tuple[ElementChange, ...]:
    parts = -(-len(old) // (dtypes.dtype(label).word * CHUNK_WORDS))
    ids = [tuple(bytes([side, number]) * 16 for number in range(parts)) for side in (1, 2)]
    pair = Pair("w", held(label, shape, old, ids[0]), held(label, shape, new, ids[1]))
    (found,) = elements([pair], count, first=first)
    return found


def test_the_largest_changes_come_first_with_their_values() -> None:
    old = np.array([[0.1, 1], [2, 3]], "f4")
    new = np.array([[0.2, 1], [-2, 3.5]], "f4")
    found = listed("float32", (2, 2), old.tobytes(), new.tobytes(), 2)
    assert found == (
        ElementChange((1, 0), 2.0, -2.0, -4.0, "40000000", "c0000000"),
        ElementChange((1, 1), 3.0, 3.5, 0.5, "40400000", "40600000"),
    )
    (only,) = listed("float32", (2, 2), old.tobytes(), new.tobytes(), 1, first=True)
    assert (only.index, only.old, only.new) == ((0, 0), 0.1, 0.2)


def test_a_change_to_nan_is_the_largest_and_shows_its_bits() -> None:
    old = np.array([0x3F800000, 0x7FC00001, 0x3F800000], "<u4").tobytes()
    new = np.array([0x7F000000, 0x7FC00002, 0x3F800000], "<u4").tobytes()
    first, second = listed("float32", (3,), old, new, 5)
    assert (first.index, first.change, first.old_bits, first.new_bits) == (
        (1,),
        None,
        "7fc00001",
        "7fc00002",
    )
    assert second.index == (0,)


@pytest.mark.parametrize(
    ("label", "old", "new", "values"),
    [
        ("bool", b"\0", b"\1", (False, True, 1.0)),
        ("int64", b"\0" * 8, b"\xff" * 8, (0, -1, -1.0)),
        ("bfloat16", b"\x80\x3f", b"\xcd\x3d", (1.0, 0.100098, None)),
        ("complex64", np.complex64(1j).tobytes(), np.complex64(4j).tobytes(), (1j, 4j, 3.0)),
        ("complex32", np.float16([1, 0]).tobytes(), np.float16([1, 2]).tobytes(), (1, 1 + 2j, 2.0)),
        ("int4", b"\0", b"\1", (None, None, None)),
    ],
)
def test_values_are_those_of_the_type(
    label: str, old: bytes, new: bytes, values: tuple[object, object, float | None]
) -> None:
    (found,) = listed(label, (1,), old, new, 3)
    assert (found.old, found.new) == values[:2]
    if values[2] is not None:
        assert found.change == values[2]
    assert sorted(bytes.fromhex(found.old_bits)) == sorted(old)


@given(st.sampled_from(LABELS), st.data())
def test_the_elements_are_those_a_plain_sort_gives(label: str, data: st.DataObject) -> None:
    item = dtypes.KNOWN[label].bits // 8
    count = data.draw(st.integers(1, 12))
    old, new = (data.draw(st.binary(min_size=count * item, max_size=count * item)) for _ in "ab")
    wanted = data.draw(st.integers(1, 14))
    differing = [
        place
        for place in range(count)
        if old[place * item : (place + 1) * item] != new[place * item : (place + 1) * item]
    ]
    every = listed(label, (count,), old, new, count)
    assert sorted(one.index[0] for one in every) == differing
    sizes = [math.inf if one.change is None else abs(one.change) for one in every]
    assert sizes == sorted(sizes, reverse=True)
    # As text, because a NaN is not equal to itself.
    assert repr(listed(label, (count,), old, new, wanted)) == repr(every[:wanted])
    first = listed(label, (count,), old, new, wanted, first=True)
    assert [one.index[0] for one in first] == differing[:wanted]


def test_indices_count_over_all_parts_and_equal_ones_are_skipped() -> None:
    shape = (2, CHUNK_WORDS)
    old = np.zeros(shape, "i1")
    new = old.copy()
    new[1, 5], new[0, 9] = 3, 2
    found = listed("int8", shape, old.tobytes(), new.tobytes(), 5)
    assert [(one.index, one.new) for one in found] == [((1, 5), 3), ((0, 9), 2)]


def test_words_of_another_size_are_not_laid_side_by_side() -> None:
    sides = (Content(size, 1, bytes(size), ()) for size in (8, 16))
    one, two = (Held(Tensor("new_type", (8,), side), lambda _: b"") for side in sides)
    pair = Pair("w", one, two)
    assert list(elements([pair], 3)) == [()]
