"""Strategies for the contents of model files, with all that floats can hold."""

from __future__ import annotations

import io
import math

import numpy as np
from hostile import PAYLOADS
from hypothesis import strategies as st

from tests.e2e.world import Part, safetensors

BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "I64": 64,
    "I8": 8,
    "U16": 16,
    "BOOL": 8,
}
# Quiet and signalling NaN with payloads, -0.0, subnormals, infinities.
SPECIAL = {
    64: (0x7FF8000000000001, 0xFFF0000000BEEF01, 1 << 63, 1, 0x7FF0000000000000),
    32: (0x7FC00001, 0xFFA0BEEF, 1 << 31, 1, 0x007FFFFF, 0x7F800000),
    16: (0x7E01, 0xFFC1, 0x7FA1, 0x8000, 0x0001, 0x0080, 0x7C00),
    8: (0x7F, 0xFF, 0x80, 0x01, 0x7C, 0x05),
    4: (0xF8,),
}
SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (0,),
    (3, 0),
    (1,),
    (2, 3),
    (16, 16),
    (40, 50),
    (2**20 // 4 + 2,),
)
NAMES = (
    "w",
    "layer.0.weight",
    "layer.0.bias",
    "layer/1",
    "",
    "../x",
    "C:\\x",
    "nul\0",
    "line\nbreak",
    "\x1b[31mred",
    "ü" * 20,
    "a.",
    "a",
    ".",
)


def payload(label: str, shape: tuple[int, ...], seed: int) -> bytes:
    """Return the bytes of a tensor: plausible values with special ones strewn in."""
    bits = BITS[label]
    size = (math.prod(shape) * bits + 7) // 8
    draw = np.random.default_rng(seed)
    if label == "F32" and seed % 2:
        words = draw.standard_normal(size // 4, np.float32).view(np.uint32)
    else:
        kind = np.dtype(f"u{max(1, bits // 8)}")
        words = np.frombuffer(draw.bytes(size), kind).copy()
    if len(words):
        special = np.array(SPECIAL[bits], np.uint64).astype(words.dtype)
        places = draw.integers(0, len(words), min(len(words), 1 + len(words) // 7))
        words[places] = draw.choice(special, len(places))
    return words.tobytes()


@st.composite
def parts(draw: st.DrawFn, *, shapes: tuple[tuple[int, ...], ...] = SHAPES[:-1]) -> list[Part]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    found: list[Part] = []
    for name in names:
        label = draw(st.sampled_from(sorted(BITS)))
        shape = draw(st.sampled_from(shapes))
        if label == "F4" and math.prod(shape) % 2:
            shape = (*shape, 2)
        found.append((name, label, shape, payload(label, shape, draw(st.integers(0, 2**31)))))
    return found


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Return arrays as a program holds them, bfloat16 and float8 among them."""
    import ml_dtypes

    kinds = {
        "F32": np.float32,
        "F64": np.float64,
        "F16": np.float16,
        "I64": np.int64,
        "BF16": ml_dtypes.bfloat16,
        "F8_E4M3": ml_dtypes.float8_e4m3fn,
    }
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=3))
    found = {}
    for name in names:
        label = draw(st.sampled_from(sorted(kinds)))
        shape = draw(st.sampled_from(SHAPES[:-1]))
        data = payload(label, shape, draw(st.integers(0, 2**31)))
        found[name] = np.frombuffer(data, kinds[label]).reshape(shape)
    return found


@st.composite
def npy(draw: st.DrawFn) -> bytes:
    shape = draw(st.sampled_from(SHAPES[:-1]))
    label, kind = draw(st.sampled_from([("F32", "<f4"), ("F64", ">f8"), ("I8", "|i1")]))
    array = np.frombuffer(payload(label, shape, draw(st.integers(0, 99))), kind).reshape(shape)
    out = io.BytesIO()
    np.save(out, array.T if draw(st.booleans()) else array)
    return out.getvalue()


@st.composite
def npz(draw: st.DrawFn) -> bytes:
    out = io.BytesIO()
    save = draw(st.sampled_from([np.savez, np.savez_compressed]))
    shape = draw(st.sampled_from(SHAPES[:-1]))
    data = payload("F32", shape, draw(st.integers(0, 99)))
    save(out, w=np.frombuffer(data, "<f4").reshape(shape), b=np.zeros(3, np.float16))
    return out.getvalue()


def contents() -> st.SearchStrategy[bytes]:
    """Return whole files of every kind."""
    return st.one_of(
        parts().map(safetensors),
        parts(shapes=((600,), (0,), ())).map(safetensors),
        npy(),
        npz(),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        st.just(b""),
        st.binary(max_size=3000),
        st.sampled_from(sorted(PAYLOADS.values())),
        st.integers(0, 99).map(lambda seed: np.random.default_rng(seed).bytes(5000)),
    )
