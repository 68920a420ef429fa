"""How the words of an element type are read as numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mvc.base import dtypes
from mvc.codec.segments import UNITS

Uints: TypeAlias = NDArray[np.unsignedinteger]
Floats: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Callable[[Uints, Floats], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """How words of a dtype are read: `lanes` words an element, and their values, if any.

    `values(words, out)` writes the number of each word to `out`, exactly but for 64-bit integers,
    which are rounded to float64 (`wide`).
    """

    word: np.dtype[np.unsignedinteger]
    lanes: int
    values: Values | None
    wide: bool = False
    signed: bool = False


@cache
def kind_of(label: str, word: int) -> Kind:
    """Return how to read words of `word` bytes of the dtype called `label`."""
    if label == "complex32":
        return Kind(UNITS[2], 2, partial(_cast, dtype=np.dtype("<f2")))
    scalar = dtypes.numpy_dtype(label)
    if scalar is None:
        return Kind(UNITS[word], 1, None)
    if label == "bool":
        table = (np.arange(256) != 0).astype(np.float64)
        return Kind(UNITS[1], 1, partial(_looked_up, table=table))
    if scalar.kind == "c":
        part = np.dtype(f"<f{scalar.itemsize // 2}")
        return Kind(UNITS[part.itemsize], 2, partial(_cast, dtype=part))
    if scalar.itemsize == 1:
        with np.errstate(all="ignore"):
            table = np.arange(256, dtype=np.uint8).view(scalar).astype(np.float64)
        return Kind(UNITS[1], 1, partial(_looked_up, table=table))
    if label == "bfloat16":
        return Kind(UNITS[2], 1, _bfloat16)
    return Kind(
        UNITS[scalar.itemsize],
        1,
        partial(_cast, dtype=scalar.newbyteorder("<")),
        wide=label in ("int64", "uint64"),
        signed=label == "int64",
    )


def _cast(words: Uints, out: Floats, dtype: np.dtype[np.generic]) -> None:
    np.copyto(out, words.view(dtype), casting="unsafe")


def _bfloat16(words: Uints, out: Floats) -> None:
    np.copyto(out, np.left_shift(words, 16, dtype=np.uint32).view(np.float32))


def _looked_up(words: Uints, out: Floats, table: Floats) -> None:
    np.take(table, words, out=out, mode="clip")
