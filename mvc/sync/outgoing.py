"""Parts: packs made for the other side from objects of a plan (docs/protocol.md, "part").

Records are copied as they are stored wherever the other side has what they stand on; nothing is
decoded then. Who asks must have been allowed the objects, and the bases too: a delta tells of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

from mvc.base import fileio
from mvc.base.errors import LimitError, MissingObjectError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.parallel import ordered_map, worker_count
from mvc.codec.segments import join
from mvc.repo.repository import Repository
from mvc.store.block import Item
from mvc.store.chunks import record
from mvc.store.composed import ComposedFile, ComposedPackWriter, Source
from mvc.store.decode import load
from mvc.store.directory import MAX_DEPTH, ChunkEntry, Section, check_of
from mvc.store.object_store import UNREADABLE, ObjectStore
from mvc.store.pack import NewChunk
from mvc.store.pack_reader import PackReader
from mvc.store.tail_packs import words_as_coded
from mvc.sync.limits import MAX_PART, MAX_PIECE
from mvc.sync.messages import Asked

WINDOW = 2048
"""Objects that are looked up before the first of them is written."""


@dataclass(frozen=True, slots=True)
class Part:
    """A pack in two files that are put together as they are sent: `head` and `tail` bytes long."""

    name: ObjectId
    head: int
    tail: int
    files: tuple[ComposedFile, ComposedFile]
    workspace: fileio.Workspace

    def body(self) -> Iterator[bytes]:
        """Yield the head, then the tail, in pieces of at most MAX_PIECE; may be called again.

        Raises IntegrityError or NotFoundError where a pack has gone that records are copied from.
        """
        for file, size in zip(self.files, (self.head, self.tail), strict=True):
            if size:
                yield from file.read(MAX_PIECE)

    def close(self) -> None:
        """Remove the files."""
        self.workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_part(
    repo: Repository,
    asked: Sequence[Asked],
    folder: Path,
    *,
    heads: bool = False,
    depths: bool = True,
) -> Part:
    """Write a pack of objects, each chunk as a delta against the base asked for, or alone.

    With `heads` it is the head of a pack whose tail is not made. With `depths` records tell how
    deep they lie here, which lets whoever has no others keep the part as it is. `folder` is where
    unfinished files live. Raises MissingObjectError, IntegrityError, or LimitError where it would
    exceed MAX_PART.
    """
    if not asked:
        raise UsageError("a part holds at least one object")
    fileio.reap(folder)
    workspace = fileio.Workspace(folder)
    try:
        writer = _PartWriter(repo.store, workspace, heads=heads, depths=depths)
        try:
            return writer.run(asked)
        finally:
            writer.close()
    except BaseException:
        workspace.close()
        raise


class _Sent(NamedTuple):
    """A chunk's record, maybe without its lower sections, of which `lower` tells then.

    `sources` are where the sections of a whole one lie, if they lie anywhere.
    """

    chunk: NewChunk
    lower: tuple[Section, ...] | None
    sources: tuple[Source, ...] = ()


class _Chosen(NamedTuple):
    """A chunk that is asked for, and its records that can be sent as they are, small ones first."""

    asked: Asked
    records: list[tuple[PackReader, ChunkEntry]]


class _PartWriter:
    def __init__(
        self, store: ObjectStore, workspace: fileio.Workspace, *, heads: bool, depths: bool
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._heads = heads
        self._tells = depths
        self._writer = ComposedPackWriter(workspace)
        self._depths: dict[ObjectId, int] = {}

    def run(self, asked: Sequence[Asked]) -> Part:
        """See `make_part`."""
        each: dict[ObjectId, Asked] = {}
        for item in asked:
            each.setdefault(item.id, item)
        ordered = [*each.values()]
        for at in range(0, len(ordered), WINDOW):
            self._write(ordered[at : at + WINDOW])
        written = self._writer.finish()
        self._check_size()
        head, tail = written.head_bytes, self._writer.tail_bytes
        name = ObjectId(bytes.fromhex(written.name))
        return Part(name, head, tail, (self._writer.head, self._writer.tail), self._workspace)

    def close(self) -> None:
        """Close the files, which stay where they are."""
        self._writer.close()

    def _write(self, window: Sequence[Asked]) -> None:
        """Write some objects: chunks first, whose ids the metadata can then leave out."""
        kinds = {item.id: self._kind(item.id) for item in window}
        chunks = (self._choose(item) for item in window if kinds[item.id] == "chunk")
        for ready, run in groupby(chunks, lambda chosen: bool(chosen.records)):
            for chunk in self._sent(run, ready=ready):
                self._add(chunk)
                self._check_size()
        for item in window:
            kind = kinds[item.id]
            if kind != "chunk":
                self._writer.add_object(Item(item.id, kind, self._store.read(item.id, kind)))
                self._check_size()

    def _kind(self, wanted: ObjectId) -> str:
        kind = self._store.kind(wanted)
        if kind is None:
            raise MissingObjectError(f"object {wanted.hex()[:12]} is missing")
        return kind

    def _check_size(self) -> None:
        if self._writer.size > MAX_PART:
            raise LimitError(f"a part of more than {MAX_PART} bytes")

    def _add(self, sent: _Sent) -> None:
        depth = self._depth(sent.chunk)
        if depth > MAX_DEPTH:
            sent = self._coded(Asked(sent.chunk.id, None))
            depth = 0
        chunk = replace(sent.chunk, depth=depth)
        if sent.lower is not None:
            self._writer.add_top(chunk, sent.lower)
        elif sent.sources:
            self._writer.add_stored(chunk, sent.sources)
        else:
            self._writer.add_chunk(chunk)
        self._depths[chunk.id] = depth

    def _depth(self, chunk: NewChunk) -> int:
        """Return the least depth that a record may have as far as this part tells."""
        references = [item for item in (chunk.base, chunk.factors) if item is not None]
        least = max((self._depths.get(item, 0) + 1 for item in references), default=0)
        if self._tells and references and chunk.depth <= MAX_DEPTH:
            return max(least, chunk.depth)
        return least

    def _choose(self, asked: Asked) -> _Chosen:
        records = [found for found in self._store.records(asked.id) if found[1].base == asked.base]
        return _Chosen(asked, sorted(records, key=lambda found: found[1].stored))

    def _copied(self, chosen: _Chosen) -> _Sent:
        """Return a record as it is stored."""
        for reader, entry in chosen.records:
            # A damaged copy, or one whose tail is elsewhere, is not the only way.
            with suppress(*UNREADABLE):
                return self._copy(reader, entry)
        return self._coded(chosen.asked)

    def _copy(self, reader: PackReader, entry: ChunkEntry) -> _Sent:
        sections = reader.sections(entry, 1 if self._heads else len(entry.sections))
        digests = tuple(part.digest for part in entry.sections)
        about = (entry.id, entry.word, entry.words, entry.transform, entry.base, entry.depth)
        chunk = NewChunk(*about, sections, digests, entry.factors)
        if self._heads:
            return _Sent(chunk, entry.sections[1:])
        return _Sent(chunk, None, tuple(Source(*place) for place in reader.places(entry)))

    def _sent(self, run: Iterable[_Chosen], *, ready: bool) -> Iterator[_Sent]:
        """Return records of chunks; only coding them anew takes more than one processor."""
        if ready:
            return map(self._copied, run)
        return ordered_map(self._coded, (found.asked for found in run), ahead=worker_count())

    def _coded(self, asked: Asked) -> _Sent:
        """Return a record against the base asked for, or one alone where that does not pay."""
        reader, entry = self._store.chunk_entry(asked.id)
        data = join(load(self._store, asked.id), entry.word)
        bases = () if asked.base is None else (asked.base,)
        words = replace(words_as_coded(reader, entry, data), bases=bases)
        # The base's depth here says nothing of its depth there.
        new = record(self._store, words, MAX_DEPTH + 1)
        if not self._heads:
            return _Sent(new, None)
        lower = zip(new.sections[1:], new.digests[1:], strict=True)
        told = tuple(Section(0, len(part), check_of(part, 2), held) for part, held in lower)
        return _Sent(replace(new, sections=new.sections[:1]), told)
