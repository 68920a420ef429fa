from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc.base import dtypes, parallel
from mvc.base.errors import UsageError
from mvc.merge import draws
from mvc.merge.numbers import numbers
from mvc.merge.strategies import STRATEGIES, strategy
from mvc.merge.tensors import merged, shifted, supports
from mvc.objects.model import Content, Tensor
from mvc.repo.tensors import Held
from tests.merge.pieces import cut_small, held, made, words_of

FLOATS = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
COMPUTING = [name for name, kind in STRATEGIES.items() if kind.computes]
WEIGHTED = [name for name in COMPUTING if STRATEGIES[name].weighted]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch)


def family(label: str, count: int, size: int = 1000, seed: int = 0) -> list[np.ndarray]:
    """Return a base and versions of it, with elements that some or all share."""
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(size).astype(FLOATS[label])
    found = [base]
    for _ in range(count):
        step = rng.standard_normal(size) * 0.1 * (rng.random(size) < 0.8)
        found.append((base.astype(np.float64) + step).astype(FLOATS[label]))
        found[-1][::7] = base[::7]
    return found


def rounded(label: str, values: np.ndarray) -> np.ndarray:
    kind = numbers(label)
    assert kind is not None
    return kind.rounded(values).view(FLOATS[label])


def wide(arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [array.astype(np.float64) for array in arrays]


def same(one: np.ndarray, two: np.ndarray) -> bool:
    return one.tobytes() == two.tobytes()


@pytest.mark.parametrize("label", FLOATS)
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (3.0, 1.0, 8.0), (0.2, 0.5, 0.3)])
def test_an_average_is_the_float64_mean_rounded_once(
    label: str, weights: tuple[float, ...]
) -> None:
    sides = family(label, 3)[1:]
    mean = sum(w * side for w, side in zip(weights, wide(sides), strict=True)) / math.fsum(weights)
    expected = np.where(
        (sides[0] == sides[1]) & (sides[1] == sides[2]), sides[0], rounded(label, mean)
    )
    assert same(made("average", None, sides, weights), expected)


@pytest.mark.parametrize("label", ["float16", "bfloat16", "float8_e4m3fn"])
@given(given=st.lists(st.integers(0, 65535), min_size=1, max_size=9), power=st.integers(0, 4))
def test_an_average_is_the_exact_mean_rounded_once(
    label: str, given: list[int], power: int
) -> None:
    kind = numbers(label)
    assert kind is not None
    bits = 8 * kind.word.itemsize
    words = np.array(given).astype(np.uint64) & np.uint64((1 << bits) - 1)
    values = kind.values(words.astype(kind.word))
    values = values[np.isfinite(values)]
    if not len(values):
        return
    sides = [rounded(label, np.full(30, value)) for value in values]
    found = made("average", None, sides).astype(np.float64)[0]
    exact = sum(map(Fraction, values.tolist())) / len(values)
    table = kind.values(np.arange(1 << bits).astype(kind.word))
    table = np.unique(table[np.isfinite(table)])
    place = np.searchsorted(table, found)
    near = [Fraction(float(one)) for one in table[max(0, place - 1) : place + 2]]
    assert abs(Fraction(float(found)) - exact) <= min(abs(one - exact) for one in near) + Fraction(
        1, 1 << 90
    )


@pytest.mark.parametrize("label", FLOATS)
def test_task_arithmetic_adds_weighted_changes_to_the_base(label: str) -> None:
    base, *sides = family(label, 2)
    b, x, y = wide([base, *sides])
    total = b + 0.9 * (0.6 * (x - b) + 0.8 * (y - b))
    expected = np.where((x == b) & (y == b), base, rounded(label, total))
    assert same(made("task-arithmetic", base, sides, [0.6, 0.8], lambda_=0.9), expected)


@pytest.mark.parametrize("label", FLOATS)
def test_an_element_that_one_side_changed_gets_the_bits_of_that_side(label: str) -> None:
    base, one, two = family(label, 2)
    found = made("task-arithmetic", base, [one, two])
    only = two == base
    assert same(found[only], one[only])
    only = one == base
    assert same(found[only], two[only])


def plain_ties(
    base: np.ndarray, sides: list[np.ndarray], weights: list[float], density: float
) -> np.ndarray:
    """TIES as its paper says, on whole arrays."""
    rest = []
    for side in sides:
        change = side - base
        keep = max(1, int(density * len(base)))
        order = np.argsort(-np.abs(change), kind="stable")[:keep]
        trimmed = np.zeros_like(change)
        trimmed[order] = change[order]
        rest.append(trimmed)
    weighted = np.array([w * one for w, one in zip(weights, rest, strict=True)])
    sign = np.where(weighted.sum(axis=0) >= 0, 1.0, -1.0)
    agrees = np.sign(weighted) == sign
    share = (np.array(weights)[:, None] * agrees).sum(axis=0)
    share[share == 0] = 1
    return base + (weighted * agrees).sum(axis=0) / share


@pytest.mark.parametrize("label", FLOATS)
@pytest.mark.parametrize("density", [0.001, 0.2, 0.5, 0.9, 1.0])
def test_ties_is_what_its_paper_says(label: str, density: float) -> None:
    base, *sides = family(label, 3)
    b, *wider = wide([base, *sides])
    expected = rounded(label, plain_ties(b, wider, [1.0, 2.0, 1.0], density))
    found = made("ties", base, sides, [1, 2, 1], density=density)
    close = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    # Sums in another order differ in the last bit of a float64.
    limit = 1e-15 if label == "float64" else 0
    assert (close <= limit).all() or (close > 0).mean() < 0.002


@given(st.data())
@settings(deadline=None)
def test_ties_keeps_the_first_of_equal_changes(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 400))
    values = st.sampled_from([0.0, 0.0, 0.5, -0.5, 1.0])
    sides = [
        np.array(data.draw(st.lists(values, min_size=size, max_size=size)), np.float32)
        for _ in range(2)
    ]
    base = np.zeros(size, np.float32)
    density = data.draw(st.sampled_from([0.1, 0.3, 0.5, 0.8]))
    found = made("ties", base, sides, density=density)
    assert (found == plain_ties(*wide([base]), wide(sides), [1.0, 1.0], density)).all()


@pytest.mark.parametrize("rescale", ["density", "l1", "none"])
def test_dare_drops_by_a_mask_and_scales_up_the_rest(rescale: str) -> None:
    base, *sides = family("float32", 2)
    b, *wider = wide([base, *sides])
    total = np.zeros_like(b)
    for place, side in enumerate(wider):
        mask = draws.kept(draws.key(5, "layer.weight", place), 0, len(b), 0.4)
        change = side - b
        scale = {"density": 1 / 0.4, "none": 1.0}.get(rescale)
        if scale is None:
            scale = np.abs(change).sum() / np.abs(change * mask).sum()
        total += 0.5 * scale * change * mask
    found = made(
        "dare", base, sides, [0.5, 0.5],
        density=0.4, seed=5, rescale=rescale, tensor="layer.weight",
    )  # fmt: skip
    # The sum of magnitudes is taken in another order here.
    assert np.allclose(found, b + total, rtol=1e-6, atol=0)
    if rescale != "l1":
        assert (np.abs(found - (b + total).astype(np.float32)) > 0).mean() < 0.01


def test_what_dare_drops_depends_on_seed_name_and_side_alone() -> None:
    first = draws.kept(draws.key(1, "a", 0), 0, 4000, 0.3)
    assert (first[1000:1500] == draws.kept(draws.key(1, "a", 0), 1000, 500, 0.3)).all()
    assert 0.25 < first.mean() < 0.35
    others = [draws.key(2, "a", 0), draws.key(1, "b", 0), draws.key(1, "a", 1)]
    for key in others:
        both = first & draws.kept(key, 0, 4000, 0.3)
        assert 0.06 < both.mean() < 0.12


def test_the_draws_of_dare_are_the_same_for_ever() -> None:
    assert draws.key(7, "encoder.weight", 1) == 12276283379019205872
    # The first numbers of SplitMix64 from seed 1234567, as its authors' code gives them.
    numbers = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)
    for density in (0.17, 0.2, 0.35, 0.36, 0.5, 0.6):
        expected = [number / 2**64 < density for number in numbers]
        assert draws.kept(1234567, 0, 4, density).tolist() == expected


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
def test_slerp_follows_the_arc(t: float) -> None:
    rng = np.random.default_rng(1)
    one, two = rng.standard_normal((2, 1000)).astype(np.float32)
    a, b = wide([one, two])
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    expected = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    assert np.allclose(made("slerp", None, [one, two], t=t), expected, rtol=1e-6, atol=1e-12)
    if t in (0.0, 1.0):
        assert same(made("slerp", None, [one, two], t=t), two if t else one)


@pytest.mark.parametrize("second", ["same", "double", "opposite", "zero", "infinite"])
def test_slerp_goes_straight_where_there_is_no_angle(second: str) -> None:
    one = np.linspace(1, 2, 600).astype(np.float32)
    other = {"same": 1, "double": 2, "opposite": -1, "zero": 0, "infinite": 1}[second] * one
    if second == "infinite":
        other[3] = np.inf
    expected = (one.astype(np.float64) * 0.75 + other.astype(np.float64) * 0.25).astype(np.float32)
    assert same(made("slerp", None, [one, other], t=0.25), expected)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_the_median_is_the_middle_or_the_mean_of_two(count: int) -> None:
    sides = family("float32", count)[1:]
    expected = np.median(np.array(wide(sides)), axis=0).astype(np.float32)
    assert same(made("median", None, sides), expected)


@pytest.mark.parametrize("trim", [0.0, 0.1, 0.25, 0.49])
def test_a_trimmed_mean_leaves_out_the_ends(trim: float) -> None:
    sides = family("float32", 10)[1:]
    rows = np.sort(np.array(wide(sides)), axis=0)
    out = math.floor(trim * 10)
    expected = rows[out : 10 - out].mean(axis=0)
    assert np.allclose(made("trimmed-mean", None, sides, trim=trim), expected, rtol=1e-6, atol=0)


def test_broken_sides_are_outvoted() -> None:
    sides = [np.full(400, value, np.float32) for value in (1, 2, 3, np.nan, np.inf)]
    assert (made("median", None, sides) == 3).all()
    sides = [np.full(400, value, np.float32) for value in (1, 2, 3, 2, np.nan)]
    assert (made("trimmed-mean", None, sides, trim=0.2) == np.float32(7 / 3)).all()


@pytest.mark.parametrize("name", COMPUTING)
def test_bits_that_all_have_stay_whatever_they_are(name: str) -> None:
    odd = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 1])
    words = np.resize(odd.astype(np.uint32), 1000)
    words[:100] = np.float32(0.1).view(np.uint32)
    array = words.view(np.float32)
    other = array.copy()
    other[-1] = 3.0
    found = made(name, array, [array, other])
    if name == "slerp":
        assert np.isnan(found).tolist() == [*np.isnan(array).tolist()[:-1], False]
    kept = found.view(np.uint32)[:-1] == words[:-1]
    assert kept.all()


@pytest.mark.parametrize("name", COMPUTING)
def test_nan_that_comes_out_of_numbers_has_one_pattern(name: str) -> None:
    base = np.ones(100, np.float32)
    one = base.copy()
    one.view(np.uint32)[:] = 0xFFC00123
    two = base.copy()
    two.view(np.uint32)[:] = 0x7FA00001
    if name in ("median", "trimmed-mean"):
        found = made(name, base, [one, two])
    else:
        whole = {"density": 1.0} if "dare" in name else {}
        found = made(name, base, [one, two], **whole)
    changed = found.view(np.uint32) != np.float32(1).view(np.uint32)
    assert set(found.view(np.uint32)[changed].tolist()) == {0x7FC00000}


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize("label", ["float32", "bfloat16", "int32", "bool", "complex64"])
def test_neither_cutting_nor_threads_change_a_bit(
    name: str, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    raw = rng.standard_normal((4, 2000)) * 3
    kind = {"bfloat16": ml_dtypes.bfloat16}.get(label, label)
    arrays = [row.astype(kind) for row in raw]
    count = STRATEGIES[name].most or 3
    found = set()
    for chunk, block in ((300, 128), (300, 128), (700, 700), (100_000, 64)):
        if name == "slerp" and block != 128:
            continue
        cut_small(monkeypatch, chunk, block)
        found.add(made(name, arrays[0], arrays[1 : 1 + count]).tobytes())
        with parallel.in_place():
            found.add(made(name, arrays[0], arrays[1 : 1 + count]).tobytes())
    assert len(found) == 1


def test_parts_that_are_equal_are_read_once() -> None:
    seen: Counter[bytes] = Counter()
    base = np.arange(1000, dtype=np.float32)
    other = base.copy()
    other[650:] += 1
    third = base + 2
    tensors = [
        held(side, None, lambda name: seen.update([name])) for side in (base, base, other, third)
    ]
    result = merged(None, tensors, strategy("average"))
    assert len(b"".join(result.parts())) == 4000
    assert set(seen.values()) == {1}


@pytest.mark.parametrize("name", COMPUTING)
def test_nothing_is_read_before_a_part_is_wanted(name: str) -> None:
    def refuse(_: bytes) -> None:
        raise AssertionError

    sides = [held(np.full(900, value, np.float32), None, refuse) for value in (1, 2, 3)]
    found = merged(sides[0], sides[1:], strategy(name))
    assert (found.dtype, found.shape, found.size, found.count) == ("float32", (900,), 3600, 3)


def test_sides_of_weight_zero_are_not_read() -> None:
    def refuse(_: bytes) -> None:
        raise AssertionError

    one, two = (held(np.full(900, value, np.float32)) for value in (1, 2))
    unread = held(np.full(900, 9, np.float32), None, refuse)
    found = merged(None, [unread, one, two], strategy("average"), [0, 1, 3])
    assert set(words_of(found).view(np.float32).tolist()) == {1.75}


@pytest.mark.parametrize("name", ["ours", "theirs", "base"])
@pytest.mark.parametrize("label", ["int4", "ggml_q4_1", "float8_e8m0fnu", "float32"])
def test_whole_sides_can_be_taken_of_every_type(name: str, label: str) -> None:
    word = dtypes.dtype(label).word
    tensors = []
    for value in range(3):
        data = bytes([value]) * 8
        shape = (16,) if label == "int4" else (8 // word,)
        tensors.append(Held(Tensor(label, shape, Content(8, word, data, ())), lambda _, d=data: d))
    found = merged(tensors[0], tensors[1:], strategy(name))
    assert supports(label, name)
    expected = {"base": 0, "ours": 1, "theirs": 2}[name]
    assert b"".join(found.parts()) == bytes([expected]) * 8


def test_types_without_numbers_are_refused() -> None:
    tensor = Held(Tensor("int4", (8,), Content(4, 1, b"1234", ())), lambda _: b"1234")
    assert not supports("int4", "average")
    with pytest.raises(UsageError, match="does not apply to tensors of int4"):
        merged(None, [tensor, tensor], strategy("average"))


def test_a_change_is_carried_over_and_taken_back() -> None:
    rng = np.random.default_rng(2)
    start = rng.standard_normal(1000).astype(np.float32)
    end = start + np.where(rng.random(1000) < 0.5, 1e-3, 0).astype(np.float32)
    ours = start.copy()
    ours[500:] *= np.float32(1.5)
    found = words_of(shifted(held(ours), held(start), held(end))).view(np.float32)
    assert same(found[:500], end[:500])
    assert same(found[500:][end[500:] == start[500:]], ours[500:][end[500:] == start[500:]])
    assert np.allclose(found, ours.astype(np.float64) + end - start, rtol=1e-6)
    back = words_of(shifted(held(end), held(end), held(start))).view(np.float32)
    assert same(back, start)
    half = words_of(shifted(held(start), held(start), held(end), 0.5)).view(np.float32)
    assert np.allclose(half, (start.astype(np.float64) + end) / 2, rtol=1e-6)


@pytest.mark.parametrize("name", COMPUTING)
@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (1,)])
def test_empty_tensors_and_single_numbers_merge(name: str, shape: tuple[int, ...]) -> None:
    arrays = [np.full(shape, value, np.float32) for value in (1, 2, 4)]
    assert made(name, arrays[0], arrays[1:]).shape == shape


@pytest.mark.parametrize("weights", [[1], [1, math.nan], [0, 0], [1, -1]])
def test_weights_that_make_no_average_are_refused(weights: list[float]) -> None:
    sides = [np.ones(4, np.float32), np.zeros(4, np.float32)]
    with pytest.raises(UsageError):
        made("average", None, sides, weights)


def test_a_strategy_without_weights_refuses_some() -> None:
    sides = [np.ones(4, np.float32), np.zeros(4, np.float32)]
    with pytest.raises(UsageError, match="takes no weights"):
        made("median", None, sides, [1, 2])


def test_tensors_of_two_shapes_do_not_merge() -> None:
    with pytest.raises(UsageError, match="other dtypes or shapes"):
        made("average", None, [np.ones(4, np.float32), np.ones(5, np.float32)])
