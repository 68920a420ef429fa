"""Metadata blocks: small objects that share one compressed frame (docs/format.md, "Blocks")."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mvc.base.errors import FormatError
from mvc.base.ids import ObjectId, object_id
from mvc.codec import zstd
from mvc.store.directory import KINDS, BlockEntry

TARGET_BYTES = 1 << 16
LEVEL = 9
_ITEM = struct.Struct("<BI")


@dataclass(frozen=True, slots=True)
class Item:
    """One metadata object."""

    id: ObjectId
    kind: str
    content: bytes


def pack_items(items: list[Item]) -> bytes:
    """Return the bytes of a block before compression."""
    return b"".join(
        _ITEM.pack(KINDS.index(item.kind), len(item.content)) + item.content for item in items
    )


def compress(items: list[Item]) -> tuple[bytes, int]:
    """Return the frame of a block and its size before compression."""
    plain = pack_items(items)
    return zstd.compress(plain, LEVEL), len(plain)


def unpack_items(entry: BlockEntry, frame: bytes) -> list[Item]:
    """Return the objects of a block, their ids computed from their content, or FormatError."""
    data = zstd.decompress(frame, entry.size)
    items: list[Item] = []
    at = 0
    while at < len(data):
        if at + _ITEM.size > len(data) or len(items) >= entry.count:
            raise FormatError("a metadata block does not hold what its entry says")
        code, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        content = data[at : at + length]
        if len(content) != length or not length or not 0 < code < len(KINDS):
            raise FormatError("a metadata block is damaged")
        at += length
        items.append(Item(object_id(KINDS[code], content), KINDS[code], content))
    if len(items) != entry.count:
        raise FormatError("a metadata block does not hold what its entry says")
    return items
