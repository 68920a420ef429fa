"""Packs that are put together as they are read: sections of other packs are not copied before.

They are for whoever sends a pack on, and have no name in any storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mvc.base import fileio
from mvc.storage.base import Storage
from mvc.store.directory import ChunkEntry, Section, check_of
from mvc.store.pack import NewChunk, PackFile, PackWriter


class Source(NamedTuple):
    """Where the bytes of a section are."""

    storage: Storage
    key: str
    at: int


class _Piece(NamedTuple):
    """A run of bytes: of a key of a storage, or else of what was written."""

    place: tuple[Storage, str] | None
    at: int
    length: int


class ComposedFile:
    """A file of which some is written and some lies elsewhere."""

    def __init__(self, workspace: fileio.Workspace) -> None:
        self._written = fileio.StagedFile(workspace.path)
        self._pieces: list[_Piece] = []
        self.path = self._written.path
        self.size = 0

    def write(self, data: fileio.Buffer) -> None:
        """Append `data`."""
        at = self._written.size
        self._written.write(data)
        self._append(_Piece(None, at, self._written.size - at))

    def refer(self, source: Source, length: int) -> None:
        """Append bytes that lie elsewhere, and do not change there."""
        self._append(_Piece((source.storage, source.key), source.at, length))

    def read(self, most: int) -> Iterator[bytes]:
        """Yield all bytes, about as many at a time as may be."""
        held: list[bytes] = []
        room = most
        with fileio.Reader(self.path) as written:
            for place, start, length in self._pieces:
                at, end = start, start + length
                while at < end:
                    size = min(room, end - at)
                    if place is None:
                        held.append(written.read_at(at, size))
                    else:
                        held.append(place[0].read_range(place[1], at, size))
                    at, room = at + size, room - size
                    if not room:
                        yield _joined(held)
                        held, room = [], most
        if held:
            yield _joined(held)

    def seal(self, *, durable: bool = True) -> None:
        """Close what was written."""
        self._written.seal(durable=durable)

    def discard(self) -> None:
        """Remove what was written."""
        self._written.discard()

    def publish(self, storage: Storage, key: str) -> None:
        """Refuse: what lies elsewhere may go."""
        raise NotImplementedError("this pack is to be sent")

    def _append(self, piece: _Piece) -> None:
        self.size += piece.length
        last = self._pieces[-1] if self._pieces else None
        if last and last.place == piece.place and last.at + last.length == piece.at:
            self._pieces[-1] = _Piece(last.place, last.at, last.length + piece.length)
        else:
            self._pieces.append(piece)


def _joined(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


class ComposedPackWriter(PackWriter):
    """Writes a pack of which `head` and `tail` are read when it is finished."""

    head: ComposedFile
    tail: ComposedFile

    def _file(self, workspace: fileio.Workspace) -> PackFile:
        return ComposedFile(workspace)

    def add_stored(self, chunk: NewChunk, sources: Sequence[Source]) -> ChunkEntry:
        """Append a chunk whose sections lie elsewhere too, where they are read once more."""
        sections = []
        for number, (data, source) in enumerate(zip(chunk.sections, sources, strict=True)):
            file = self.tail if number else self.head
            digest = chunk.digests[number] if number else b""
            sections.append(Section(file.size, len(data), check_of(data, 2), digest))
            file.refer(source, len(data))
        return self._add(chunk, sections)
