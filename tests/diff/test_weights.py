from __future__ import annotations

import math
from collections import Counter

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base import dtypes
from mvc.base.dtypes import CHUNK_WORDS
from mvc.base.parallel import in_place
from mvc.diff.structure import Pair
from mvc.diff.sums import BLOCK_WORDS
from mvc.diff.weights import Histogram, Weights, measure
from mvc.objects.model import INLINE_BYTES, Content, Tensor
from mvc.repo.tensors import Held

LABELS = [label for label in dtypes.KNOWN if dtypes.numpy_dtype(label) is not None]
OPAQUE = [label for label in dtypes.KNOWN if dtypes.numpy_dtype(label) is None]


def held(label: str, shape: tuple[int, ...], data: bytes, ids: tuple[bytes, ...] = ()) -> Held:
    word = dtypes.dtype(label).word
    step = word * CHUNK_WORDS
    if len(data) <= INLINE_BYTES:
        return Held(Tensor(label, shape, Content(len(data), word, data, ())), lambda _: data)
    content = Content(len(data), word, b"", ids)
    return Held(
        Tensor(label, shape, content), lambda number: data[number * step : (number + 1) * step]
    )


def measured(label: str, shape: tuple[int, ...], old: bytes, new: bytes) -> Weights:
    count = -(-len(old) // (dtypes.dtype(label).word * CHUNK_WORDS))
    ids = [tuple(bytes([side, number]) * 16 for number in range(count)) for side in (1, 2)]
    pair = Pair("w", held(label, shape, old, ids[0]), held(label, shape, new, ids[1]))
    (found,) = measure([pair])
    return found


def as_float64(label: str, data: bytes) -> np.ndarray:
    kind = dtypes.numpy_dtype(label)
    assert kind is not None
    if label == "bool":
        return (np.frombuffer(data, np.uint8) != 0).astype(np.float64)
    values = np.frombuffer(data, kind)
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


@given(st.sampled_from(LABELS), st.data())
def test_numbers_agree_with_plain_float64_arithmetic(label: str, data: st.DataObject) -> None:
    item = dtypes.KNOWN[label].bits // 8
    count = data.draw(st.integers(0, 24))
    old = data.draw(st.binary(min_size=count * item, max_size=count * item))
    new = bytearray(old)
    for place in data.draw(st.sets(st.integers(0, max(0, count - 1)), max_size=count)):
        new[place * item : (place + 1) * item] = data.draw(st.binary(min_size=item, max_size=item))
    found = measured(label, (count,), old, bytes(new))

    words = [np.frombuffer(side, np.uint8).reshape(count, item) for side in (old, bytes(new))]
    assert found.elements == count
    assert found.changed == int((words[0] != words[1]).any(axis=1).sum())
    with np.errstate(all="ignore"):
        before, after = as_float64(label, old), as_float64(label, bytes(new))
        fine = np.isfinite(before) & np.isfinite(after)
        assert found.old_nonfinite == int((~np.isfinite(before)).sum())
        assert found.new_nonfinite == int((~np.isfinite(after)).sum())
        a, b = before[fine], after[fine]
        if count and not len(a):
            assert (found.l2, found.relative_l2, found.cosine, found.max_abs) == (None,) * 4
            return
        change = exact_change(label, old, bytes(new)) if "int64" in label else b - a
        check(found.l2, np.sqrt((np.abs(change) ** 2).sum()))
        check(found.norm, np.sqrt((np.abs(a) ** 2).sum()))
        check(found.max_abs, np.abs(change).max(initial=0.0))
        norms = np.sqrt((np.abs(a) ** 2).sum()) * np.sqrt((np.abs(b) ** 2).sum())
        if norms and np.isfinite(norms) and norms > 1e-290:
            expected = (a * np.conj(b)).real.sum() / norms
            if np.isfinite(expected):
                assert found.cosine == pytest.approx(expected, abs=1e-9)
        check(found.new_norm, np.sqrt((np.abs(b) ** 2).sum()))
        check_shape_of_change(found, a, b, np.flatnonzero(fine), change)


def check_shape_of_change(
    found: Weights, a: np.ndarray, b: np.ndarray, places: np.ndarray, change: np.ndarray
) -> None:
    sizes = np.abs(change)
    if sizes.max(initial=0.0) > 0:
        assert found.max_at == (places[int(sizes.argmax())],)
    else:
        assert found.max_at is None
    if a.dtype.kind == "c":
        assert found.sign_flips is None
        change = np.hypot(b.real, b.imag) - np.hypot(a.real, a.imag)
    else:
        assert found.sign_flips == int((((a > 0) & (b < 0)) | ((a < 0) & (b > 0))).sum())
    if len(change):
        scale = max(1e-300, float(np.abs(change).max()))
        if math.isfinite(scale * len(change)):
            assert found.mean_shift == pytest.approx(float(change.mean()), abs=1e-9 * scale)
    else:
        assert found.mean_shift is None
    assert found.histogram == plain_histogram(change)
    assert found.histogram is not None
    assert found.grown == sum(found.histogram.grown)
    assert found.shrunk == sum(found.histogram.shrunk)


def plain_histogram(change: np.ndarray) -> Histogram:
    def bin_of(value: float) -> int:
        return 1024 if math.isinf(value) else max(math.frexp(value)[1] - 1, -1023)

    up = Counter(bin_of(value) for value in change.tolist() if value > 0)
    down = Counter(bin_of(value) for value in change.tolist() if value < 0)
    zero = int((change == 0).sum())
    if not up and not down:
        return Histogram(zero)
    bins = range(min([*up, *down]), max([*up, *down]) + 1)
    return Histogram(
        zero, bins[0], tuple(up[item] for item in bins), tuple(down[item] for item in bins)
    )


def exact_change(label: str, old: bytes, new: bytes) -> np.ndarray:
    kind = dtypes.numpy_dtype(label)
    pairs = zip(np.frombuffer(old, kind), np.frombuffer(new, kind), strict=True)
    return np.array([float(int(two) - int(one)) for one, two in pairs], np.float64)


def check(found: float | None, expected: float) -> None:
    if not math.isfinite(expected):
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("label", OPAQUE)
def test_types_without_numbers_count_words_or_read_halves(label: str) -> None:
    size = 4 if label == "complex32" else (4 * dtypes.KNOWN[label].bits + 7) // 8
    shape = (1,) if label == "complex32" else (4,)
    found = measured(label, shape, bytes(size), bytes([1, *bytes(size - 1)]))
    assert found.changed == 1
    assert found.unit == ("element" if label == "complex32" else "word")
    assert (found.l2 is None) == (label != "complex32")


def test_a_block_quantised_type_counts_words_only() -> None:
    found = measured("ggml_q4_1", (32,), bytes(20), bytes(19) + b"\1")
    assert (found.unit, found.elements, found.changed) == ("word", 20, 1)
    assert (found.l2, found.cosine, found.grown) == (None, None, None)


def test_the_sign_of_zero_is_a_change_of_bits_without_length() -> None:
    found = measured("float32", (1,), np.float32(0.0).tobytes(), np.float32(-0.0).tobytes())
    assert (found.changed, found.l2, found.max_abs) == (1, 0.0, 0.0)
    assert (found.relative_l2, found.cosine) == (0.0, None)


def test_a_change_from_nothing_has_no_relative_length() -> None:
    found = measured("float32", (2,), bytes(8), np.ones(2, "f4").tobytes())
    assert (found.l2, found.relative_l2, found.cosine) == (pytest.approx(2**0.5), None, None)


def test_two_nans_with_other_payloads_differ_and_do_not_poison_sums() -> None:
    old = np.array([0x7FC00001, 0x3F800000, 0x7F800000], "<u4").tobytes()
    new = np.array([0x7FC00002, 0x40000000, 0x3F800000], "<u4").tobytes()
    found = measured("float32", (3,), old, new)
    assert (found.changed, found.old_nonfinite, found.new_nonfinite) == (3, 2, 1)
    assert (found.l2, found.norm, found.relative_l2, found.cosine) == (1.0, 1.0, 1.0, 1.0)


def test_neighbouring_large_integers_stay_apart() -> None:
    old = np.array([2**62, -(2**63)], np.int64).tobytes()
    new = np.array([2**62 + 1, 2**63 - 1], np.int64).tobytes()
    assert measured("int64", (2,), old, new).max_abs == 2.0**64
    assert measured("int64", (1,), old[:8], new[:8]).l2 == 1.0
    assert measured("uint64", (1,), new[:8], old[:8]).l2 == 1.0


def test_growth_and_shrinkage_are_counted() -> None:
    old, new = np.array([1, 2, 3, 4], "f4"), np.array([2, 1, 3, 5], "f4")
    found = measured("float32", (4,), old.tobytes(), new.tobytes())
    assert (found.grown, found.shrunk, found.changed) == (2, 1, 3)
    assert found.changed_fraction == 0.75


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_scalar_is_one_element(shape: tuple[int, ...]) -> None:
    found = measured("bfloat16", shape, b"\x80\x3f", b"\x00\x40")
    assert (found.elements, found.l2, found.cosine) == (1, 1.0, 1.0)


def test_a_tensor_without_elements_has_no_change() -> None:
    found = measured("float32", (0, 3), b"", b"")
    assert (found.elements, found.changed, found.changed_fraction, found.l2) == (0, 0, 0.0, 0.0)


@pytest.mark.parametrize("label", ["float32", "bfloat16", "float8_e4m3fn", "complex64"])
def test_blocks_and_chunks_add_up(label: str) -> None:
    kind = dtypes.numpy_dtype(label)
    count = CHUNK_WORDS + BLOCK_WORDS + 7
    random = np.random.default_rng(7)
    old = random.standard_normal(count).astype(kind)
    new = (old.astype("c16" if label == "complex64" else "f8") * 1.25).astype(kind)
    found = measured(label, (count,), old.tobytes(), new.tobytes())
    wide = np.complex128 if label == "complex64" else np.float64
    change = new.astype(wide) - old.astype(wide)
    assert found.l2 == pytest.approx(float(np.linalg.norm(change)), rel=1e-12)
    assert found.norm == pytest.approx(float(np.linalg.norm(old.astype(wide))), rel=1e-12)
    assert found.elements == count


def test_the_largest_change_is_found_in_whichever_part_it_is_first() -> None:
    shape = (3, CHUNK_WORDS // 2)
    old = np.zeros(shape, "f4")
    new = old.copy()
    new[1, 7] = new[2, 11] = -3
    new[2, 10] = 2
    found = measured("float32", shape, old.tobytes(), new.tobytes())
    assert (found.max_abs, found.max_at) == (3.0, (1, 7))
    assert found.mean_shift == pytest.approx(-4 / old.size)
    assert found.histogram == Histogram(old.size - 3, 1, (1,), (2,))


def test_signs_flip_between_numbers_on_both_sides_of_zero() -> None:
    old = np.array([1, -1, 0.0, 2, 1e-200, -1], "f8")
    new = np.array([-1, 2, -1, 3, -1e-200, -0.0], "f8")
    assert measured("float64", (6,), old.tobytes(), new.tobytes()).sign_flips == 3


def test_elements_that_are_not_finite_keep_their_place() -> None:
    old = np.array([np.nan, 1, np.inf, 1, 1], "f4")
    new = np.array([1, 1, 1, np.nan, 5], "f4")
    found = measured("float32", (5,), old.tobytes(), new.tobytes())
    assert (found.max_at, found.max_abs, found.mean_shift) == ((4,), 4.0, 2.0)
    assert found.histogram == Histogram(1, 2, (1,), (0,))


def test_one_thread_gives_the_same_bits_as_several() -> None:
    random = np.random.default_rng(3)
    old = random.standard_normal(CHUNK_WORDS * 2 + 5).astype("f4")
    new = old + random.standard_normal(len(old)).astype("f4") * np.float32(1e-3)
    first = measured("float32", old.shape, old.tobytes(), new.tobytes())
    with in_place():
        assert measured("float32", old.shape, old.tobytes(), new.tobytes()) == first


def test_equal_chunks_are_loaded_once_for_their_norm() -> None:
    values = np.arange(CHUNK_WORDS + 512, dtype="f4")
    data = values.tobytes()
    changed = values.copy()
    changed[-1] += 1
    loads: list[tuple[str, int]] = []

    def counted(side: str, source: Held) -> Held:
        def load(number: int) -> bytes | memoryview:
            loads.append((side, number))
            return source.load(number)

        return Held(source.tensor, load)

    first, second, third = (bytes([number]) * 32 for number in range(3))
    shape = values.shape
    pair = Pair(
        "w",
        counted("old", held("float32", shape, data, (first, second))),
        counted("new", held("float32", shape, changed.tobytes(), (first, third))),
    )
    (found,) = measure([pair])
    assert sorted(loads) == [("new", 0), ("new", 1), ("old", 1)]
    assert (found.changed, found.l2) == (1, 1.0)
    assert found.norm == pytest.approx(float(np.linalg.norm(values.astype("f8"))), rel=1e-12)


def test_equal_chunks_of_opaque_types_are_not_loaded() -> None:
    def never(_: int) -> bytes:
        raise AssertionError("loaded")

    content = Content(2048, 1, b"", (b"x" * 32,))
    same = Held(Tensor("ggml_q4_1", (64,), content), never)
    (found,) = measure([Pair("w", same, same)])
    assert (found.elements, found.changed) == (2048, 0)


def test_words_of_another_size_all_changed() -> None:
    old = Held(Tensor("new_type", (8,), Content(8, 1, bytes(8), ())), lambda _: bytes(8))
    new = Held(Tensor("new_type", (8,), Content(16, 1, bytes(16), ())), lambda _: bytes(16))
    (found,) = measure([Pair("w", old, new)])
    assert (found.elements, found.changed, found.l2) == (16, 16, None)


def test_scales_that_are_powers_of_two_are_read_as_numbers() -> None:
    old = np.array([1.0], ml_dtypes.float8_e8m0fnu).tobytes()
    new = np.array([4.0], ml_dtypes.float8_e8m0fnu).tobytes()
    assert measured("float8_e8m0fnu", (1,), old, new).l2 == 3.0
