"""Reading packs: the directory, metadata blocks, and the sections of a chunk."""

from __future__ import annotations

from collections.abc import Iterator

import msgpack
import xxhash

from mvc.base.errors import FormatError, IntegrityError, LimitError, NotFoundError
from mvc.base.ids import ID_BYTES, ObjectId
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store import block
from mvc.store.directory import MAX_ENTRY, BlockEntry, ChunkEntry, PackEntry, build_entry
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

    def items(self, entry: BlockEntry) -> list[block.Item]:
        """Return the objects of a metadata block."""
        return block.unpack_items(
            entry, self._section(self._head, entry.at, entry.length, entry.check)
        )

    def sections(self, entry: ChunkEntry, count: int) -> tuple[bytes, ...]:
        """Return the first `count` sections of a chunk; one section reads the head alone."""
        return tuple(
            self._section(self._tail if number else self._head, part.at, part.length, part.check)
            for number, part in enumerate(entry.sections[:count])
        )

    def _section(self, key: str, at: int, length: int, check: int) -> bytes:
        try:
            data = self._storage.read_range(key, at, length)
        except (FormatError, NotFoundError) as error:
            raise IntegrityError(
                f"{key} is missing or too short", hint="run `mvc fsck` to see what it affects"
            ) from error
        if xxhash.xxh3_64_intdigest(data) != check:
            raise IntegrityError(
                f"{key} is damaged at byte {at}", hint="run `mvc fsck` to see what it affects"
            )
        return data


def parse(data: bytes, *, whole: bool) -> Iterator[tuple[int, PackEntry]]:
    """Yield (offset, entry) of consecutive entries; unless `whole`, the last may be cut off."""
    unpacker = msgpack.Unpacker(
        raw=False,
        max_buffer_size=max(len(data), 1),
        max_array_len=16,
        max_bin_len=ID_BYTES,
        max_str_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    unpacker.feed(data)
    at = 0
    while at < len(data):
        try:
            value = unpacker.unpack()
        except msgpack.OutOfData:
            if whole:
                raise FormatError("a pack directory ends inside an entry") from None
            return
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise FormatError(f"a pack directory is damaged: {str(error)[:80]}") from error
        yield at, build_entry(value)
        at = unpacker.tell()


def open_pack(storage: Storage, name: str, head_size: int) -> tuple[PackReader, bytes]:
    """Return a reader and the directory of a pack whose head has `head_size` bytes.

    Checks magic numbers, the footer, the directory against the pack's name, and that the tail is
    there in full. Raises IntegrityError.
    """
    head, tail = keys.pack_head(name), keys.pack_tail(name)
    try:
        _check_magic(storage.read_range(head, 0, len(HEAD_MAGIC)), HEAD_MAGIC)
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
            _check_magic(storage.read_range(tail, 0, len(TAIL_MAGIC)), TAIL_MAGIC)
            end = storage.read_range(tail, len(TAIL_MAGIC) + tail_bytes, TAIL_FOOTER.size)
            if TAIL_FOOTER.unpack(end) != (bytes.fromhex(name), tail_bytes, END_MAGIC):
                raise FormatError("its tail belongs to another pack")
    except (FormatError, NotFoundError) as error:
        raise IntegrityError(f"pack {name[:12]} is damaged: {error.message}") from error
    return PackReader(storage, name, at, head_size), directory


def _check_magic(found: bytes, expected: bytes) -> None:
    if found == expected:
        return
    if found[:-1] == expected[:-1]:
        raise FormatError(f"it has version {found[-1]}, and this mvc reads {expected[-1]}")
    raise FormatError("unknown magic")


def read_rows(storage: Storage, name: str, head_size: int) -> Written:
    """Return what the index needs of a pack, from the pack alone."""
    reader, directory = open_pack(storage, name, head_size)
    rows: dict[ObjectId, Row] = {}
    entries = 0
    for at, entry in parse(directory, whole=True):
        entries += 1
        if isinstance(entry, ChunkEntry):
            found = [Row(entry.id, "chunk", at)]
        else:
            found = [Row(item.id, item.kind, at, n) for n, item in enumerate(reader.items(entry))]
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
