"""Reading packs: the directory, metadata blocks, and the sections of a chunk."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgpack
import xxhash

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    LimitError,
    NotFoundError,
    TailAwayError,
)
from mvc.base.ids import ID_BYTES, ObjectId
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store import block
from mvc.store.directory import (
    LONGEST,
    MAX_ENTRY,
    BlockEntry,
    ChunkEntry,
    PackEntry,
    build_entry,
    named,
)
from mvc.store.pack import (
    END_MAGIC,
    FOOTER,
    HEAD_MAGIC,
    MAX_DIRECTORY,
    TAIL_FOOTER,
    TAIL_MAGIC,
    pack_name,
)
from mvc.store.rows import Row, Written

_WINDOW = 1 << 16


class PackReader:
    """Reads one pack; every section is checked against its xxh3 before it is used.

    `directory_at` is where the directory starts in the head, which has `head_bytes`.
    """

    def __init__(self, storage: Storage, name: str, directory_at: int, head_bytes: int) -> None:
        self._storage = storage
        self.name = name
        self._directory_at = directory_at
        self._directory_end = head_bytes - FOOTER.size
        self._head = keys.pack_head(name)
        self._tail = keys.pack_tail(name)

    def entry(self, at: int) -> PackEntry:
        """Return the directory entry at an offset into the directory."""
        start = self._directory_at + at
        length = max(0, min(MAX_ENTRY, self._directory_end - start))
        window = self._storage.read_range(self._head, start, length)
        for _, entry in parse(window, whole=False):
            return entry
        raise FormatError(f"the directory of pack {self.name[:12]} is damaged")

    def items(
        self, entry: BlockEntry, chunks: Sequence[ObjectId] | None = None
    ) -> list[block.Item]:
        """Return the objects of a metadata block.

        `chunks` are the ids that the block leaves out, for whoever has read the directory.
        """
        frame = self._frame(entry)
        return block.unpack_items(entry, frame, self._ids(entry) if chunks is None else chunks)

    def history(self, entry: BlockEntry) -> list[block.Item]:
        """Return the commits and tags of a metadata block, reading nothing else for them."""
        return block.unpack_history(entry, self._frame(entry))

    def sections(self, entry: ChunkEntry, count: int) -> tuple[bytes, ...]:
        """Return the first `count` sections of a chunk; one section reads the head alone."""
        found = []
        for number, part in enumerate(entry.sections[:count]):
            key = self._tail if number else self._head
            data = self._section(key, part.at, part.length)
            if not entry.intact(number, data):
                raise _damaged(key, part.at)
            found.append(data)
        return tuple(found)

    def places(self, entry: ChunkEntry) -> list[tuple[Storage, str, int]]:
        """Return where the sections of a chunk lie: a storage, a key and an offset each."""
        return [
            (self._storage, self._tail if number else self._head, part.at)
            for number, part in enumerate(entry.sections)
        ]

    def _ids(self, entry: BlockEntry) -> list[ObjectId]:
        """Return the ids of the chunks in the part of the directory that a block refers to."""
        if not entry.span:
            return []
        start = self._directory_at + entry.first
        if start + entry.span > self._directory_end:
            raise FormatError(f"a block of pack {self.name[:12]} lies about the directory")
        part = self._storage.read_range(self._head, start, entry.span)
        return [name for _, value in _windows(part, whole=True) if (name := named(value))]

    def _frame(self, entry: BlockEntry) -> bytes:
        frame = self._section(self._head, entry.at, entry.length)
        if not entry.intact(frame):
            raise _damaged(self._head, entry.at)
        return frame

    def _section(self, key: str, at: int, length: int) -> bytes:
        try:
            return self._storage.read_range(key, at, length)
        except TailAwayError:
            raise
        except (FormatError, NotFoundError) as error:
            raise IntegrityError(
                f"{key} is missing or too short", hint="run `mvc fsck` to see what it affects"
            ) from error


def _damaged(key: str, at: int) -> IntegrityError:
    return IntegrityError(
        f"{key} is damaged at byte {at}", hint="run `mvc fsck` to see what it affects"
    )


def parse(data: bytes, *, whole: bool) -> Iterator[tuple[int, PackEntry]]:
    """Yield (offset, entry) of consecutive entries; unless `whole`, the last may be cut off."""
    for at, value in _windows(data, whole=whole):
        yield at, build_entry(value)


def _windows(data: bytes, *, whole: bool) -> Iterator[tuple[int, object]]:
    at = 0
    while at < len(data):
        start, window = at, data[at : at + _WINDOW]
        for end, value in _values(window):
            yield at, value
            at = start + end
        left = start + len(window) - at
        if left > MAX_ENTRY:
            raise FormatError("a pack directory has an entry that is too long")
        if left and start + len(window) == len(data):
            if whole:
                raise FormatError("a pack directory ends inside an entry")
            return


def _values(window: bytes) -> Iterator[tuple[int, object]]:
    """Yield each whole msgpack value that is at most MAX_ENTRY long, and where it ends.

    A window bounds what nested arrays may take before anyone looks at them.
    """
    unpacker = msgpack.Unpacker(
        raw=False,
        max_buffer_size=len(window),
        max_array_len=LONGEST,
        max_bin_len=ID_BYTES,
        max_str_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    unpacker.feed(window)
    at = 0
    while at < len(window):
        try:
            value = unpacker.unpack()
        except msgpack.OutOfData:
            return
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise FormatError(f"a pack directory is damaged: {str(error)[:80]}") from error
        if unpacker.tell() - at > MAX_ENTRY:
            raise FormatError("a pack directory has an entry that is too long")
        at = unpacker.tell()
        yield at, value


def open_pack(storage: Storage, name: str, head_size: int) -> tuple[PackReader, bytes]:
    """Return a reader and the directory of a pack whose head has `head_size` bytes.

    Checks magic numbers, the footer, the directory against the pack's name, and that the tail is
    there in full. Raises IntegrityError.
    """
    reader, directory, _ = _open(storage, name, head_size)
    return reader, directory


def _open(storage: Storage, name: str, head_size: int) -> tuple[PackReader, bytes, int]:
    """Return what `open_pack` returns, and the version of the head."""
    head = keys.pack_head(name)
    try:
        version = _version(storage.read_range(head, 0, len(HEAD_MAGIC)), HEAD_MAGIC)
        footer = storage.read_range(head, head_size - FOOTER.size, FOOTER.size)
        at, length, _, tail_bytes, check, magic = FOOTER.unpack(footer)
        if magic != END_MAGIC or at + length + FOOTER.size != head_size:
            raise FormatError("the footer is damaged")
        if length > MAX_DIRECTORY:
            raise LimitError("the directory is too large")
        directory = storage.read_range(head, at, length)
        if xxhash.xxh3_64_intdigest(directory) != check or pack_name(directory, tail_bytes) != name:
            raise FormatError("the directory is damaged")
        if tail_bytes:
            _check_tail(storage, name, tail_bytes)
    except (FormatError, NotFoundError) as error:
        raise IntegrityError(f"pack {name[:12]} is damaged: {error.message}") from error
    return PackReader(storage, name, at, head_size), directory, version


def _check_tail(storage: Storage, name: str, tail_bytes: int) -> None:
    """Raise FormatError or NotFoundError unless a pack's tail is there in full, or offloaded."""
    key = keys.pack_tail(name)
    try:
        _version(storage.read_range(key, 0, len(TAIL_MAGIC)), TAIL_MAGIC)
        end = storage.read_range(key, len(TAIL_MAGIC) + tail_bytes, TAIL_FOOTER.size)
    except TailAwayError:
        return
    if TAIL_FOOTER.unpack(end) != (bytes.fromhex(name), tail_bytes, END_MAGIC):
        raise FormatError("its tail belongs to another pack")


def _version(found: bytes, newest: bytes) -> int:
    """Return the version in a file's first bytes, at least 1 and at most that of `newest`."""
    if found[:-1] != newest[:-1]:
        raise FormatError("unknown magic")
    if not 1 <= found[-1] <= newest[-1]:
        raise FormatError(f"it has version {found[-1]}, and this mvc reads up to {newest[-1]}")
    return found[-1]


def read_rows(storage: Storage, name: str, head_size: int) -> Written:
    """Return what the index needs of a pack, from the pack alone."""
    reader, directory, version = _open(storage, name, head_size)
    rows: dict[ObjectId, Row] = {}
    chunks = _Chunks()
    entries = 0
    for at, entry in parse(directory, whole=True):
        entries += 1
        if entry.version > version:
            raise FormatError(f"pack {name[:12]} of version {version} has entries of another")
        if isinstance(entry, ChunkEntry):
            found = [Row(entry.id, "chunk", at)]
            chunks.add(at, entry.id)
        else:
            items = reader.items(entry, chunks.before(entry, at))
            found = [Row(item.id, item.kind, at, n) for n, item in enumerate(items)]
        before = len(rows)
        rows.update((row.id, row) for row in found)
        # A few bytes that announce the same objects again and again must not fill the memory.
        if len(rows) != before + len(found):
            raise FormatError(f"pack {name[:12]} holds an object twice")
    footer = storage.read_range(keys.pack_head(name), head_size - FOOTER.size, FOOTER.size)
    if FOOTER.unpack(footer)[2] != entries:
        raise FormatError(f"pack {name[:12]} does not have as many entries as it says")
    directory_at = head_size - FOOTER.size - len(directory)
    return Written(name, directory_at, head_size, tuple(rows.values()))


class _Chunks:
    """The chunks of a directory that is being read, by the offsets of their entries."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._ids: list[ObjectId] = []

    def add(self, at: int, name: ObjectId) -> None:
        """Note the chunk whose entry is at an offset behind all others."""
        self._offsets.append(at)
        self._ids.append(name)

    def before(self, entry: BlockEntry, at: int) -> list[ObjectId]:
        """Return the ids that a block leaves out, whose own entry is at `at`."""
        if not entry.span:
            return []
        low = bisect_left(self._offsets, entry.first)
        if entry.first + entry.span != at or self._offsets[low : low + 1] != [entry.first]:
            raise FormatError("a block refers to no chunks of its pack")
        return self._ids[low:]
