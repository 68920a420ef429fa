"""Metadata blocks: small objects that share one compressed frame (docs/format.md, "Blocks").

Ids do not compress, and most ids in a block are those of objects that stand earlier in it, or of
chunks of the same pack. They are left out, and computed or looked up again on reading.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from mvc.base.errors import FormatError
from mvc.base.ids import ID_BYTES, ObjectId, object_id
from mvc.codec import zstd
from mvc.objects import canonical
from mvc.store.directory import KINDS, MAX_BLOCK, BlockEntry

TARGET_BYTES = 1 << 16
LEVEL = 9
MAX_REFERENCES = 1 << 17
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
        body, taken = _without_ids(item.content, places, MAX_REFERENCES - len(numbers))
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
    return _items(data, entry.count, list(chunks))


def _items(data: bytes, count: int, known: list[ObjectId]) -> list[Item]:
    kinds = data[:count]
    if len(kinds) != count or any(not 0 < code < len(KINDS) for code in kinds):
        raise FormatError("a metadata block is damaged")
    numbers = _Numbers(data, count, len(data))
    lengths = [numbers.take() for _ in range(count)]
    at = len(data) - sum(lengths)
    references = _Numbers(data, numbers.at, at)
    if len(data[numbers.at : at].translate(None, _NOT_LAST)) > MAX_REFERENCES:
        raise FormatError("a metadata block has too many references")
    items: list[Item] = []
    room = MAX_BLOCK
    for code, length in zip(kinds, lengths, strict=True):
        content = _with_ids(data[at : at + length], references, known, room)
        if not length or len(content) > canonical.MAX_OBJECT:
            raise FormatError("a metadata block holds an object without a proper size")
        name = object_id(KINDS[code], content)
        known.append(name)
        items.append(Item(name, KINDS[code], content))
        at += length
        room -= len(content)
    if references.at != references.end:
        raise FormatError("a metadata block refers to more than it holds")
    return items


def _with_ids(body: bytes, references: _Numbers, known: list[ObjectId], room: int) -> bytes:
    """Return `body` with the ids that belong behind its marks, at most `room` bytes."""
    out = bytearray()
    kept = 0
    at = body.find(_MARK)
    while at >= 0 and references.at < references.end:
        at += len(_MARK)
        number = references.take()
        if number > len(known):
            raise FormatError("a metadata block refers to what is not before it")
        if number:
            out += body[kept:at]
            out += known[-number]
            kept = at
        if len(out) > room:
            break
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


class _Numbers:
    """Numbers of seven bits a byte, least significant first, in `data` from `at` to `end`."""

    __slots__ = ("_data", "at", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        if at > end:
            raise FormatError("a metadata block is too short for what it announces")
        self._data = data
        self.at = at
        self.end = end

    def take(self) -> int:
        """Return the next number, or raise FormatError."""
        number = shift = 0
        while self.at < self.end and shift < 35:
            byte = self._data[self.at]
            self.at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
        raise FormatError("a metadata block has a number without an end")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
