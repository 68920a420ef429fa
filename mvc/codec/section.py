"""One segment of one chunk as bytes, by itself or with what its decoder knows besides.

A plain section explains itself. Groups need the base, columns the place of the chunk in its
tensor, and a lookup the segment above (docs/format.md, "Sections").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from mvc.base.dtypes import CHUNK_WORDS
from mvc.base.errors import FormatError
from mvc.codec import plain, sparse
from mvc.codec.grouping import MAX_GROUPS, ByColumn, ByKey, Grouping, boundaries
from mvc.codec.plain import Coding, Mode
from mvc.codec.segments import UNITS, Segment
from mvc.codec.sizes import KEYS, MIN_COLUMNS, Sizes

MAX_BITS = 12
MIN_FLOOR = 10
MAX_STRIDE = MAX_GROUPS
MAX_PAIRS = 1 << 16
BY_BASE = 1
BY_COLUMN = 2
BY_SIZE = 3
AS_ABOVE = 4
BY_PLACE = 5
BY_MAGNITUDE = 6
MAX_COLUMNS = CHUNK_WORDS
_HEAD = struct.Struct("<BBBB")
_LENGTH = struct.Struct("<I")
_SIZES = struct.Struct("<HIII")


@dataclass(frozen=True, slots=True)
class BaseBits:
    """Group by the first `bits` bits of the base; groups of at least 2^`floor` words.

    Unless `signed`, the bits are those behind the sign.
    """

    bits: int
    floor: int
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Columns:
    """Group by the place in records of `stride` units, the first unit being at `phase`."""

    stride: int
    phase: int


@dataclass(frozen=True, slots=True)
class Places:
    """Group by where a predicted word lies between two top units (`lowrank.predict_top`)."""

    floor: int


Rule: TypeAlias = BaseBits | Columns | Sizes | Places


@dataclass(slots=True)
class Context:
    """What the decoder of a section knows beside its bytes.

    `top` is the top segment of the base, or what was predicted of it; `above` the decoded top
    segment of the same chunk.
    """

    count: int
    top: Segment | None = None
    above: Segment | None = None
    sizes: Sizes | None = None
    places: Segment | None = None
    _known: dict[Rule, Grouping] = field(default_factory=dict)

    def grouping(self, rule: Rule) -> Grouping:
        """Return the groups of a rule, made once; FormatError where there is no base."""
        found = self._known.get(rule)
        if found is None:
            found = self._known[rule] = self._make(rule)
        return found

    def _make(self, rule: Rule) -> Grouping:
        if isinstance(rule, Columns):
            if not 0 <= rule.phase < rule.stride or not 2 <= rule.stride <= MAX_STRIDE:
                raise FormatError("a section has impossible columns")
            return ByColumn(self.count, rule.stride, rule.phase)
        if self.top is None:
            raise FormatError("a section has groups and no base")
        width = self.top.itemsize * 8
        if not MIN_FLOOR <= rule.floor <= 32:
            raise FormatError("a section has impossible groups")
        if isinstance(rule, Places):
            if self.places is None:
                raise FormatError("a section has groups by places it does not know")
            return ByKey(self.places, KEYS, rule.floor)
        if isinstance(rule, Sizes):
            if not 1 <= rule.exponent < min(width, MAX_BITS) or rule.reference >> rule.exponent:
                raise FormatError("a section has impossible groups")
            return ByKey(rule.keys(self.top), KEYS, rule.floor)
        if not 1 <= rule.bits <= min(MAX_BITS, width - (not rule.signed)):
            raise FormatError("a section has impossible groups")
        held = self.top if rule.signed else self.top << self.top.dtype.type(1)
        keys = held >> self.top.dtype.type(width - rule.bits)
        return ByKey(keys, 1 << rule.bits, rule.floor)


def encode(
    segment: Segment,
    coding: Coding,
    context: Context,
    rule: Rule | None = None,
) -> bytes:
    """Return the section of a non-empty segment, grouped by `rule` if there is one."""
    if rule is None or coding.mode is Mode.RAW:
        return plain.encode(segment, coding)
    grouping = context.grouping(rule)
    gathered = grouping.gather(segment)
    parts = [_head(rule, context)]
    for start, end in boundaries(grouping.sizes):
        if start == end:
            continue
        part = plain.encode(gathered[start:end], coding)
        parts += [_LENGTH.pack(len(part)), part]
    whole = b"".join(parts)
    return whole if len(whole) <= segment.nbytes else plain.encode(segment, plain.RAW)


def _head(rule: Rule, context: Context) -> bytes:
    if isinstance(rule, Columns):
        return _HEAD.pack(Mode.GROUPS, BY_COLUMN, rule.stride - 1, rule.phase)
    if isinstance(rule, BaseBits):
        kind = BY_BASE if rule.signed else BY_MAGNITUDE
        return _HEAD.pack(Mode.GROUPS, kind, rule.bits, rule.floor)
    if isinstance(rule, Places):
        return _HEAD.pack(Mode.GROUPS, BY_PLACE, rule.floor, 0)
    if context.sizes == rule:
        return _HEAD.pack(Mode.GROUPS, AS_ABOVE, 0, 0)
    levels = np.frombuffer(rule.levels, np.uint8)
    coded = plain.encode(levels, plain.choose(levels, 1, entropy=True)[0])
    numbers = _SIZES.pack(rule.reference, rule.columns, rule.start, len(coded))
    return _HEAD.pack(Mode.GROUPS, BY_SIZE, rule.exponent, rule.floor) + numbers + coded


def decode(section: bytes | memoryview, width: int, context: Context) -> Segment:
    """Return the segment of `width`-byte units, or raise FormatError."""
    data = memoryview(section)
    if data and data[0] == Mode.GROUPS:
        return _decode_groups(data, width, context)
    if data and data[0] == Mode.LOOKUP:
        return _decode_lookup(data[1:], width, context)
    if data and data[0] == Mode.SPARSE:
        return sparse.decode(data[1:], context.count, width)
    return plain.decode(data, context.count, width)


def row_of(section: bytes) -> tuple[int, int] | None:
    """Return the words of a row and where in it a section begins, None where it does not tell."""
    if section[:2] != bytes([Mode.GROUPS, BY_SIZE]) or len(section) < _HEAD.size + _SIZES.size:
        return None
    _, columns, start, _ = _SIZES.unpack_from(section, _HEAD.size)
    return columns, start


def lookup(segment: Segment, above: Segment, *, entropy: bool) -> bytes | None:
    """Return the section of a palette, None where it holds too many pairs.

    Where a float holds an integer times a scale, the upper half of the word tells the lower half:
    each pair that occurs is stored once, in order, and a word says which pair of those that share
    its upper half it is.
    """
    pairs, place = np.unique(
        above.astype(np.uint64) << np.uint64(32) | segment, return_inverse=True
    )
    if len(pairs) > min(MAX_PAIRS, len(segment) // 16):
        return None
    uppers = (pairs >> np.uint64(32)).astype(above.dtype)
    first = np.searchsorted(uppers, above)
    choice = (place.reshape(-1) - first).astype(np.uint16)
    table = _table(uppers, pairs.astype(segment.dtype))
    coding, _ = plain.choose(plain.sample(choice, 1 << 14), 1, entropy=entropy)
    coded = plain.encode(choice, coding)
    return bytes([Mode.LOOKUP]) + _LENGTH.pack(len(pairs)) + table + coded


def _table(uppers: Segment, lowers: Segment) -> bytes:
    return uppers.tobytes() + lowers.tobytes()


def _decode_lookup(body: memoryview, width: int, context: Context) -> Segment:
    above = context.above
    if above is None or len(body) < _LENGTH.size:
        raise FormatError("a section looks up what is not there")
    (count,) = _LENGTH.unpack_from(body)
    high = count * above.itemsize
    low = high + count * width
    held = body[_LENGTH.size :]
    if not 0 < count <= MAX_PAIRS or len(held) < low:
        raise FormatError("a section has an impossible palette")
    uppers = np.frombuffer(held[:high], above.dtype)
    lowers = np.frombuffer(held[high:low], UNITS[width])
    pairs = uppers.astype(np.uint64) << np.uint64(32) | lowers
    if not bool((pairs[1:] > pairs[:-1]).all()):
        raise FormatError("a section has a palette out of order")
    choice = plain.decode(held[low:], context.count, 2)
    first = np.searchsorted(uppers, above)
    place = first + choice
    if int(place.max()) >= count or not bool((uppers[place] == above).all()):
        raise FormatError("a section names a pair that its palette lacks")
    found: Segment = lowers[place]
    return found


def _decode_groups(data: memoryview, width: int, context: Context) -> Segment:
    grouping, body = _rule(data, context)
    out = np.empty(context.count, UNITS[width])
    for start, end in boundaries(grouping.sizes):
        if start == end:
            continue
        if len(body) < _LENGTH.size:
            raise FormatError("a section ends inside its groups")
        (length,) = _LENGTH.unpack_from(body)
        part = body[_LENGTH.size :][:length]
        if len(part) != length:
            raise FormatError("a section ends inside its groups")
        out[start:end] = plain.decode(part, end - start, width)
        body = body[_LENGTH.size + length :]
    if len(body):
        raise FormatError("a section has bytes behind its last group")
    return grouping.scatter(out)


def _rule(data: memoryview, context: Context) -> tuple[Grouping, memoryview]:
    kind = data[1] if len(data) >= _HEAD.size else 0
    if kind in (BY_BASE, BY_MAGNITUDE):
        _, _, bits, floor = _HEAD.unpack_from(data)
        return context.grouping(BaseBits(bits, floor, kind == BY_BASE)), data[_HEAD.size :]
    if kind == BY_COLUMN:
        _, _, stride, phase = _HEAD.unpack_from(data)
        return context.grouping(Columns(stride + 1, phase)), data[_HEAD.size :]
    if kind == BY_SIZE:
        _, _, exponent, floor = _HEAD.unpack_from(data)
        context.sizes, rest = _read_sizes(exponent, floor, data[_HEAD.size :], context)
        return context.grouping(context.sizes), rest
    if kind == BY_PLACE:
        return context.grouping(Places(data[2])), data[_HEAD.size :]
    if kind == AS_ABOVE and context.sizes is not None and not any(data[2 : _HEAD.size]):
        return context.grouping(context.sizes), data[_HEAD.size :]
    raise FormatError("a section has an unknown kind of groups")


def _read_sizes(
    exponent: int, floor: int, body: memoryview, context: Context
) -> tuple[Sizes, memoryview]:
    if len(body) < _SIZES.size:
        raise FormatError("a section ends inside its levels")
    reference, columns, start, length = _SIZES.unpack_from(body)
    coded = body[_SIZES.size :][:length]
    if len(coded) != length or not MIN_COLUMNS <= columns <= MAX_COLUMNS or start >= columns:
        raise FormatError("a section has impossible levels")
    rows = -(-(start + context.count) // columns)
    levels = plain.decode(coded, rows, 1).tobytes()
    return (
        Sizes(exponent, floor, reference, columns, start, levels),
        body[_SIZES.size + length :],
    )
