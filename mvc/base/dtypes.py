"""Element types of tensors: label, width, and how their bytes are cut into words.

Labels are those of NumPy and ml_dtypes. Block-quantised types of GGUF (`ggml_q4_1`) and labels
that mvc has never heard of are kept as opaque words, so nothing depends on knowing a type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mvc.base.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Family = Literal["float", "int", "opaque"]

SEGMENTS: dict[int, tuple[int, ...]] = {1: (1,), 2: (2,), 4: (2, 2), 8: (2, 2, 4)}
"""Bytes of each segment of a word, most significant first, by word size."""

WORD_SIZES = tuple(SEGMENTS)

CHUNK_WORDS = 1 << 20
"""Words of a full chunk."""

REDUCED_BITS = 16
"""The one reduced precision there is: bits of each float word that are kept."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """An element type.

    `bits` is the size of one element (0 when elements are not individually addressable, as in
    quantised blocks), `word` the bytes of the word that chunks are made of, and `family` says
    how words may be compared with the words of a base.
    """

    label: str
    bits: int
    word: int
    family: Family


def _table() -> dict[str, Dtype]:
    rows = [
        ("float64", 64, 8, "float"),
        ("float32", 32, 4, "float"),
        ("float16", 16, 2, "float"),
        ("bfloat16", 16, 2, "float"),
        ("complex128", 128, 8, "float"),
        ("complex64", 64, 4, "float"),
        ("complex32", 32, 2, "float"),
        ("int64", 64, 8, "int"),
        ("uint64", 64, 8, "int"),
        ("int32", 32, 4, "int"),
        ("uint32", 32, 4, "int"),
        ("int16", 16, 2, "int"),
        ("uint16", 16, 2, "int"),
        ("int8", 8, 1, "int"),
        ("uint8", 8, 1, "int"),
        ("bool", 8, 1, "int"),
        ("float8_e4m3fn", 8, 1, "float"),
        ("float8_e4m3fnuz", 8, 1, "float"),
        ("float8_e5m2", 8, 1, "float"),
        ("float8_e5m2fnuz", 8, 1, "float"),
        ("float8_e8m0fnu", 8, 1, "float"),
        ("float6_e2m3fn", 6, 1, "opaque"),
        ("float6_e3m2fn", 6, 1, "opaque"),
        ("float4_e2m1fn", 4, 1, "opaque"),
        ("int4", 4, 1, "opaque"),
        ("uint4", 4, 1, "opaque"),
        ("int2", 2, 1, "opaque"),
        ("uint2", 2, 1, "opaque"),
    ]
    return {label: Dtype(label, bits, word, family) for label, bits, word, family in rows}  # type: ignore[arg-type]


KNOWN: dict[str, Dtype] = _table()

BLOCKS: dict[str, tuple[int, int]] = {
    "ggml_q4_0": (32, 18),
    "ggml_q4_1": (32, 20),
    "ggml_q5_0": (32, 22),
    "ggml_q5_1": (32, 24),
    "ggml_q8_0": (32, 34),
    "ggml_q8_1": (32, 40),
    "ggml_q2_k": (256, 84),
    "ggml_q3_k": (256, 110),
    "ggml_q4_k": (256, 144),
    "ggml_q5_k": (256, 176),
    "ggml_q6_k": (256, 210),
    "ggml_q8_k": (256, 292),
    "ggml_iq2_xxs": (256, 66),
    "ggml_iq2_xs": (256, 74),
    "ggml_iq3_xxs": (256, 98),
    "ggml_iq1_s": (256, 50),
    "ggml_iq4_nl": (32, 18),
    "ggml_iq3_s": (256, 110),
    "ggml_iq2_s": (256, 82),
    "ggml_iq4_xs": (256, 136),
    "ggml_iq1_m": (256, 56),
    "ggml_tq1_0": (256, 54),
    "ggml_tq2_0": (256, 66),
    "ggml_mxfp4": (32, 17),
    "ggml_nvfp4": (64, 36),
    "ggml_q1_0": (128, 18),
}
"""Elements and bytes of a block, by label, of the types whose elements come in blocks."""


def check_precision(precision: int | None) -> None:
    """Raise UsageError unless a precision is None (all bits of a float word) or 16."""
    if precision not in (None, REDUCED_BITS):
        raise UsageError(
            f"precision {precision} is not offered", hint=f"{REDUCED_BITS} is, or none at all"
        )


def is_shortened(label: str) -> bool:
    """Tell whether words of this type lose bits at reduced precision."""
    kind = KNOWN.get(label)
    return kind is not None and kind.family == "float" and kind.word * 8 > REDUCED_BITS


def dtype(label: str, word: int = 1) -> Dtype:
    """Return the type called `label`; an unknown label gives opaque words of `word` bytes."""
    return KNOWN.get(label) or Dtype(label, 0, word, "opaque")


def nbytes(label: str, shape: tuple[int, ...]) -> int | None:
    """Return the bytes a packed tensor of this type and shape takes, None for an opaque type."""
    kind = KNOWN.get(label)
    if kind is None:
        return None
    count = 1
    for dim in shape:
        count *= dim
    return (count * kind.bits + 7) // 8


def block_bytes(label: str) -> int:
    """Return the bytes of a block of a quantised type, 0 for a type that has none."""
    return BLOCKS.get(label, (0, 0))[1]


def numpy_dtype(label: str) -> np.dtype[np.generic] | None:
    """Return the NumPy type for a label, None where elements are packed below a byte or opaque."""
    import numpy as np

    kind = KNOWN.get(label)
    if kind is None or kind.bits < 8 or label == "complex32":
        return None
    if label == "bool":
        return np.dtype(np.bool_)
    try:
        return np.dtype(label)
    except TypeError:
        import ml_dtypes

        scalar = getattr(ml_dtypes, label, None)
        return None if scalar is None else np.dtype(scalar)
