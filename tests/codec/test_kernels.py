"""Both kinds of inner loops do what is spelled out here, and refuse what does not fit together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import golomb, kernels_numpy
from mvc.codec.kernels import Kernels
from mvc.codec.segments import UNITS, Segment
from mvc.codec.sizes import OCTAVE, Sizes
from tests.codec.conftest import kernels_of
from tests.codec.material import noise

COUNTS = st.sampled_from([0, 1, 2, 3, 4, 5, 63, 64, 1000, 65_535, 65_536, 65_537, 140_001])
SEEDS = st.integers(0, 2**32 - 1)


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def crooked(segment: Segment) -> Segment:
    """Return equal units that are not aligned."""
    held = b"x" + segment.tobytes()
    return np.frombuffer(memoryview(held)[1:], segment.dtype)


def spaced(segment: Segment) -> Segment:
    """Return equal units that do not lie one after the other."""
    return np.repeat(segment, 2)[::2]


@given(COUNTS, SEEDS, st.sampled_from([1, 2]), st.integers(1, 300))
def test_keys_are_counted(
    each_kernels: Kernels, count: int, seed: int, width: int, values: int
) -> None:
    values = min(values, 256**width)
    keys = random(seed).integers(0, values, count).astype(UNITS[width])
    expected = [int(np.count_nonzero(keys == value)) for value in range(values)]
    for held in (keys, crooked(keys), spaced(keys)):
        assert each_kernels.count(held, values).tolist() == expected


@given(COUNTS.filter(bool), SEEDS, st.integers(1, 256), st.sampled_from([1, 2, 4, 8]))
def test_units_lie_group_by_group_and_come_back(
    each_kernels: Kernels, count: int, seed: int, groups: int, width: int
) -> None:
    table = np.arange(groups, dtype=np.uint8)
    keys = random(seed).integers(0, groups, count).astype("<u2")
    sizes = np.bincount(keys, minlength=groups).tolist()
    segment = noise(random(seed), count, width)
    for held in (segment, crooked(segment), spaced(segment)):
        partition = each_kernels.partition(keys, table, sizes)
        gathered = partition.gather(held)
        assert gathered.dtype == segment.dtype
        assert (gathered == segment[np.argsort(keys, kind="stable")]).all()
        assert (partition.scatter(gathered) == segment).all()


@pytest.mark.parametrize("block", [1, 100, 4096, 1 << 14, 1 << 17])
def test_groups_do_not_depend_on_the_blocks_they_are_worked_out_in(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    count = 70_000 if block > 1 else 9000
    keys = random(block).integers(0, 40, count).astype("<u2")
    table, sizes = np.arange(40, dtype=np.uint8), np.bincount(keys, minlength=40).tolist()
    places = np.arange(count, dtype="<u4")
    monkeypatch.setattr(kernels_numpy, "BLOCK", block)
    held = kernels_numpy.KERNELS.partition(keys, table, sizes)
    gathered = held.gather(places)
    assert (gathered == np.argsort(keys, kind="stable")).all()
    assert (held.scatter(gathered) == places).all()


def ordered(unit: int, bits: int) -> int:
    """Return the integer that a float's bits are mapped to, as docs/format.md puts it."""
    return (~unit if unit >> (bits - 1) else unit | 1 << (bits - 1)) & ((1 << bits) - 1)


def zigzag(step: int, bits: int) -> int:
    step &= (1 << bits) - 1
    return ((step << 1) & ((1 << bits) - 1)) ^ (((1 << bits) - 1) if step >> (bits - 1) else 0)


@given(st.integers(1, 70), SEEDS, st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_top_segments_differ_by_zigzagged_steps(
    each_kernels: Kernels, count: int, seed: int, width: int, floats: bool
) -> None:
    bits, rng = 8 * width, random(seed)
    new, base = noise(rng, count, width), noise(rng, count, width)
    expected = [
        zigzag(ordered(one, bits) - ordered(two, bits) if floats else one - two, bits)
        for one, two in zip(new.tolist(), base.tolist(), strict=True)
    ]
    for held in (new, crooked(new), spaced(new)):
        coded = each_kernels.step(held, base, floats=floats)
        assert coded.tolist() == expected
        assert each_kernels.back(coded, base, floats=floats).tolist() == new.tolist()


@given(st.integers(1, 70), SEEDS, st.sampled_from([2, 4]))
def test_lower_segments_are_flipped_by_the_signs_above(
    each_kernels: Kernels, count: int, seed: int, width: int
) -> None:
    bits, rng = 8 * width, random(seed)
    new, base = noise(rng, count, width), noise(rng, count, width)
    top, base_top = noise(rng, count, 2), noise(rng, count, 2)
    most = (1 << bits) - 1
    expected = [
        zigzag((one ^ (most * (up >> 15))) - (two ^ (most * (down >> 15))), bits)
        for one, two, up, down in zip(
            new.tolist(), base.tolist(), top.tolist(), base_top.tolist(), strict=True
        )
    ]
    coded = each_kernels.low_step(new, crooked(base), top, spaced(base_top))
    assert coded.tolist() == expected
    assert each_kernels.low_back(coded, base, top, base_top).tolist() == new.tolist()


@given(st.integers(1, 400), SEEDS, st.integers(1, 50), st.sampled_from([(2, 8), (2, 5), (1, 4)]))
def test_keys_of_sizes_follow_the_rows(
    each_kernels: Kernels, count: int, seed: int, columns: int, kind: tuple[int, int]
) -> None:
    (width, exponent), rng = kind, random(seed)
    top = noise(rng, count, width)
    start = int(rng.integers(columns))
    levels = rng.integers(0, 256, -(-(start + count) // columns), np.uint8).tobytes()
    reference = int(rng.integers(1 << exponent))
    expected = []
    for place, unit in enumerate(top.tolist()):
        field = unit >> (8 * width - 1 - exponent) & ((1 << exponent) - 1)
        below = max(0, reference - field)
        expected.append(min(255, levels[(start + place) // columns] + OCTAVE * below))
    rule = Sizes(exponent, 10, reference, columns, start, levels)
    found = each_kernels.size_keys(rule, top)
    assert found.tolist() == expected


UNIT = np.zeros(8, "<u2")
BYTES = np.zeros(8, np.uint8)
EIGHT = np.array([8], np.int64)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("count", (UNIT, 2, BYTES[:7])),
        ("count", (UNIT, 3, EIGHT)),
        ("count", (np.ones(8, "<u2"), 2, np.zeros(1, np.int64))),
        ("count", (np.zeros(2, "<u4"), 4, EIGHT)),
        ("count", (crooked(UNIT), 2, EIGHT)),
        ("label", (UNIT, 2, np.zeros(256, np.uint8), BYTES)),
        ("label", (BYTES, 1, np.zeros(256, np.uint8), BYTES[:7])),
        ("gather", (UNIT, 2, BYTES[:7], EIGHT, UNIT.copy())),
        ("gather", (UNIT, 2, BYTES, EIGHT, UNIT[:7].copy())),
        ("gather", (UNIT, 2, BYTES, np.array([7], np.int64), UNIT.copy())),
        ("gather", (UNIT, 2, BYTES, np.array([9], np.int64), UNIT.copy())),
        ("gather", (UNIT, 2, BYTES, np.array([-1, 9], np.int64), UNIT.copy())),
        ("gather", (UNIT, 2, BYTES, np.array([4, 4], np.int64), UNIT.copy())),
        ("scatter", (UNIT, 2, BYTES, np.array([0, 8], np.int64), UNIT.copy())),
        ("scatter", (UNIT, 2, BYTES + 255, EIGHT, UNIT.copy())),
        ("scatter", (UNIT, 2, BYTES, np.zeros(257, np.int64), UNIT.copy())),
        ("top_delta", (UNIT, UNIT[:7], 2, True, False, UNIT.copy())),
        ("top_delta", (UNIT, UNIT, 2, True, False, UNIT[:7].copy())),
        ("top_delta", (UNIT, UNIT, 5, True, False, UNIT.copy())),
        ("low_delta", (UNIT, UNIT, UNIT, UNIT[:7], 2, True, UNIT.copy())),
        ("low_delta", (UNIT, UNIT, UNIT, crooked(UNIT), 2, True, UNIT.copy())),
        ("low_delta", (BYTES, BYTES, UNIT, UNIT, 1, True, BYTES.copy())),
        ("size_keys", (UNIT, 2, b"1", 7, 0, 8, 0, 4, BYTES.copy())),
        ("size_keys", (UNIT, 2, b"12", 7, 7, 8, 0, 4, BYTES.copy())),
        ("size_keys", (UNIT, 2, b"12", 7, 0, 16, 0, 4, BYTES.copy())),
        ("size_keys", (UNIT, 2, b"12", 7, 0, 8, 256, 4, BYTES.copy())),
        ("size_keys", (UNIT, 2, b"12", 0, 0, 8, 0, 4, BYTES.copy())),
        ("size_keys", (UNIT, 2, b"12", 7, 0, 8, 0, 4, BYTES[:7].copy())),
        ("size_keys", (UNIT, 2, b"12", sys.maxsize, 1, 8, 0, 4, BYTES.copy())),
        ("golomb_read", (b"\x80", 1, 0, 8, EIGHT.copy())),
        ("golomb_read", (b"\x80", 1, 1 << 16, 8, EIGHT.copy())),
        ("golomb_read", (b"\x80", -1, 1, 8, EIGHT.copy())),
        ("golomb_read", (b"\x80", 2, 1, 8, EIGHT.copy())),
        ("golomb_read", (b"\x80", 1, 1, 0, EIGHT.copy())),
        ("golomb_read", (b"\x80", 1, 1, sys.maxsize, EIGHT.copy())),
        ("golomb_write", (EIGHT, 0)),
        ("golomb_write", (np.array([3, 3]), 1)),
        ("golomb_write", (np.array([3, -1]), 1)),
        ("golomb_write", (np.array([-1, 3]), 1)),
        ("golomb_write", (np.array([sys.maxsize]), 1)),
        ("golomb_write", (np.array([0, sys.maxsize, 5]), 1)),
    ],
)
def test_what_does_not_fit_together_is_refused(name: str, arguments: tuple[Any, ...]) -> None:
    kernels_of("compiled")
    from mvc.codec import _kernels

    with pytest.raises(ValueError, match=r"\w"):
        getattr(_kernels, name)(*arguments)


def test_what_may_not_be_written_is_not() -> None:
    kernels_of("compiled")
    from mvc.codec import _kernels

    fixed = np.zeros(8, np.uint8)
    fixed.flags.writeable = False
    with pytest.raises((BufferError, TypeError, ValueError)):
        _kernels.label(BYTES, 1, np.zeros(256, np.uint8), fixed)


@pytest.mark.parametrize("held", ["nothing", "another version"])
def test_without_compiled_loops_numpy_serves(tmp_path: Path, held: str) -> None:
    told = "None" if held == "nothing" else "types.SimpleNamespace(VERSION=-1)"
    script = (
        f"import sys, types; sys.modules['mvc.codec._kernels'] = {told}\n"
        "from mvc.codec import kernels; print(type(kernels.chosen).__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},  # noqa: TID251
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout.decode().strip() == "mvc.codec.kernels_numpy"


@given(COUNTS.filter(bool), SEEDS, st.sampled_from([0.001, 0.02, 0.3, 1.0]), st.integers(1, 40))
def test_gaps_come_back_and_are_coded_alike(
    each_kernels: Kernels, count: int, seed: int, density: float, divisor: int
) -> None:
    places = np.flatnonzero(random(seed).random(count) < density)
    places = places if len(places) else np.array([count - 1])
    unary, coded = each_kernels.golomb_write(places, divisor)
    assert (unary, coded) == golomb.write(places, divisor)
    body = memoryview(coded + b"behind")
    found, used = each_kernels.golomb_read(body, len(places), unary, divisor, count)
    assert (found.tolist(), used) == (places.tolist(), len(coded))
    with pytest.raises(FormatError):
        each_kernels.golomb_read(body, len(places), unary, divisor, int(places[-1]))
    with pytest.raises(FormatError):
        each_kernels.golomb_read(memoryview(coded[:-1]), len(places), unary, divisor, count)


@given(
    st.binary(max_size=12),
    st.integers(0, 20),
    st.integers(0, 14),
    st.sampled_from([1, 2, 3, 4, 5, 7, 8, 100, 1 << 15]),
    st.sampled_from([20, 100, 1 << 20]),
)
def test_bytes_that_are_no_gaps_are_refused_alike(
    data: bytes, ones: int, unary: int, divisor: int, count: int
) -> None:
    def read(kernels: Kernels) -> object:
        try:
            places, used = kernels.golomb_read(memoryview(data), ones, unary, divisor, count)
        except FormatError:
            return None
        return places.tolist(), used

    assert read(kernels_of("compiled")) == read(kernels_numpy.KERNELS)
