from __future__ import annotations

import math
import platform
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc.base.errors import FormatError
from mvc.codec import lowrank
from mvc.codec.lowrank import Factors, pieces, predict, predict_top, rows_of
from mvc.codec.lowrank_words import FLOATS, cut, joined
from mvc.codec.segments import UNITS, Segments, join, split

KINDS = sorted(FLOATS)


def special(kind: str) -> list[int]:
    spec = FLOATS[kind]
    infinity, least = spec.infinity, 1 << spec.mantissa
    sizes = [0, 1, 2, least - 1, least, least + 1, infinity - 1, infinity, infinity + 1]
    sizes += [spec.bias << spec.mantissa, infinity | least // 2]
    return [size | sign << (8 * spec.word - 1) for size in sizes for sign in (0, 1)]


def grid(rows: int, columns: int, step: int) -> lowrank.Factor:
    """Values that need no random numbers."""
    places = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    return ((places * 7919 + step) % 509 - 254) * 2.0**-12


@st.composite
def matrices(draw: st.DrawFn) -> tuple[str, int, int, bytes, Factors]:
    kind = draw(st.sampled_from(KINDS))
    word = FLOATS[kind].word
    columns = draw(st.sampled_from([1, 2, 7, 64, 300]) | st.integers(1, 40))
    start = draw(st.integers(0, 3 * columns))
    count = draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    how = draw(st.sampled_from(["bits", "special", "usual", "small"]))
    if how == "bits":
        data = rng.bytes(count * word)
    elif how == "special":
        data = rng.choice(np.array(special(kind), UNITS[word]), count).tobytes()
    else:
        scale = 0.05 if how == "usual" else 2.0 ** (2 - FLOATS[kind].bias)
        data = b"".join(
            reference_round(value, kind).to_bytes(word, "little")
            for value in (rng.normal(0, 1, count) * scale).tolist()
        )
    rank = draw(st.integers(1, 9))
    size = draw(st.sampled_from([2.0**-60, 2.0**-12, 1.0, 2.0**40]))
    left = np.round(rng.normal(0, 1, (rows_of(count, columns, start), rank)) * 4096) * size
    right = np.round(rng.normal(0, 1, (rank, columns)) * 4096) * 2.0**-24
    return kind, columns, start, data, Factors(left, right)


def reference_round(value: float, kind: str) -> int:
    """Round to nearest, ties to even, in exact arithmetic."""
    spec = FLOATS[kind]
    sign = (1 << (8 * spec.word - 1)) if math.copysign(1.0, value) < 0 else 0
    size = abs(Fraction(value))
    exponent = max(math.frexp(value)[1] - 1 if value else 1 - spec.bias, 1 - spec.bias)
    digits = round(size / Fraction(2) ** (exponent - spec.mantissa))
    if digits >> (spec.mantissa + 1):
        digits, exponent = digits >> 1, exponent + 1
    field = exponent + spec.bias if digits >> spec.mantissa else 0
    if field > 2 * spec.bias:
        return sign | spec.infinity
    return sign | field << spec.mantissa | digits & ((1 << spec.mantissa) - 1)


def reference_value(word: int, kind: str) -> float | None:
    spec = FLOATS[kind]
    size = word & ((1 << (8 * spec.word - 1)) - 1)
    field, digits = size >> spec.mantissa, size & ((1 << spec.mantissa) - 1)
    if size >= spec.infinity or (spec.word == 8 and not field and digits):
        return None
    digits |= (1 << spec.mantissa) if field else 0
    value = float(Fraction(digits) * Fraction(2) ** (max(field, 1) - spec.bias - spec.mantissa))
    return -value if word != size else value


def reference(kind: str, columns: int, start: int, data: bytes, factors: Factors) -> list[int]:
    word = FLOATS[kind].word
    first = start // columns
    out = []
    for at, base in enumerate(np.frombuffer(data, UNITS[word]).tolist()):
        acc = reference_value(base, kind)
        row, column = divmod(start + at, columns)
        result = base
        if acc is not None:
            for k in range(factors.rank):
                acc += float(factors.left[row - first, k]) * float(factors.right[k, column])
            rounded = reference_round(acc, kind)
            if rounded & FLOATS[kind].infinity != FLOATS[kind].infinity:
                result = rounded
        out.append(result)
    return out


def words(segments: Segments, kind: str) -> list[int]:
    word = FLOATS[kind].word
    return np.frombuffer(join(segments, word), UNITS[word]).tolist()


@given(matrices())
def test_a_prediction_is_that_of_exact_rounding(
    case: tuple[str, int, int, bytes, Factors],
) -> None:
    kind, columns, start, data, factors = case
    predicted = predict(split(data, FLOATS[kind].word), kind, columns, start, factors)
    assert words(predicted, kind) == reference(kind, columns, start, data, factors)


@given(matrices(), st.data())
def test_where_a_matrix_is_cut_changes_nothing(
    case: tuple[str, int, int, bytes, Factors], data: st.DataObject
) -> None:
    kind, columns, start, raw, factors = case
    base = split(raw, FLOATS[kind].word)
    whole = words(predict(base, kind, columns, start, factors), kind)
    at = data.draw(st.integers(0, len(whole) - 1))
    for begin, end in ((0, at), (at, len(whole))):
        if begin == end:
            continue
        row = (start + begin) // columns - start // columns
        rows = factors.left[row : row + rows_of(end - begin, columns, start + begin)]
        part = tuple(segment[begin:end] for segment in base)
        some = predict(part, kind, columns, start + begin, Factors(rows, factors.right))
        assert words(some, kind) == whole[begin:end]


@pytest.mark.parametrize("limit", [1, 5, 64, 1000, 32768])
@pytest.mark.parametrize("columns", [1, 3, 64, 100, 2000])
@pytest.mark.parametrize("start", [0, 1, 63, 4000])
def test_pieces_cover_a_chunk_once_and_in_order(limit: int, columns: int, start: int) -> None:
    count, at = 3210, 0
    for piece in pieces(count, columns, start, limit):
        rows, width = (part.stop - part.start for part in (piece.rows, piece.columns))
        assert piece.words == slice(at, at + rows * width)
        assert rows * width <= limit
        row, column = divmod(start + at, columns)
        assert (piece.rows.start, piece.columns.start) == (row - start // columns, column)
        assert piece.columns.stop <= columns
        assert rows == 1 or width == columns
        at += rows * width
    assert at == count


@pytest.mark.parametrize("kind", KINDS)
def test_many_blocks_give_what_one_word_at_a_time_gives(kind: str) -> None:
    word, columns, count = FLOATS[kind].word, 700, 80_000
    data = np.random.default_rng(1).bytes(count * word)
    left, right = grid(rows_of(count, columns, 333), 3, 5), grid(3, columns, 11)
    predicted = words(predict(split(data, word), kind, columns, 333, Factors(left, right)), kind)
    places = np.linspace(0, count - 1, 500).astype(int).tolist()
    for at in places:
        row, column = divmod(333 + at, columns)
        one = Factors(left[row : row + 1], right[:, column : column + 1])
        assert [predicted[at]] == reference(kind, 1, 0, data[at * word : (at + 1) * word], one)


@pytest.mark.parametrize("kind", KINDS)
def test_words_without_a_value_predict_themselves(kind: str) -> None:
    spec = FLOATS[kind]
    base = np.array(special(kind), UNITS[spec.word])
    lost = (base & UNITS[spec.word].type(spec.infinity)) == spec.infinity
    factors = Factors(np.ones((1, 1)), np.ones((1, len(base))))
    predicted = predict(split(base.tobytes(), spec.word), kind, len(base), 0, factors)
    after = np.array(words(predicted, kind), UNITS[spec.word])
    assert np.array_equal(after[lost], base[lost])
    assert not np.array_equal(after[~lost], base[~lost])
    assert ((after[~lost] & UNITS[spec.word].type(spec.infinity)) != spec.infinity).all()


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_a_sum_that_overflows_predicts_the_base(kind: str) -> None:
    spec = FLOATS[kind]
    base = split((spec.infinity - 1).to_bytes(spec.word, "little") * 2, spec.word)
    huge = Factors(np.array([[2.0**127]]), np.array([[2.0**60, -(2.0**60)]]))
    assert words(predict(base, kind, 2, 0, huge), kind) == [spec.infinity - 1] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_segments_are_joined_and_cut(kind: str) -> None:
    data = np.random.default_rng(2).bytes(80)
    whole = joined(split(data, FLOATS[kind].word), FLOATS[kind])
    assert whole.tobytes() == data
    assert bytes(join(cut(whole, FLOATS[kind]), FLOATS[kind].word)) == data


def test_without_products_the_prediction_is_the_base_but_for_negative_zeros() -> None:
    data = np.random.default_rng(3).bytes(40_000) + bytes(4)
    factors = Factors(np.zeros((1, 2)), grid(2, 10_001, 1))
    assert bytes(join(predict(split(data, 4), "float32", 10_001, 0, factors), 4)) == data


# Three rows of five words, the first word missing. Made by `reference`, never to be made again.
GOLDEN = {
    "float16": "023c033c02bcd18f2819e919cb1a9e9aff7b007c017c381aae3a0c3c",
    "bfloat16": "803f813f80bffab9253b3d3b553b50bb7f7f807f817f39bb563f893f",
    "float32": (
        "604c803f493d803f323b80bf0028fab900f8243b002b3d3b005e553b00cf4fbbffff7f7f0000807f"
        "0100807f00f238bbb7c1553f855d803f"
    ),
    "float64": (
        "000000108c09f03f01000000a907f03f000000306607f0bf0000000000453fbf00000000009f643f"
        "0100000000000000ffffffffffff0f0000000000e0f969bfffffffffffffef7f000000000000f07f"
        "010000000000f07f00000000401e67bfabaaaaca36b8ea3f09000080af0bf03f"
    ),
}


def golden_case(kind: str) -> tuple[bytes, Factors]:
    spec = FLOATS[kind]
    one, least = spec.bias << spec.mantissa, 1 << spec.mantissa
    negative = 1 << (8 * spec.word - 1)
    base = [one, one + 1, negative | one, 0, negative, 1, least - 1, negative | least]
    base += [
        spec.infinity - 1,
        spec.infinity,
        spec.infinity | 1,
        one // 2,
        one - least // 3,
        one + 9,
    ]
    return np.array(base, UNITS[spec.word]).tobytes(), Factors(grid(3, 4, 17), grid(4, 5, 23))


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_never_change(kind: str) -> None:
    data, factors = golden_case(kind)
    predicted = predict(split(data, FLOATS[kind].word), kind, 5, 1, factors)
    assert bytes(join(predicted, FLOATS[kind].word)).hex() == GOLDEN[kind]
    assert words(predicted, kind) == reference(kind, 5, 1, data, factors)


PROGRAM = """
import ctypes, ctypes.util, hashlib, sys
import numpy as np
from mvc.codec.lowrank import Factors, predict, rows_of
from mvc.codec.lowrank_words import FLOATS
from mvc.codec.segments import UNITS, join, split

if "flush" in sys.argv:
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    state = (ctypes.c_uint8 * 64)()
    libm.fegetenv(state)
    control = int.from_bytes(bytes(state[28:32]), "little") | 0x8040
    state[28:32] = list(control.to_bytes(4, "little"))
    libm.fesetenv(state)
    assert float(np.float32(2**-126) * np.float32(0.5)) == 0.0

rng = np.random.default_rng(4)
seen = hashlib.sha256()
for kind, spec in sorted(FLOATS.items()):
    count, columns = 50_000, 384
    left = rng.integers(-4096, 4096, (rows_of(count, columns, 100), 8)) * 2.0**-20
    right = rng.integers(-4096, 4096, (8, columns)) * 2.0**-16
    least = 1 << spec.mantissa
    random = rng.integers(0, 2**63, count, np.uint64).astype(UNITS[spec.word])
    small = (random % UNITS[spec.word].type(2 * least)).astype(UNITS[spec.word])
    for words in (random, small):
        for scale in (1.0, 2.0 ** (12 - min(spec.bias, 150)) / 2):
            factors = Factors(left, right * scale)
            base = split(words.tobytes(), spec.word)
            seen.update(join(predict(base, kind, columns, 100, factors), spec.word))
print(seen.hexdigest())
"""


def digest(*arguments: str, **environment: str) -> str:
    settings = [f"{name}={value}" for name, value in environment.items()]
    done = subprocess.run(
        ["env", *settings, sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_threads_and_vector_units_predict_the_same() -> None:
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    one = digest(OPENBLAS_NUM_THREADS="1")
    assert digest(OPENBLAS_NUM_THREADS="2") == one
    assert digest(NPY_DISABLE_CPU_FEATURES=" ".join(found)) == one


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
    reason="knows one layout of the floating-point environment",
)
def test_a_processor_that_flushes_subnormals_to_zero_predicts_the_same() -> None:
    assert digest("flush") == digest()


def test_factors_that_do_not_fit_are_refused() -> None:
    base = split(bytes(40), 4)
    good = Factors(np.ones((3, 2)), np.ones((2, 4)))
    predict(base, "float32", 4, 1, good)
    with pytest.raises(FormatError, match="rows"):
        predict(base, "float32", 4, 3, good)
    with pytest.raises(FormatError, match="columns"):
        predict(base, "float32", 5, 1, good)
    with pytest.raises(FormatError, match="together"):
        Factors(np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(FormatError, match="together"):
        Factors(np.ones(3), np.ones((3, 4)))
    for rank in (0, 257):
        with pytest.raises(FormatError, match="rank"):
            Factors(np.ones((3, rank)), np.ones((rank, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-310, 2.0**-201, -(2.0**201)])
def test_factors_beyond_the_limits_are_refused(value: float) -> None:
    with pytest.raises(FormatError, match="limits"):
        Factors(np.full((1, 1), value), np.ones((1, 1)))
    with pytest.raises(FormatError, match="limits"):
        Factors(np.ones((1, 1)), np.full((1, 1), value))
    with pytest.raises(FormatError, match="limits"):
        Factors(np.ones((1, 1), np.float32), np.ones((1, 1)))


def merged(rows: int, columns: int, rank: int) -> tuple[Segments, Segments, Factors]:
    rng = np.random.default_rng(5)
    base = rng.normal(0, 0.05, (rows, columns)).astype("<f4")
    left, right = rng.normal(0, 0.02, (rows, rank)), rng.normal(0, 0.1, (rank, columns))
    new = (base + left @ right).astype("<f4")
    return split(new.tobytes(), 4), split(base.tobytes(), 4), Factors(left, right)


def entropy(values: np.ndarray) -> float:
    share = np.unique(values, return_counts=True)[1] / len(values)
    return float(-share @ np.log2(share))


def ordered(top: np.ndarray) -> np.ndarray:
    signed = top.view("<i2").astype(np.int64)
    return np.where(signed < 0, -(signed & 0x7FFF) - 1, signed)


def test_a_top_alone_is_predicted_to_within_what_the_base_leaves_open() -> None:
    new, base, factors = merged(256, 384, 4)
    top, context = predict_top(base[0], "float32", 384, 0, factors)
    assert (top.dtype, context.dtype) == (new[0].dtype, np.dtype(np.uint8))
    off = ordered(new[0]) - ordered(top)
    groups = [off[context == one] for one in range(32)]
    left_over = sum(entropy(group) * len(group) for group in groups if len(group)) / len(off)
    assert left_over < 0.8 < 5 < entropy(ordered(new[0]) - ordered(base[0]))
    steady = [off[context == 16 + one] for one in range(8)]
    means = [float(group.mean()) for group in steady]
    assert means == sorted(means)
    assert means[0] < -0.3
    assert means[-1] > 0.3


@given(matrices())
def test_a_predicted_top_is_that_of_the_midpoint(
    case: tuple[str, int, int, bytes, Factors],
) -> None:
    kind, columns, start, raw, factors = case
    if kind != "float32":
        with pytest.raises(ValueError, match="float32"):
            predict_top(split(raw, FLOATS[kind].word)[0], kind, columns, start, factors)
        return
    base = split(raw, 4)
    middle = np.full_like(base[1], 0x8000)
    whole = predict((base[0], middle), kind, columns, start, factors)
    top, context = predict_top(base[0], kind, columns, start, factors)
    assert np.array_equal(top, whole[0])
    assert int(context.max()) < 32


def test_contexts_never_change() -> None:
    base = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 0.0], "<f4")
    added = [0.0, 0.003, -0.003, 1.0, -0.4, -0.9, 0.0, 0.003, -0.003, 0.0]
    factors = Factors(np.array([[1.0]]), np.array([added]))
    top, context = predict_top(split(base.tobytes(), 4)[0], "float32", 10, 0, factors)
    assert top.tobytes().hex() == "803f803f803f00401a3fd43d80bf80bf80bf0000"
    assert context.tolist() == [20, 23, 16, 26, 12, 6, 19, 23, 16, 20]
