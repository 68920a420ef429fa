"""Words of every shape that a chunk may hold, and what their sections turn out to be."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from mvc.base.dtypes import SEGMENTS, Family
from mvc.codec import chunk
from mvc.codec.chunk import DEFAULT, EFFORTS, Coded, Effort
from mvc.codec.matrix import Matrix
from mvc.codec.plain import Mode, Plane
from mvc.codec.section import Columns
from mvc.codec.segments import Segments, join, split

Words = NDArray[np.unsignedinteger]

WORDS = sorted(SEGMENTS)
FAMILIES: tuple[Family, ...] = ("float", "int", "opaque")
THRESHOLDS = [1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 1023, 4095, 4096, 4097, 8191, 8192, 8193]
LONG = [16383, 16384, 16385, 65535, 65536, 65537, 100_000]
SPECIAL = {
    1: [0x00, 0x80, 0x7F, 0xFF, 0x7E, 0x01],
    2: [0x0000, 0x8000, 0x7F80, 0x7FC1, 0xFF81, 0x0001, 0x8001, 0x7F7F, 0xFFFF],
    4: [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7F800001, 0x7FC00001, 0xFFFFFFFF, 1, 0x80000001],
    8: [0, 1 << 63, 0x7FF0000000000000, 0x7FF0000000000001, 0xFFF8DEADBEEF0001, 1, 2**64 - 1],
}
FLOATS = {1: ml_dtypes.float8_e4m3fn, 2: np.float16, 4: np.float32, 8: np.float64}


@dataclass(frozen=True)
class Case:
    """A chunk, what it might be coded against, and how."""

    shape: str
    words: Words
    base: Words | None = None
    family: Family = "float"
    effort: Effort = DEFAULT
    columns: Columns | None = None
    matrix: Matrix | None = None

    @property
    def word(self) -> int:
        return self.words.itemsize

    @property
    def segments(self) -> Segments:
        return split(self.words.tobytes(), self.word)

    @property
    def base_segments(self) -> Segments | None:
        return None if self.base is None else split(self.base.tobytes(), self.word)

    def encode(self) -> Coded:
        return chunk.encode(
            self.segments,
            self.family,
            self.base_segments,
            effort=self.effort,
            columns=self.columns,
            matrix=self.matrix,
        )

    def decode(self, coded: Coded, some: int | None = None) -> Segments:
        """Decode the first `some` sections, or all."""
        base = self.base_segments if coded.transform.needs_base else None
        return chunk.decode(
            coded.transform, coded.sections[:some], self.word, len(self.words), base
        )


def same(one: Segments, two: Segments) -> bool:
    """Tell whether segments are equal bit for bit, and of the same types."""
    return [(part.dtype, part.tobytes()) for part in one] == [
        (part.dtype, part.tobytes()) for part in two
    ]


def check(case: Case) -> Coded:
    """Assert that a case comes back whole and in part, and is no longer than it may be."""
    coded = case.encode()
    segments = case.segments
    assert bytes(join(case.decode(coded), case.word)) == case.words.tobytes()
    for some in range(1, len(segments)):
        assert same(case.decode(coded, some), segments[:some])
    for section, segment in zip(coded.sections, segments, strict=True):
        assert len(section) <= segment.nbytes + 1
    return coded


def _bits(values: NDArray[np.generic], word: int) -> Words:
    return np.ascontiguousarray(values).view(f"<u{word}")


def noise(rng: np.random.Generator, count: int, word: int) -> Words:
    return np.frombuffer(rng.bytes(count * word), f"<u{word}")


def special(rng: np.random.Generator, count: int, word: int) -> Words:
    return rng.choice(np.array(SPECIAL[word], f"<u{word}"), count)


def constant(rng: np.random.Generator, count: int, word: int) -> Words:
    return np.full(count, noise(rng, 1, word)[0])


def weights(rng: np.random.Generator, count: int, word: int) -> Words:
    """Floats as in a trained layer."""
    return _bits(rng.normal(0, 0.02 if word > 1 else 1.0, count).astype(FLOATS[word]), word)


def rising(rng: np.random.Generator, count: int, word: int) -> Words:
    """Numbers that rise by a fixed step."""
    steps = np.arange(count, dtype=np.uint64) * np.uint64(rng.integers(0, 300))
    return (steps + np.uint64(rng.integers(0, 1 << 40))).astype(f"<u{word}")


def repeated(rng: np.random.Generator, count: int, word: int) -> Words:
    """A few hundred words again and again."""
    return np.resize(noise(rng, int(rng.integers(2, 400)), word), count)


def small(rng: np.random.Generator, count: int, word: int) -> Words:
    """Numbers below 3, and few others."""
    words = rng.integers(0, 3, count).astype(f"<u{word}")
    large = rng.random(count) < rng.choice([0.0, 0.0005])
    words[large] = noise(rng, int(large.sum()), word)
    return words


def gathered(rng: np.random.Generator, count: int, word: int) -> Words:
    """Numbers of all sizes, small ones more often."""
    octaves = rng.geometric(0.3, count).clip(0, word * 8 - 1)
    return (rng.random(count) * 2.0**octaves).astype(f"<u{word}")


def palette(rng: np.random.Generator, count: int, word: int) -> Words:
    """Integers of 4 or 8 bits times a scale, as floats of the word."""
    reach = int(rng.choice([8, 127]))
    scale = rng.random() * 0.01 + 0.001
    return _bits((rng.integers(-reach, reach, count) * scale).astype(FLOATS[word]), word)


def narrow(rng: np.random.Generator, count: int, word: int) -> Words:
    """Floats of a smaller type in a wider one."""
    values = rng.normal(0, 0.02, count)
    kind = {1: ml_dtypes.float8_e4m3fn, 2: ml_dtypes.float8_e5m2, 8: np.float32}.get(word)
    inner = kind or rng.choice([np.float16, ml_dtypes.bfloat16])
    return _bits(values.astype(inner).astype(FLOATS[word]), word)


def mixed(rng: np.random.Generator, count: int, word: int) -> Words:
    """Stretches of different shapes: what a sample sees is not what all of it is."""
    makers = [noise, constant, weights, small, palette]
    cut = sorted(rng.integers(0, count + 1, 2).tolist())
    parts = [
        makers[int(rng.integers(len(makers)))](rng, size, word)
        for size in np.diff([0, *cut, count]).tolist()
        if size
    ]
    return np.concatenate(parts)


def blocks(rng: np.random.Generator, count: int, word: int, stride: int = 18) -> Words:
    """Quantised blocks: a half-precision scale before each run of codes."""
    size = count * word
    rows = rng.integers(0, 256, (-(-size // stride), stride), np.uint8)
    scales = rng.normal(0, 0.01, len(rows)).astype("<f2").view(np.uint8).reshape(-1, 2)
    rows[:, : min(stride, 2)] = scales[:, : min(stride, 2)]
    return np.frombuffer(rows.tobytes()[:size], f"<u{word}")


ALONE: dict[str, Callable[[np.random.Generator, int, int], Words]] = {
    "noise": noise,
    "special": special,
    "constant": constant,
    "weights": weights,
    "rising": rising,
    "repeated": repeated,
    "small": small,
    "gathered": gathered,
    "palette": palette,
    "narrow": narrow,
    "mixed": mixed,
    "blocks": blocks,
}


def trained(rng: np.random.Generator, base: Words) -> Words:
    """Floats after training on: decay by a share, and steps of one size."""
    with np.errstate(all="ignore"):
        values = base.view(FLOATS[base.itemsize]).astype(np.float64)
        moved = values * (1 - 1e-4) + rng.choice([-1.0, 1.0], len(base)) * rng.choice([1e-5, 1e-3])
        return _bits(moved.astype(FLOATS[base.itemsize]), base.itemsize)


def by_row(rng: np.random.Generator, base: Words) -> Words:
    """Floats after training on, each row of `ROW` words with a step of its own size."""
    steps = np.repeat(2.0 ** -rng.integers(6, 20, len(base) // ROW + 1), ROW)[: len(base)]
    with np.errstate(all="ignore"):
        values = base.view(FLOATS[base.itemsize]).astype(np.float64)
        moved = values + steps * rng.normal(0, 0.02, len(base))
        return _bits(moved.astype(FLOATS[base.itemsize]), base.itemsize)


def stepped(rng: np.random.Generator, base: Words) -> Words:
    """Words one or two steps off."""
    return base + rng.integers(-2, 3, len(base)).astype(f"<i{base.itemsize}").view(base.dtype)


def hardly(rng: np.random.Generator, base: Words) -> Words:
    """Words of which few runs changed."""
    words = base.copy()
    for at in rng.integers(0, len(base), 1 + len(base) // 2000).tolist():
        words[at : at + 40] += base.dtype.type(rng.integers(1, 200))
    return words


def rows(rng: np.random.Generator, base: Words) -> Words:
    """Words of which whole rows changed in every bit."""
    words = base.copy()
    for at in rng.integers(0, len(base), 1 + len(base) // 3000).tolist():
        part = words[at : at + 512]
        part[:] = noise(rng, len(part), base.itemsize)
    return words


def equal(_: np.random.Generator, base: Words) -> Words:
    """The same words."""
    return base


def far(rng: np.random.Generator, base: Words) -> Words:
    """Words of another training."""
    return weights(rng, len(base), base.itemsize)


AGAINST: dict[str, Callable[[np.random.Generator, Words], Words]] = {
    "trained": trained,
    "by row": by_row,
    "stepped": stepped,
    "hardly": hardly,
    "rows": rows,
    "equal": equal,
    "far": far,
}


def resized(rng: np.random.Generator, base: Words, how: str) -> Words:
    """Return a base cut short, made longer, or left alone."""
    if how == "shorter":
        return base[: max(1, len(base) * 3 // 4)]
    if how == "one":
        return base[:1]
    if how == "longer":
        return np.concatenate([base, weights(rng, 1 + len(base) // 3, base.itemsize)])
    return base


ROW = 100
DTYPES = {1: ["float8_e4m3fn"], 2: ["float16", "bfloat16"], 4: ["float32"], 8: ["float64"]}
LENGTHS = ("same", "shorter", "longer", "one")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return chunks of every shape, length, base, family and effort."""
    word = draw(st.sampled_from(WORDS))
    count = draw(
        st.sampled_from(THRESHOLDS) | st.integers(1, 300) | st.sampled_from(LONG), label="count"
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    family = draw(st.sampled_from(FAMILIES))
    effort = draw(st.sampled_from(sorted(EFFORTS)))
    shape = draw(st.sampled_from([*ALONE, *AGAINST]))
    columns = None
    if draw(st.booleans()):
        stride = draw(st.integers(2, 256))
        columns = Columns(stride, draw(st.integers(0, stride - 1)))
    matrix = None
    if draw(st.booleans()):
        width = draw(st.sampled_from([1, 15, 16, ROW, 4096]) | st.integers(1, count))
        dtype = draw(st.sampled_from(DTYPES[word]))
        matrix = Matrix(dtype, width, draw(st.integers(0, 1 << 22)))
    if shape in ALONE:
        words = ALONE[shape](rng, count, word)
        return Case(shape, words, None, family, EFFORTS[effort], columns, matrix)
    base = ALONE[draw(st.sampled_from(["weights", "special", "small", "noise"]))](rng, count, word)
    words = AGAINST[shape](rng, base)
    held = resized(rng, base, draw(st.sampled_from(LENGTHS)))
    return Case(shape, words, held, family, EFFORTS[effort], columns, matrix)


_LENGTH = struct.Struct("<I")
_PLANE = struct.Struct("<BI")
_SIZES = struct.Struct("<HIII")


def anatomy(section: bytes, width: int) -> Iterator[str]:
    """Yield what a section is made of, such as `groups:base:9`, `gaps`, `planes:zstd`.

    What stands inside another section comes behind `>`.
    """
    mode, body = section[0], section[1:]
    name = Mode(mode).name.lower()
    if mode == Mode.PLANES:
        while body:
            code, length = _PLANE.unpack_from(body)
            yield f"planes:{Plane(code).name.lower()}"
            body = body[_PLANE.size + length :]
    elif mode == Mode.GROUPS:
        yield {
            1: f"groups:base:{body[1]}",
            6: f"groups:magnitude:{body[1]}",
            2: "groups:column",
            3: "groups:size",
            5: "groups:place",
        }.get(body[0], "groups:as above")
        if body[0] == 3:
            *_, length = _SIZES.unpack_from(body[3:])
            coded, body = body[3 + _SIZES.size :][:length], body[_SIZES.size + length :]
            yield from (f"levels>{inner}" for inner in anatomy(coded, 1))
        body = body[3:]
        while body:
            (length,) = _LENGTH.unpack_from(body)
            part, body = body[_LENGTH.size :][:length], body[_LENGTH.size + length :]
            yield from (f"groups>{inner}" for inner in anatomy(part, width))
    elif mode == Mode.LOOKUP:
        yield name
        (pairs,) = _LENGTH.unpack_from(body)
        inside = body[_LENGTH.size + pairs * (2 + width) :]
        yield from (f"lookup>{inner}" for inner in anatomy(inside, 2))
    elif mode == Mode.SPARSE:
        yield name
        (length,) = _LENGTH.unpack_from(body)
        inside = body[_LENGTH.size + length :]
        yield from (f"sparse>{inner}" for inner in anatomy(inside, width))
    else:
        yield name
