"""Packs as no honest client writes them: records that lie, made entry by entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import xxhash

from mvc.base.ids import ObjectId, digest, object_id
from mvc.codec import chunk as codec
from mvc.codec.segments import split
from mvc.objects.history import Commit
from mvc.objects.model import Blob, Content, chunk_id
from mvc.objects.tree import Entry, Tree
from mvc.store.block import Item, compress
from mvc.store.directory import BlockEntry, ChunkEntry, Section, check_of
from mvc.store.pack import (
    END_MAGIC,
    FOOTER,
    HEAD_MAGIC,
    TAIL_FOOTER,
    TAIL_MAGIC,
    NewChunk,
    pack_name,
)
from mvc.store.transaction import Encodable
from tests.sync.exchange import Sent


class Forge:
    """Writes a pack; what it says need not be true."""

    def __init__(self) -> None:
        self.head = bytearray(HEAD_MAGIC)
        self.tail = bytearray(TAIL_MAGIC)
        self.directory = bytearray()
        self.entries = 0

    def section(self, data: bytes, *, lower: bytes | None = None) -> Section:
        """Write a section; `lower` is the digest of one that belongs in the tail."""
        file = self.head if lower is None else self.tail
        found = Section(len(file), len(data), check_of(data, 2), lower or b"")
        file += data
        return found

    def enter(self, entry: ChunkEntry | BlockEntry) -> None:
        self.directory += entry.encode()
        self.entries += 1

    def chunk(self, new: NewChunk) -> None:
        top, *lower = new.sections
        sections = [self.section(top)]
        sections += [
            self.section(part, lower=held)
            for part, held in zip(lower, new.digests[1:], strict=True)
        ]
        about = (new.id, new.word, new.words, new.transform, new.base, new.depth)
        self.enter(ChunkEntry(*about, tuple(sections), new.factors))

    def block(self, items: Sequence[Item]) -> None:
        frame, size, _ = compress(items)
        place = self.section(frame)
        self.enter(BlockEntry(place.at, place.length, place.check, size, len(items)))

    def done(self, *, name: bytes | None = None, entries: int | None = None) -> Sent:
        tail_bytes = len(self.tail) - len(TAIL_MAGIC)
        found = bytes.fromhex(pack_name(bytes(self.directory), tail_bytes))
        at = len(self.head)
        check = xxhash.xxh3_64_intdigest(bytes(self.directory))
        count = self.entries if entries is None else entries
        footer = FOOTER.pack(at, len(self.directory), count, tail_bytes, check, END_MAGIC)
        tail = b""
        if tail_bytes:
            tail = bytes(self.tail) + TAIL_FOOTER.pack(name or found, tail_bytes, END_MAGIC)
        return Sent(ObjectId(name or found), bytes(self.head + self.directory) + footer, tail)


def plain(data: bytes, word: int = 4) -> NewChunk:
    """Return an honest record of words without a base."""
    segments = split(data, word)
    coded = codec.encode(segments, "float" if word > 1 else "opaque", None)
    digests = tuple(digest(part.data) for part in segments)
    name = chunk_id(word, len(segments[0]), digests)
    return NewChunk(name, word, len(segments[0]), coded.transform, None, 0, coded.sections, digests)


def against(data: bytes, base: bytes, base_id: ObjectId, word: int = 4) -> NewChunk:
    """Return an honest record of words as a delta."""
    segments = split(data, word)
    coded = codec.encode(segments, "float", split(base, word))
    assert coded.transform.needs_base
    digests = tuple(digest(part.data) for part in segments)
    name = chunk_id(word, len(segments[0]), digests)
    return NewChunk(
        name, word, len(segments[0]), coded.transform, base_id, 1, coded.sections, digests
    )


def item(value: Encodable) -> Item:
    content = value.encode()
    return Item(object_id(value.KIND, content), value.KIND, content)


@dataclass(frozen=True)
class Version:
    """The objects of a commit whose files are blobs of chunks."""

    commit: ObjectId
    items: tuple[Item, ...]


def blob_of(chunk: ObjectId, size: int) -> Item:
    return item(Blob(bytes(32), Content(size, 1, b"", (chunk,))))


def version(
    files: Iterable[tuple[str, Item, int]], *, parents: tuple[ObjectId, ...] = ()
) -> Version:
    """Return a commit of files, whatever their names."""
    held = list(files)
    entries = [Entry(name, found.kind, found.id, size) for name, found, size in held]  # type: ignore[arg-type]
    tree = item(Tree(tuple(sorted(entries, key=lambda entry: entry.name.encode()))))
    commit = item(Commit(tree.id, parents, "mallory", 1, "trust me"))
    return Version(commit.id, (*(found for _, found, _ in held), tree, commit))


def inline(text: bytes = b"x") -> Item:
    return item(Blob(bytes(32), Content(len(text), 1, text, ())))


def bytes_of(seed: int, size: int) -> bytes:
    import numpy as np

    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
