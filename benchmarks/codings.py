"""Lossless codings of tensors, alone or against a tensor of a relative, as published or shipped.

Each is told the words of a tensor and perhaps the words of its base, and gives sections whose
lengths are what it would store; headers are not counted, in every coding's favour.

| coding | after |
| --- | --- |
| `zstd-N` | the whole file through zstd, no tensors |
| `zipnn` | ZipNN 0.5, set to the element type; `zipnn-xor` after XOR with the base |
| `tx` | TensorDex TX: XOR with the base, byte planes, zstd-1 in pieces of 2 MB |
| `fm-delta` | a bound on FM-Delta: see `FmDelta` |
| `int-delta` | integer difference of each 16 bits, pcodec |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import zstandard
from numpy.typing import NDArray

from benchmarks.extras import load
from benchmarks.words import (
    UNSIGNED,
    Bytes,
    Words,
    bit_lengths,
    entropy_bytes,
    joined,
    ordered,
    planes,
    unordered,
    unzigzag,
    zigzag,
)

PIECE = 2 << 20
FLOATS = {"float32", "bfloat16", "float16"}


@dataclass(frozen=True, slots=True)
class Code:
    """An encoded tensor: the bytes it takes, and what the decoder gets."""

    size: float
    payload: Any


class Coding(Protocol):
    """How one tensor is encoded; both calls are pure functions."""

    def encode(self, words: Words, dtype: str, base: Words | None) -> Code:
        """Encode the words of a tensor of an element type, perhaps against those of a base."""
        ...

    def decode(self, code: Code, dtype: str, base: Words | None) -> Words:
        """Return the words again."""
        ...


class Zstd:
    """The bytes as they lie, through zstd."""

    def __init__(self, level: int) -> None:
        self._compressor = zstandard.ZstdCompressor(level=level)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, words: Words, dtype: str, base: Words | None) -> Code:
        """See Coding."""
        packed = self._compressor.compress(words.data)
        return Code(len(packed), (packed, words.itemsize))

    def decode(self, code: Code, dtype: str, base: Words | None) -> Words:
        """See Coding."""
        packed, size = code.payload
        return np.frombuffer(self._decompressor.decompress(packed), UNSIGNED[size])


class Planes:
    """XOR with the base where there is one, byte planes, zstd-1 in pieces (TensorDex TX)."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._decompressor = zstandard.ZstdDecompressor()

    def encode(self, words: Words, dtype: str, base: Words | None) -> Code:
        """See Coding."""
        rows = planes(words if base is None else words ^ base)
        packed = [self._pack(row) for row in rows]
        size = sum(len(piece) for pieces in packed for piece in pieces)
        return Code(size, (packed, words.itemsize))

    def decode(self, code: Code, dtype: str, base: Words | None) -> Words:
        """See Coding."""
        packed, size = code.payload
        rows = [
            np.frombuffer(b"".join(self._unpack(piece) for piece in pieces), np.uint8)
            for pieces in packed
        ]
        words = joined(rows, size)
        return words if base is None else words ^ base

    def _pack(self, row: Bytes) -> list[bytes]:
        starts = range(0, len(row), PIECE)
        return [self._shorter(row[start : start + PIECE].tobytes()) for start in starts]

    def _shorter(self, piece: bytes) -> bytes:
        packed = self._compressor.compress(piece)
        return b"\1" + packed if len(packed) < len(piece) else b"\0" + piece

    def _unpack(self, piece: bytes) -> bytes:
        return self._decompressor.decompress(piece[1:]) if piece[0] else piece[1:]


class ZipNN:
    """The package ZipNN on one thread; zstd for what is not of a type that it knows.

    It has no notion of a base tensor; its XOR mode takes two buffers of one length, which is
    applied here to tensors of one name.
    """

    def __init__(self, *, delta: bool) -> None:
        self._module = load("zipnn")
        self._delta = delta
        self._other = Zstd(3)

    def encode(self, words: Words, dtype: str, base: Words | None) -> Code:
        """See Coding."""
        if dtype not in FLOATS or words.size == 0:
            return self._other.encode(words, dtype, None)
        base = base if self._delta else None
        # It destroys the buffer that it is given.
        buffer = bytearray(words.data.cast("B"))
        second = None if base is None else bytes(base.data)
        packed = self._coder(dtype, base).compress(buffer, delta_second_data=second)
        return Code(len(packed), packed)

    def decode(self, code: Code, dtype: str, base: Words | None) -> Words:
        """See Coding."""
        if isinstance(code.payload, tuple):
            return self._other.decode(code, dtype, None)
        base = base if self._delta else None
        second = None if base is None else bytes(base.data)
        raw = self._coder(dtype, base).decompress(code.payload, delta_second_data=second)
        return np.frombuffer(bytes(raw), UNSIGNED[4 if dtype == "float32" else 2])

    def _coder(self, dtype: str, base: Words | None) -> Any:
        kind = 0 if base is None else "byte"
        return self._module.ZipNN(
            input_format="byte", bytearray_dtype=dtype, threads=1, delta_compressed_type=kind
        )


class FmDelta:
    """A lower bound on FM-Delta, which codes the integer difference of order-preserving maps.

    It entropy-codes the sign of a difference together with the place of its top bit, by an
    adaptive model over the tensor, and writes the bits below as they are. Counted here is the
    empirical entropy of those symbols in each tensor, which no adaptive coder of order 0
    beats by more than rounding, and the bits below. What has no base is coded as `tx` does.
    """

    def __init__(self) -> None:
        self._alone = Planes()

    def encode(self, words: Words, dtype: str, base: Words | None) -> Code:
        """See Coding."""
        if base is None or words.itemsize == 8:
            return self._alone.encode(words, dtype, base)
        is_float = is_float_type(dtype)
        new, old = (ordered(one, is_float=is_float).astype(np.int64) for one in (words, base))
        difference = new - old
        magnitude = np.abs(difference)
        lengths = bit_lengths(magnitude)
        symbols = np.sign(difference) * lengths
        below = np.maximum(lengths - 1, 0)
        size = entropy_bytes(symbols) + int(below.sum()) / 8
        rest = magnitude & ((np.int64(1) << below) - 1)
        return Code(size, (symbols, rest, words.dtype))

    def decode(self, code: Code, dtype: str, base: Words | None) -> Words:
        """See Coding."""
        if base is None or base.itemsize == 8:
            return self._alone.decode(code, dtype, base)
        symbols, rest, kind = code.payload
        is_float = is_float_type(dtype)
        top = np.where(symbols == 0, 0, np.int64(1) << np.maximum(np.abs(symbols) - 1, 0))
        difference: NDArray[np.int64] = np.sign(symbols) * (top + rest)
        new = ordered(base, is_float=is_float).astype(np.int64) + difference
        return unordered(new.astype(kind), is_float=is_float)


class IntegerDelta:
    """Integer difference of the ordered words, each 16 bits on their own, by pcodec.

    What has no base is coded as `tx` does.
    """

    def __init__(self) -> None:
        self._standalone = load("pcodec.standalone")
        module = load("pcodec")
        self._config = module.ChunkConfig(
            compression_level=8,
            mode_spec=module.ModeSpec.classic(),
            delta_spec=module.DeltaSpec.no_op(),
            enable_8_bit=True,
        )
        self._alone = Planes()

    def encode(self, words: Words, dtype: str, base: Words | None) -> Code:
        """See Coding."""
        if base is None:
            return self._alone.encode(words, dtype, base)
        residuals = [
            zigzag(new - old)
            for new, old in zip(_segments(words, dtype), _segments(base, dtype), strict=True)
        ]
        packed = [bytes(self._standalone.simple_compress(one, self._config)) for one in residuals]
        return Code(sum(map(len, packed)), (packed, words.dtype))

    def decode(self, code: Code, dtype: str, base: Words | None) -> Words:
        """See Coding."""
        if base is None:
            return self._alone.decode(code, dtype, base)
        packed, kind = code.payload
        segments = [
            old + unzigzag(_unpacked(self._standalone.simple_decompress(one), old))
            for one, old in zip(packed, _segments(base, dtype), strict=True)
        ]
        mapped = np.stack(segments, axis=1).reshape(-1).view(kind)
        return unordered(mapped, is_float=is_float_type(dtype))


def _segments(words: Words, dtype: str) -> list[Words]:
    mapped = ordered(words, is_float=is_float_type(dtype))
    if mapped.itemsize == 1:
        return [mapped]
    parts = mapped.view(UNSIGNED[2]).reshape(-1, mapped.itemsize // 2)
    return [np.ascontiguousarray(parts[:, index]) for index in range(parts.shape[1])]


def _unpacked(values: Any, like: Words) -> Words:
    return np.empty(0, like.dtype) if values is None else values.astype(like.dtype, copy=False)


def is_float_type(dtype: str) -> bool:
    """Tell whether words of a type are floats, whose order the integers must follow."""
    return "float" in dtype


MAKERS: dict[str, Callable[[], Coding]] = {
    "zstd-3": lambda: Zstd(3),
    "zstd-19": lambda: Zstd(19),
    "zipnn": lambda: ZipNN(delta=False),
    "zipnn-xor": lambda: ZipNN(delta=True),
    "tx": Planes,
    "fm-delta": FmDelta,
    "int-delta": IntegerDelta,
}
"""Each makes the coding of a name in `benchmarks.contenders`, or raises MissingExtra."""
