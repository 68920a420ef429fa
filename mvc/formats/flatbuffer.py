"""FlatBuffers tables, vectors and strings, read in place and within bounds.

Owns offsets and vtables; knows no schema. Every offset is checked against the file before it is
followed. Specification: flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mvc.base.errors import FormatError
from mvc.formats.base import Source, check_range

_PAGE = 1 << 14
_PAGES = 256

_LAYOUTS = {
    name: struct.Struct("<" + code)
    for name, code in (("u8", "B"), ("i8", "b"), ("u16", "H"), ("u32", "I"), ("i32", "i"))
}
_LAYOUTS["u64"] = struct.Struct("<Q")


class Flatbuffer:
    """Scalars, offsets and vectors at positions of one file, through a small cache of pages."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pages: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self._source.size

    def root(self) -> Table:
        """Return the root table."""
        return Table.at(self, self.scalar("u32", 0))

    def bytes_at(self, position: int, length: int) -> bytes:
        """Return a short run of bytes."""
        check_range(position, length, self.size)
        number, index = divmod(position, _PAGE)
        if index + length > _PAGE:
            return self._source.read_at(position, length)
        page = self._pages.get(number)
        if page is None:
            if len(self._pages) >= _PAGES:
                self._pages.clear()
            start = number * _PAGE
            page = self._source.read_at(start, min(_PAGE, self.size - start))
            self._pages[number] = page
        return page[index : index + length]

    def scalar(self, kind: str, position: int) -> int:
        """Return the number of type `kind` (u8, i8, u16, u32, i32, u64) at a position."""
        layout = _LAYOUTS[kind]
        return int(layout.unpack(self.bytes_at(position, layout.size))[0])

    def follow(self, position: int) -> int:
        """Return where the forward offset stored at a position leads."""
        target = position + self.scalar("u32", position)
        if target == position or target + 4 > self.size:
            raise FormatError("an offset leads outside the file")
        return target

    def vector(self, position: int, width: int) -> tuple[int, int]:
        """Return where the elements of a vector begin and how many of `width` bytes it has."""
        start = self.follow(position)
        count = self.scalar("u32", start)
        if start + 4 + count * width > self.size:
            raise FormatError(f"a vector of {count} elements is longer than the file")
        return start + 4, count


@dataclass(frozen=True, slots=True)
class Table:
    """One table: where it lies and where its fields are."""

    buffer: Flatbuffer
    position: int
    fields: tuple[int, ...]
    extent: int

    @classmethod
    def at(cls, buffer: Flatbuffer, position: int) -> Table:
        """Read the table at a position.

        Raises:
            FormatError: the table or its vtable does not lie inside the file.
        """
        vtable = position - buffer.scalar("i32", position)
        size = buffer.scalar("u16", vtable)
        extent = buffer.scalar("u16", vtable + 2)
        if size < 4 or size % 2 or extent < 4:
            raise FormatError("a table has an impossible vtable")
        check_range(position, extent, buffer.size)
        raw = buffer.bytes_at(vtable + 4, size - 4)
        return cls(buffer, position, struct.unpack(f"<{len(raw) // 2}H", raw), extent)

    def where(self, field: int, width: int) -> int | None:
        """Return where a field of `width` bytes lies, None if the table leaves it out."""
        offset = self.fields[field] if field < len(self.fields) else 0
        if not offset:
            return None
        if offset < 4 or offset + width > self.extent:
            raise FormatError("a field lies outside its table")
        return self.position + offset

    def scalar(self, field: int, kind: str, default: int = 0) -> int:
        """Return a number field."""
        position = self.where(field, _LAYOUTS[kind].size)
        return default if position is None else self.buffer.scalar(kind, position)

    def vector(self, field: int, width: int) -> tuple[int, int] | None:
        """Return (start, count) of a vector field, None if the table leaves it out."""
        position = self.where(field, 4)
        return None if position is None else self.buffer.vector(position, width)

    def tables(self, field: int, limit: int) -> list[int]:
        """Return the positions of the tables in a vector field, refusing more than `limit`."""
        found = self.vector(field, 4)
        if found is None:
            return []
        start, count = found
        if count > limit:
            raise FormatError(f"a vector of {count} tables is above the limit of {limit}")
        return [self.buffer.follow(start + 4 * index) for index in range(count)]

    def numbers(self, field: int, limit: int) -> tuple[int, ...]:
        """Return a vector of int32, refusing more than `limit` elements."""
        found = self.vector(field, 4)
        if found is None:
            return ()
        start, count = found
        if count > limit:
            raise FormatError(f"a vector of {count} numbers is above the limit of {limit}")
        return struct.unpack(f"<{count}i", self.buffer.bytes_at(start, 4 * count))

    def text(self, field: int, limit: int) -> str:
        """Return a string field of at most `limit` bytes."""
        found = self.vector(field, 1)
        if found is None:
            return ""
        start, count = found
        if count > limit:
            raise FormatError(f"a name of {count} bytes is above the limit of {limit}")
        try:
            return self.buffer.bytes_at(start, count).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError("a name is not UTF-8") from None
