"""A delta against a base plus a low-rank product (docs/format.md, "Low-rank deltas").

What a LoRA adapter merged into a matrix leaves behind. The right factor is the matrix's and lies
in a chunk of its own, so that it can be shared; the left one is the record's. The top segment is
predicted from the base's top segment alone, since a model can be read without the others.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from mvc.base.dtypes import CHUNK_WORDS
from mvc.base.errors import FormatError
from mvc.codec import delta, lowrank, plain, section
from mvc.codec.lowrank_bytes import decode_left, decode_right, encode_left, encode_right
from mvc.codec.lowrank_find import find_right
from mvc.codec.lowrank_fit import fit_left
from mvc.codec.lowrank_words import FLOATS
from mvc.codec.matrix import Matrix
from mvc.codec.segments import Segment, Segments

DTYPES = ("float32", "bfloat16", "float16")
SAMPLE_UNITS = 1 << 15
PLACE_FLOOR = 12
SHARED_GAIN = 0.9
"""A factor that another chunk found must leave so much less than a plain delta does."""
_HEAD = struct.Struct("<BIII")


@dataclass(frozen=True, slots=True)
class Merged:
    """The sections of a low-rank delta, and the bytes of the right factor.

    `shared` says that another chunk found the factor, so that it is stored already.
    """

    sections: tuple[bytes, ...]
    right: bytes
    shared: bool = False

    @property
    def size(self) -> int:
        """Bytes of what is to be stored for this chunk."""
        return sum(map(len, self.sections)) + (0 if self.shared else len(self.right))


def encode(new: Segments, base: Segments, matrix: Matrix, limit: float = math.inf) -> Merged | None:
    """Return a low-rank delta of less than `limit` bytes, None where the change is not one."""
    if matrix.dtype not in DTYPES or matrix.columns < 1:
        return None
    known = matrix.rights.latest if matrix.rights else None
    if known is not None:
        again = _encode(new, base, matrix, known, shared=True)
        if again is not None and again.size < SHARED_GAIN * limit:
            return again
    first = matrix.start % matrix.columns
    right = find_right(new, base, matrix.dtype, matrix.columns, first, matrix.rows or None)
    found = None if right is None else _encode(new, base, matrix, right, shared=False)
    # Rows that are left to others share the cost of the factor.
    share = max(1, matrix.rows * matrix.columns // max(1, len(new[0])))
    if found is None or found.size - len(found.right) * (1 - 1 / share) >= limit:
        return None
    if matrix.rights is not None:
        matrix.rights.latest = right
    return found


def _encode(
    new: Segments, base: Segments, matrix: Matrix, right: lowrank.Factor, *, shared: bool
) -> Merged | None:
    stored = encode_right(right)
    # It is a chunk of bytes.
    if len(stored) > CHUNK_WORDS:
        return None
    dtype, columns, first = matrix.dtype, matrix.columns, matrix.start % matrix.columns
    left = fit_left(new, base, dtype, columns, first, right)
    coded = encode_left(left)
    head = _HEAD.pack(DTYPES.index(dtype), columns, first, len(coded)) + coded
    factors = lowrank.Factors(left, right)
    top, context = _predicted_top(base, dtype, columns, first, factors)
    residual = delta.residual(new[:1], (top,), floats=True)
    parts = [head + _section(residual[0], context)]
    if len(new) > 1:
        whole = lowrank.predict(base, dtype, columns, first, factors)
        residual = delta.residual(new, whole, floats=True)
        parts += [_section(part, section.Context(len(part))) for part in residual[1:]]
    return Merged(tuple(parts), stored, shared)


def decode(
    sections: tuple[bytes, ...], widths: tuple[int, ...], base: Segments, right: bytes
) -> Segments:
    """Return as many segments as there are sections, or raise FormatError."""
    count = len(base[0])
    dtype, columns, first, coded, rest = _split(sections[0])
    if sum(widths) != FLOATS[dtype].word:
        raise FormatError("a low-rank delta is of another word than its chunk")
    factor = decode_right(right, columns)
    left = decode_left(coded, lowrank.rows_of(count, columns, first), len(factor))
    factors = lowrank.Factors(left, factor)
    predicted, context = _predicted_top(base, dtype, columns, first, factors)
    found = section.decode(rest, widths[0], context)
    top = delta.restore((found,), (predicted,), floats=True)
    if len(sections) == 1:
        return top
    whole = lowrank.predict(base, dtype, columns, first, factors)
    steps = delta.residual(top, whole[:1], floats=True)
    lower = tuple(
        section.decode(data, width, section.Context(count))
        for data, width in zip(sections[1:], widths[1:], strict=False)
    )
    return delta.restore((*steps, *lower), whole, floats=True)


def place(section: bytes) -> tuple[str, int, int]:
    """Return element type, words of a row and place in it of a record, by its first section."""
    dtype, columns, first, *_ = _split(section)
    return dtype, columns, first


def _split(data: bytes) -> tuple[str, int, int, memoryview, memoryview]:
    if len(data) < _HEAD.size:
        raise FormatError("a low-rank delta is too short")
    number, columns, first, length = _HEAD.unpack_from(data)
    view = memoryview(data)[_HEAD.size :]
    if number >= len(DTYPES) or not 1 <= columns <= CHUNK_WORDS or first >= columns:
        raise FormatError("a low-rank delta has an impossible matrix")
    if len(view) < length:
        raise FormatError("a low-rank delta is too short")
    return DTYPES[number], columns, first, view[:length], view[length:]


def _predicted_top(
    base: Segments, dtype: str, columns: int, first: int, factors: lowrank.Factors
) -> tuple[Segment, section.Context]:
    if dtype == "float32":
        top, places = lowrank.predict_top(base[0], dtype, columns, first, factors)
        return top, section.Context(len(top), top, places=places)
    (top,) = lowrank.predict(base[:1], dtype, columns, first, factors)
    return top, section.Context(len(top), top)


def _section(residual: Segment, context: section.Context) -> bytes:
    coding, _ = plain.choose(plain.sample(residual, SAMPLE_UNITS), 1, entropy=True)
    alone = section.encode(residual, coding, context)
    if context.places is None:
        return alone
    return min(
        alone, section.encode(residual, coding, context, section.Places(PLACE_FLOOR)), key=len
    )
