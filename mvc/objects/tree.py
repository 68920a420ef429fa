"""Trees: of files in a version, and of tensors in a checkpoint (docs/format.md, "Tree").

A tensor name is cut after each `.` and `/`, and the pieces keep their separator, so that joining
the pieces on the way down gives the name back and `a`, `a.b` and `a/b` can live side by side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, Self

from mvc.base.errors import FormatError, LimitError
from mvc.base.ids import ObjectId, check_id
from mvc.objects import canonical
from mvc.objects.canonical import array, natural, text

MAX_ENTRIES = 1_000_000
MAX_COMPONENT = 4096
MAX_VALUES = 1 + 5 * MAX_ENTRIES
MAX_TENSOR_DEPTH = 24

EntryKind = Literal["tree", "blob", "checkpoint", "tensor"]
_CODES: dict[EntryKind, int] = {"tree": 0, "blob": 1, "checkpoint": 2, "tensor": 3}
_KINDS: dict[int, EntryKind] = {code: kind for kind, code in _CODES.items()}
_PIECE = re.compile(r"[^./]*[./]|[^./]+\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree; `size` is the bytes of the file or tensor, or of all below."""

    name: str
    kind: EntryKind
    id: ObjectId
    size: int

    def __post_init__(self) -> None:
        text(self.name, MAX_COMPONENT)
        check_id(self.id)
        natural(self.size)


@dataclass(frozen=True, slots=True)
class Tree:
    """Entries in the order of their names' UTF-8 bytes, each name once."""

    KIND: ClassVar[str] = "tree"
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if len(self.entries) > MAX_ENTRIES:
            raise LimitError(f"a tree of more than {MAX_ENTRIES} entries")
        keys = [entry.name for entry in self.entries]
        if any(one >= two for one, two in pairwise(keys)):
            raise FormatError("a tree's names are out of order")

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            [[entry.name, _CODES[entry.kind], entry.id, entry.size] for entry in self.entries]
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the tree of canonical bytes, or raise FormatError."""
        return cls(
            tuple(_entry(item) for item in array(canonical.decode(data, MAX_VALUES), MAX_ENTRIES))
        )

    def get(self, name: str) -> Entry | None:
        """Return the entry called `name`."""
        return next((entry for entry in self.entries if entry.name == name), None)

    @property
    def size(self) -> int:
        """The bytes of everything below."""
        return sum(entry.size for entry in self.entries)


def _entry(value: object) -> Entry:
    items = array(value, 4)
    if len(items) != 4:
        raise FormatError("a tree entry has four parts")
    kind = _KINDS.get(natural(items[1]))
    if kind is None:
        raise FormatError("a tree entry has an unknown kind")
    return Entry(items[0], kind, items[2], items[3])


def tensor_path(name: str) -> tuple[str, ...]:
    """Return the pieces of a tensor name: directories first, the leaf last (it may be empty)."""
    pieces = _PIECE.findall(name)
    joined = "".join(pieces)
    if not pieces or pieces[-1][-1] in "./":
        pieces.append("")
    if joined != name:
        raise FormatError("a tensor name cannot be cut into pieces")
    if len(pieces) > MAX_TENSOR_DEPTH:
        head = pieces[: MAX_TENSOR_DEPTH - 1]
        pieces = [*head, name[sum(map(len, head)) :]]
    return tuple(pieces)
