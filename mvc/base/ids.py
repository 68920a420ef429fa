"""Object ids: BLAKE3-256 over kind, length and canonical bytes (docs/format.md, "Ids").

An id is 32 raw bytes inside mvc and 64 lower-case hex digits wherever people or text files see it.
"""

from __future__ import annotations

import re
from typing import NewType

from blake3 import blake3

from mvc.base.errors import FormatError

ObjectId = NewType("ObjectId", bytes)

ID_BYTES = 32
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PREFIX = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte BLAKE3 digest of `data`."""
    view = memoryview(data)
    return blake3(view if view.format == "B" else view.cast("B")).digest()


def object_id(kind: str, content: bytes) -> ObjectId:
    """Return the id of the object of `kind` with the canonical bytes `content`."""
    hasher = blake3(b"%s %d\0" % (kind.encode("ascii"), len(content)))
    hasher.update(content)
    return ObjectId(hasher.digest())


def parse_id(text: str) -> ObjectId:
    """Return the id written as 64 lower-case hex digits, or raise FormatError."""
    if not _HEX.fullmatch(text):
        raise FormatError(f"not an object id: {text[:80]!r}")
    return ObjectId(bytes.fromhex(text))


def check_id(raw: object) -> ObjectId:
    """Return `raw` if it is 32 bytes, or raise FormatError."""
    if type(raw) is not bytes or len(raw) != ID_BYTES:
        raise FormatError("an object id is 32 bytes")
    return ObjectId(raw)


def is_prefix(text: str) -> bool:
    """Tell whether `text` can be an abbreviated id: 4 to 64 lower-case hex digits."""
    return _PREFIX.fullmatch(text) is not None
