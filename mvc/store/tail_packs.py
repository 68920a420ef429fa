"""Tails as a whole: what a pack keeps in its tail, and making a tail anew.

A tail comes back byte for byte where the other side has the same pack. Where it stores the chunks
otherwise, they are coded again into a pack that takes the old one's place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mvc.base import fileio
from mvc.base.dtypes import Family
from mvc.base.errors import FormatError, IntegrityError, NotFoundError
from mvc.codec import merged, section
from mvc.codec.chunk import Transform
from mvc.codec.segments import join
from mvc.storage import keys
from mvc.storage.base import Storage
from mvc.store import sweep
from mvc.store.chunks import Words, code
from mvc.store.directory import BlockEntry, ChunkEntry
from mvc.store.locks import alone
from mvc.store.object_store import ObjectStore
from mvc.store.pack_reader import PackReader, open_pack, parse
from mvc.store.rewrite import Rewriter
from mvc.store.tails import OffloadingStorage, TailSource

_STEP = 16 << 20
_ONE_PACK = 1 << 62


def lower_chunks(storage: Storage, pack: str, head_bytes: int) -> list[ChunkEntry]:
    """Return the records of a pack that have sections in its tail, or raise IntegrityError.

    The tail need not be there.
    """
    storage = OffloadingStorage(storage, lambda: {pack: ""})
    _, directory = open_pack(storage, pack, head_bytes)
    return [entry for entry in _chunks(directory) if len(entry.sections) > 1]


def copy_tail(store: ObjectStore, pack: str, source: Storage, scratch: Path) -> int | None:
    """Copy a tail from a storage that has the same pack; return its size.

    None if that storage has it not, or not whole. Every section is checked on the way.
    """
    key = keys.pack_tail(pack)
    size = next((item.size for item in source.list(key) if item.key == key), None)
    heads = {item.key: item.size for item in store.storage.list(keys.pack_head(pack))}
    if size is None or keys.pack_head(pack) not in heads:
        return None
    _, directory = open_pack(store.storage, pack, heads[keys.pack_head(pack)])
    try:
        # The same pack there has the same directory; its tail is held against the one here.
        open_pack(source, pack, heads[keys.pack_head(pack)])
        _check_sections(PackReader(source, pack, 0, 0), directory)
    except (IntegrityError, FormatError, NotFoundError):
        return None
    fileio.reap(scratch)
    with fileio.Workspace(scratch) as workspace:
        staged = fileio.StagedFile(workspace.path)
        try:
            for at in range(0, size, _STEP):
                staged.write(source.read_range(key, at, min(_STEP, size - at)))
            store.storage.write_new(key, staged.seal())
        finally:
            staged.discard()
    return size


def _check_sections(reader: PackReader, directory: bytes) -> None:
    for entry in _chunks(directory):
        reader.sections(entry, len(entry.sections))


def rebuild(store: ObjectStore, pack: str, source: TailSource, scratch: Path) -> int:
    """Put a pack with all its sections in the place of one without a tail; return its size.

    What the new pack holds is no deeper than it was, so that nothing that stands on it falls.
    Raises IntegrityError or NotFoundError if the source lacks a chunk.
    """
    head = keys.pack_head(pack)
    size = next(item.size for item in store.storage.list(head) if item.key == head)
    reader, directory = open_pack(store.storage, pack, size)
    with Rewriter(store, scratch, pack_bytes=_ONE_PACK) as writer:
        for _, entry in parse(directory, whole=True):
            if isinstance(entry, BlockEntry):
                for item in reader.items(entry):
                    writer.put(item)
            elif entry.id in writer.written:
                # A factor that came out the same.
                continue
            elif len(entry.sections) == 1:
                writer.copy(reader, entry, entry.depth)
            else:
                data = join(source.segments(entry.id), entry.word)
                new, factor = code(store, words_as_coded(reader, entry, data), max(entry.depth, 1))
                if factor is not None and factor.id not in writer.written:
                    writer.add(factor)
                writer.add(new)
        writer.publish()
        if pack not in writer.packs:
            with alone(scratch):
                sweep.remove(store, [pack], {})
        return writer.bytes


def words_as_coded(reader: PackReader, entry: ChunkEntry, data: memoryview) -> Words:
    """Return the words of a record as what they were coded as."""
    bases = (entry.base,) if entry.base else ()
    (first,) = reader.sections(entry, 1)
    if entry.transform == Transform.LOW_RANK:
        return Words(data, entry.word, "float", bases, *merged.place(first))
    columns, start = section.row_of(first) or (0, 0)
    dtype = f"float{8 * entry.word}" if columns else ""
    return Words(data, entry.word, _family(entry), bases, dtype, columns, start)


def _family(entry: ChunkEntry) -> Family:
    """Return what the words of a record were coded as: what pays for them again."""
    return "int" if entry.transform in (Transform.PLAIN, Transform.INTEGER_DELTA) else "float"


def _chunks(directory: bytes) -> Iterator[ChunkEntry]:
    for _, entry in parse(directory, whole=True):
        if isinstance(entry, ChunkEntry):
            yield entry
