"""Metadata blocks: small objects that share one compressed frame (docs/format.md, "Blocks").

Ids do not compress, and most ids in a block are those of objects that stand earlier in it, or of
chunks of the same pack. They are left out, and computed or looked up again on reading.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from mvc.base.errors import FormatError
from mvc.base.ids import ID_BYTES, ObjectId, object_id
from mvc.codec import zstd
from mvc.objects import canonical
from mvc.store.directory import KINDS, MAX_BLOCK, BlockEntry

TARGET_BYTES = 1 << 16
LEVEL = 9
MAX_REFERENCES = 1 << 17
# Kinds that a block holds in full, so that history is read without the trees.
HISTORY = ("commit", "tag")
_ITEM = struct.Struct("<BI")
# How msgpack begins an id.
_MARK = b"\xc4\x20"
_NOT_LAST = bytes(range(128, 256))


@dataclass(frozen=True, slots=True)
class Item:
    """One metadata object."""

    id: ObjectId
    kind: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """The content of a block; `reach` is how far back into the chunks it refers."""

    data: bytes
    reach: int


def pack_items(items: Sequence[Item], chunks: Sequence[ObjectId] = ()) -> Packed:
    """Return a block's content before compression, without the ids that a reader finds again.

    `chunks` are ids that the directory holds before the block's entry, in its order.
    """
    kinds, lengths, bodies = bytearray(), bytearray(), []
    places = {name: number - len(chunks) for number, name in enumerate(chunks)}
    numbers: list[int] = []
    reach = 0
    for place, item in enumerate(items):
        held = {} if item.kind in HISTORY else places
        body, taken = _without_ids(item.content, held, MAX_REFERENCES - len(numbers))
        numbers += [0 if known is None else place - known for known in taken]
        reach = max(reach, *(-known for known in taken if known is not None), 0)
        places[item.id] = place
        kinds.append(KINDS.index(item.kind))
        lengths += _varint(len(body))
        bodies.append(body)
    while numbers and not numbers[-1]:
        numbers.pop()
    references = b"".join(map(_varint, numbers))
    return Packed(b"".join([kinds, lengths, references, *bodies]), reach)


def _without_ids(
    content: bytes, places: dict[ObjectId, int], room: int
) -> tuple[bytes, list[int | None]]:
    """Return the content without known ids, and for each mark in it the place of the id behind."""
    out = bytearray()
    taken: list[int | None] = []
    kept = 0
    at = content.find(_MARK)
    while at >= 0 and len(taken) < room:
        at += len(_MARK)
        known = places.get(ObjectId(content[at : at + ID_BYTES]))
        taken.append(known)
        if known is not None:
            out += content[kept:at]
            at += ID_BYTES
            kept = at
        at = content.find(_MARK, at)
    return bytes(out + content[kept:]), taken


def compress(items: Sequence[Item], chunks: Sequence[ObjectId] = ()) -> tuple[bytes, int, int]:
    """Return the frame of a block, its size before compression, and its reach into `chunks`."""
    packed = pack_items(items, chunks)
    return zstd.compress(packed.data, LEVEL), len(packed.data), packed.reach


def unpack_items(entry: BlockEntry, frame: bytes, chunks: Sequence[ObjectId] = ()) -> list[Item]:
    """Return the objects of a block, their ids computed from their content, or FormatError.

    `chunks` are the ids in the part of the directory that the entry names.
    """
    data = zstd.decompress(frame, entry.size)
    if entry.version == 1:
        return _old_items(data, entry.count)
    columns = _columns(data, entry.count)
    numbers = iter(columns.numbers)
    known = list(chunks)
    items: list[Item] = []
    room = MAX_BLOCK
    for kind, body in zip(columns.kinds, columns.bodies, strict=True):
        content = _with_ids(body, numbers, known, room)
        if not content or len(content) > canonical.MAX_OBJECT:
            raise FormatError("a metadata block holds an object without a proper size")
        name = object_id(kind, content)
        known.append(name)
        items.append(Item(name, kind, content))
        room -= len(content)
    if next(numbers, None) is not None:
        raise FormatError("a metadata block refers to more than it holds")
    return items


def unpack_history(entry: BlockEntry, frame: bytes) -> list[Item]:
    """Return the commits and tags that a block holds in full, without any other object."""
    if entry.version == 1:
        return []
    columns = _columns(zstd.decompress(frame, entry.size), entry.count)
    items: list[Item] = []
    before = 0
    for kind, body in zip(columns.kinds, columns.bodies, strict=True):
        marks = body.count(_MARK)
        if kind in HISTORY and body and not any(columns.numbers[before : before + marks]):
            items.append(Item(object_id(kind, body), kind, body))
        before += marks
    return items


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a block says of its objects: kinds, bodies, and what follows the marks in them."""

    kinds: list[str]
    bodies: list[bytes]
    numbers: list[int]


def _columns(data: bytes, count: int) -> _Columns:
    kinds = data[:count]
    if len(kinds) != count or min(kinds) < 1 or max(kinds) >= len(KINDS):
        raise FormatError("a metadata block is damaged")
    lengths, numbers_at = _numbers(data, count, count, len(data))
    start = len(data) - sum(lengths)
    marks = len(data[numbers_at:start].translate(None, _NOT_LAST))
    if start < numbers_at or marks > MAX_REFERENCES:
        raise FormatError("a metadata block has too many references, or is too short")
    numbers, end = _numbers(data, numbers_at, marks, start)
    if end != start:
        raise FormatError("a metadata block has a number without an end")
    ends = list(accumulate(lengths, initial=start))
    bodies = [data[at:end] for at, end in pairwise(ends)]
    return _Columns([KINDS[code] for code in kinds], bodies, numbers)


def _with_ids(body: bytes, numbers: Iterator[int], known: list[ObjectId], room: int) -> bytes:
    """Return `body` with the ids that belong behind its marks, at most `room` bytes."""
    out = bytearray()
    kept = 0
    at = body.find(_MARK)
    while at >= 0 and len(out) <= room:
        number = next(numbers, None)
        if number is None:
            break
        at += len(_MARK)
        if number > len(known):
            raise FormatError("a metadata block refers to what is not before it")
        if number:
            out += body[kept:at]
            out += known[-number]
            kept = at
        at = body.find(_MARK, at)
    if len(out) + len(body) - kept > room:
        raise FormatError("a metadata block holds more than a block may")
    return bytes(out + body[kept:]) if kept else body


def _old_items(data: bytes, count: int) -> list[Item]:
    items: list[Item] = []
    at = 0
    while at < len(data):
        if at + _ITEM.size > len(data) or len(items) >= count:
            raise FormatError("a metadata block does not hold what its entry says")
        code, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        content = data[at : at + length]
        if len(content) != length or not length or not 0 < code < len(KINDS):
            raise FormatError("a metadata block is damaged")
        at += length
        items.append(Item(object_id(KINDS[code], content), KINDS[code], content))
    if len(items) != count:
        raise FormatError("a metadata block does not hold what its entry says")
    return items


def _numbers(data: bytes, at: int, count: int, end: int) -> tuple[list[int], int]:
    """Return `count` numbers of seven bits a byte, and where they end; at most at `end`."""
    if at + count <= end and (column := data[at : at + count]).isascii():
        return list(column), at + count
    numbers = []
    for _ in range(count):
        number = shift = 0
        byte = 128
        while byte > 127:
            if at >= end or shift > 28:
                raise FormatError("a metadata block has a number without an end")
            byte = data[at]
            number |= (byte & 127) << shift
            at += 1
            shift += 7
        numbers.append(number)
    return numbers, at


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
