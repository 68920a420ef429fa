"""Pack files: immutable, self-describing, a head and a tail (docs/format.md, "Packs").

The head holds metadata blocks, top segments and the directory; the tail holds lower segments. A
pack is named after its directory, which holds the checksum of every section.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import xxhash

from mvc.base import fileio
from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId, object_id
from mvc.objects import canonical
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store import block
from mvc.store.directory import (
    CHECK_BITS,
    MAX_SPAN,
    BlockEntry,
    ChunkEntry,
    PackEntry,
    Section,
    check_of,
    decode_entry,
)
from mvc.store.rows import Row, Written

HEAD_MAGIC = b"MVCPACK\x02"
TAIL_MAGIC = b"MVCTAIL\x01"
END_MAGIC = b"MVCEND\x00\x01"
FOOTER = struct.Struct("<QQQQQ8s")
TAIL_FOOTER = struct.Struct("<32sQ8s")
MAX_DIRECTORY = 4 << 30
_STEP = 1 << 24


@dataclass(frozen=True, slots=True)
class NewChunk:
    """An encoded chunk that is not in a pack yet."""

    id: ObjectId
    word: int
    words: int
    transform: int
    base: ObjectId | None
    depth: int
    sections: tuple[bytes, ...]
    digests: tuple[bytes, ...]
    factors: ObjectId | None = None


class _Checked(fileio.StagedFile):
    """A staged file that knows the checksum of its content."""

    def __init__(self, workspace: fileio.Workspace) -> None:
        super().__init__(workspace.path)
        self._check = xxhash.xxh3_128()

    def write(self, data: fileio.Buffer) -> None:
        """Append `data`."""
        super().write(data)
        self._check.update(data)

    def publish(self, storage: Storage, key: str) -> None:
        """Store the content under `key`, or raise IntegrityError where other bytes have it.

        A pack of this name holds the same objects, but a damaged one must not pass for it.
        """
        if storage.write_new(key, self.seal()):
            return
        there = xxhash.xxh3_128()
        try:
            for at in range(0, self.size, _STEP):
                there.update(storage.read_range(key, at, min(_STEP, self.size - at)))
        except FormatError:
            there.reset()
        sizes = [item.size for item in storage.list(key) if item.key == key]
        if there.digest() != self._check.digest() or sizes != [self.size]:
            raise IntegrityError(
                f"{key} is there already and damaged", hint="run `mvc fsck` to see what it affects"
            )


class PackFile(Protocol):
    """A file of a pack that is being written."""

    path: Path
    size: int

    def write(self, data: fileio.Buffer) -> None:
        """Append `data`."""
        ...

    def publish(self, storage: Storage, key: str) -> None:
        """Store the content under `key`."""
        ...

    def seal(self, *, durable: bool = True) -> object:
        """Close the file, which stays where it is."""
        ...

    def discard(self) -> None:
        """Remove the file."""
        ...


class PackWriter:
    """Collects records in two staged files and publishes them, tail before head."""

    def __init__(self, workspace: fileio.Workspace) -> None:
        self.head = self._file(workspace)
        self.tail = self._file(workspace)
        self.head.write(HEAD_MAGIC)
        self.tail.write(TAIL_MAGIC)
        self._directory = bytearray()
        self._entries = 0
        self._waiting: list[block.Item] = []
        self._waiting_bytes = 0
        self._rows: list[Row] = []
        # Bytes of sections that the tail would have had in a pack of heads alone.
        self._left_out = 0
        # The directory's latest chunks, whose ids a block may leave out, with their offsets.
        self._recent: deque[tuple[int, ObjectId]] = deque()

    def _file(self, workspace: fileio.Workspace) -> PackFile:
        return _Checked(workspace)

    @property
    def size(self) -> int:
        """Bytes written so far, and those of the directory."""
        return self.head.size + self.tail.size + len(self._directory)

    @property
    def tail_bytes(self) -> int:
        """Bytes of the tail file; a pack without lower segments has none."""
        return self.tail.size if self.tail.size > len(TAIL_MAGIC) else 0

    @property
    def files(self) -> tuple[Path, Path]:
        """The staged files of head and tail."""
        return self.head.path, self.tail.path

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to publish."""
        return not self._entries and not self._waiting

    def add_chunk(self, chunk: NewChunk) -> ChunkEntry:
        """Append a chunk's sections and its directory entry, which is returned."""
        top, *lower = chunk.sections
        sections = [self._put(self.head, top, b"")]
        for part, digest in zip(lower, chunk.digests[1:], strict=True):
            sections.append(self._put(self.tail, part, digest))
        return self._add(chunk, sections)

    def add_top(self, chunk: NewChunk, lower: Sequence[Section]) -> ChunkEntry:
        """Append the first section of a chunk; of the others it is told what they are.

        The files are then those of a pack whose tail is left out: add all chunks so.
        """
        sections = [self._put(self.head, chunk.sections[0], b"")]
        for part in lower:
            check = part.check & (1 << CHECK_BITS[2]) - 1
            at = self.tail.size + self._left_out
            sections.append(Section(at, part.length, check, part.digest))
            self._left_out += part.length
        return self._add(chunk, sections)

    def add_object(self, item: block.Item) -> None:
        """Append a metadata object; it reaches the file with its block."""
        self._waiting.append(item)
        self._waiting_bytes += len(item.content)
        if self._waiting_bytes >= block.TARGET_BYTES:
            self._flush_block()

    def publish(self, storage: Storage, about: Callable[[str], None] = lambda _: None) -> Written:
        """Make the pack durable under its name and return what it holds.

        `about` is told the name before there is anything under it.
        """
        written = self.finish()
        about(written.name)
        if self.tail_bytes:
            self.tail.publish(storage, keys.pack_tail(written.name))
        self.tail.discard()
        self.head.publish(storage, keys.pack_head(written.name))
        return written

    def finish(self) -> Written:
        """Complete both files, which stay where they are, and return what they hold."""
        self._flush_block()
        tail_bytes = self.tail.size + self._left_out - len(TAIL_MAGIC)
        name = pack_name(bytes(self._directory), tail_bytes)
        at = self.head.size
        check = xxhash.xxh3_64_intdigest(self._directory)
        self.head.write(self._directory)
        self.head.write(
            FOOTER.pack(at, len(self._directory), self._entries, tail_bytes, check, END_MAGIC)
        )
        if self.tail_bytes:
            self.tail.write(TAIL_FOOTER.pack(bytes.fromhex(name), tail_bytes, END_MAGIC))
        return Written(name, at, self.head.size, tuple(self._rows))

    def close(self) -> None:
        """Close the staged files, which stay where they are and are not durable."""
        self.head.seal(durable=False)
        self.tail.seal(durable=False)

    def discard(self) -> None:
        """Remove the staged files."""
        self.head.discard()
        self.tail.discard()

    def _add(self, chunk: NewChunk, sections: Sequence[Section]) -> ChunkEntry:
        entry = ChunkEntry(
            chunk.id,
            chunk.word,
            chunk.words,
            chunk.transform,
            chunk.base,
            chunk.depth,
            tuple(sections),
            chunk.factors,
        )
        self._rows.append(Row(chunk.id, "chunk", len(self._directory)))
        self._recent.append((len(self._directory), chunk.id))
        self._enter(entry)
        self._forget_far()
        return entry

    def _put(self, file: PackFile, data: bytes, digest: bytes) -> Section:
        section = Section(file.size, len(data), check_of(data, 2), digest)
        file.write(data)
        return section

    def _enter(self, entry: PackEntry) -> None:
        """Append a directory entry; FormatError if no reader would take it, nor the pack."""
        data = entry.encode()
        decode_entry(data)
        self._directory += data
        self._entries += 1

    def _forget_far(self) -> None:
        while self._recent and self._recent[0][0] < len(self._directory) - MAX_SPAN:
            self._recent.popleft()

    def _flush_block(self) -> None:
        if not self._waiting:
            return
        at = len(self._directory)
        self._forget_far()
        frame, size, reach = block.compress(self._waiting, [name for _, name in self._recent])
        first = self._recent[-reach][0] if reach else at
        place = self._put(self.head, frame, b"")
        for number, item in enumerate(self._waiting):
            self._rows.append(Row(item.id, item.kind, at, number))
        count = len(self._waiting)
        ids = (first, at - first) if reach else (0, 0)
        self._enter(BlockEntry(place.at, place.length, place.check, size, count, *ids))
        self._waiting, self._waiting_bytes = [], 0


def pack_name(directory: bytes, tail_bytes: int) -> str:
    """Return the name of the pack with this directory."""
    return object_id("pack", canonical.encode([tail_bytes]) + directory).hex()
