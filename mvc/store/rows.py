"""What the index keeps of a pack. Named tuples: every command loads them, so they start fast."""

from __future__ import annotations

from typing import NamedTuple

from mvc.base.ids import ObjectId


class Row(NamedTuple):
    """Where an object is: the offset of its directory entry, and its place in a block."""

    id: ObjectId
    kind: str
    at: int
    place: int = 0


class Written(NamedTuple):
    """A pack that is in storage, with what the index needs to know of it."""

    name: str
    directory_at: int
    head_bytes: int
    rows: tuple[Row, ...]
