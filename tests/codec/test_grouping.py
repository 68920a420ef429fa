from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import grouping
from mvc.codec.grouping import Grouping
from mvc.codec.section import BaseBits, Columns, Context
from mvc.codec.segments import UNITS, Segment
from tests.codec.material import noise, weights

pytestmark = pytest.mark.usefixtures("each_kernels")


def by_base(top: Segment, bits: int, floor: int) -> Grouping:
    return Context(len(top), top).grouping(BaseBits(bits, floor))


def by_column(count: int, stride: int, phase: int) -> Grouping:
    return Context(count).grouping(Columns(stride, phase))


def spelled_out(top: Segment, bits: int, floor: int) -> list[list[int]]:
    """Return the places of the units of each group, as docs/format.md puts it."""
    places: dict[int, list[int]] = {}
    for place, unit in enumerate(top.tolist()):
        places.setdefault(unit >> (top.itemsize * 8 - bits), []).append(place)
    groups: list[list[int]] = []
    group: list[int] = []
    for value in sorted(places):
        group = group + places[value]
        if len(group) >= 1 << floor:
            groups.append(group)
            group = []
    if group and groups:
        groups[-1] += group
    elif group:
        groups.append(group)
    return [sorted(places) for places in groups]


@st.composite
def tops(draw: st.DrawFn) -> Segment:
    width = draw(st.sampled_from([1, 2]))
    count = draw(st.sampled_from([1, 4095, 4096, 4097, 8191, 8192, 8193, 30_000, 65_537, 140_001]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "weights", "few", "skewed"]))
    if kind == "noise":
        return noise(rng, count, width)
    if kind == "weights":
        return weights(rng, count, width)
    if kind == "few":
        return rng.choice(noise(rng, 5, width), count)
    return np.sort(rng.geometric(0.02, count)).astype(UNITS[width])


@given(tops(), st.integers(1, 12), st.integers(12, 32))
def test_groups_by_base_are_those_of_the_rule(top: Segment, bits: int, floor: int) -> None:
    bits = min(bits, top.itemsize * 8)
    expected = spelled_out(top, bits, floor)
    found = by_base(top, bits, floor)
    places = np.arange(len(top), dtype="<u4")
    gathered = found.gather(places)
    assert [len(group) for group in expected] == [size for size in found.sizes if size]
    assert gathered.tolist() == [place for group in expected for place in group]
    assert found.scatter(gathered).tolist() == places.tolist()


@given(tops(), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]))
def test_units_of_every_width_come_back_from_their_groups(
    top: Segment, seed: int, width: int
) -> None:
    segment = noise(np.random.default_rng(seed), len(top), width)
    found = by_base(top, min(9, top.itemsize * 8), 12)
    gathered = found.gather(segment)
    assert gathered.dtype == segment.dtype
    assert found.scatter(gathered).tobytes() == segment.tobytes()


def test_a_whole_chunk_has_at_most_as_many_groups_as_there_may_be() -> None:
    count = 1 << 20
    top = np.resize(np.arange(1 << 16, dtype="<u2"), count)
    found = by_base(top, 12, 12)
    assert len(found.sizes) <= grouping.MAX_GROUPS
    assert min(found.sizes) >= 1 << 12
    places = np.arange(count, dtype="<u4")
    assert (found.scatter(found.gather(places)) == places).all()


@given(st.integers(1, 700), st.integers(2, 256), st.data())
def test_groups_by_column_are_those_of_the_rule(
    count: int, stride: int, data: st.DataObject
) -> None:
    phase = data.draw(st.integers(0, stride - 1))
    expected = [
        [place for place in range(count) if (place + phase) % stride == column]
        for column in range(stride)
    ]
    found = by_column(count, stride, phase)
    places = np.arange(count, dtype="<u4")
    gathered = found.gather(places)
    assert [*found.sizes] == [len(group) for group in expected]
    assert gathered.tolist() == [place for group in expected for place in group]
    assert found.scatter(gathered).tolist() == places.tolist()


@pytest.mark.parametrize(
    ("bits", "floor"), [(0, 12), (13, 12), (255, 12), (9, 9), (9, 0), (9, 33), (9, 255)]
)
def test_impossible_groups_are_refused(bits: int, floor: int) -> None:
    with pytest.raises(FormatError):
        by_base(np.zeros(10, "<u2"), bits, floor)


def test_more_bits_than_a_base_has_are_refused() -> None:
    assert len(by_base(np.zeros(10, "<u1"), 8, 12).sizes) == 1
    with pytest.raises(FormatError):
        by_base(np.zeros(10, "<u1"), 9, 12)


def test_groups_without_a_base_are_refused() -> None:
    with pytest.raises(FormatError):
        Context(10).grouping(BaseBits(9, 12))


@pytest.mark.parametrize(("stride", "phase"), [(1, 0), (0, 0), (257, 0), (18, 18), (18, 255)])
def test_impossible_columns_are_refused(stride: int, phase: int) -> None:
    with pytest.raises(FormatError):
        by_column(100, stride, phase)


def test_a_grouping_is_worked_out_once() -> None:
    context = Context(10, np.zeros(10, "<u2"))
    assert context.grouping(BaseBits(9, 12)) is context.grouping(BaseBits(9, 12))
    assert context.grouping(Columns(2, 0)) is not context.grouping(Columns(2, 1))


def test_more_groups_than_a_byte_can_tell_are_refused() -> None:
    top = np.arange(1 << 19).astype("<u2")
    with pytest.raises(FormatError, match="too many"):
        by_base(top, 12, 10)
    assert len(by_base(top, 12, 11).sizes) == 256


def test_the_sign_of_a_base_does_not_divide_magnitudes() -> None:
    top = np.arange(1 << 16).astype("<u2")
    apart = Context(len(top), top).grouping(BaseBits(4, 10, signed=False))
    assert apart.sizes == (1 << 12,) * 16
    again = apart.gather(top)
    assert sorted(again[: 1 << 12] & 0x7FFF) == sorted([*range(1 << 11)] * 2)
    assert (apart.scatter(again) == top).all()
