"""Since when nothing reaches an object: what gives people time to change their mind.

A local file that may be lost: the time then starts anew. Clocks decide how long garbage is kept and
nothing else; whether something is garbage is decided from refs, while no writer is at work.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import xxhash

from mvc.base import fileio
from mvc.base.errors import NotFoundError
from mvc.base.ids import ID_BYTES, ObjectId

MAGIC = b"MVCGONE\x01"
_TIME = struct.Struct("<Q")
_ROW = ID_BYTES + _TIME.size
_LATEST = 2**63


def load(path: Path) -> dict[ObjectId, int]:
    """Return when each object was first found unreachable, in microseconds since the epoch."""
    try:
        data = fileio.read_bytes(path)
    except NotFoundError:
        return {}
    rows = data[len(MAGIC) : -_TIME.size]
    intact = data.startswith(MAGIC) and data[-_TIME.size :] == _check(rows)
    if not intact or len(rows) % _ROW:
        return {}
    return {
        ObjectId(rows[at : at + ID_BYTES]): _TIME.unpack_from(rows, at + ID_BYTES)[0]
        for at in range(0, len(rows), _ROW)
    }


def save(path: Path, staging: Path, since: Mapping[ObjectId, int]) -> None:
    """Write it, in one step."""
    rows = b"".join(
        item + _TIME.pack(min(max(time, 0), _LATEST)) for item, time in sorted(since.items())
    )
    fileio.clear(staging)
    fileio.write_file(path, MAGIC + rows + _check(rows), staging)


def _check(rows: bytes) -> bytes:
    return _TIME.pack(xxhash.xxh3_64_intdigest(rows))
