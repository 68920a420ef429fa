"""A file into the store: locate its tensors, cut, hash and encode them while reading it once.

Memory is bounded by the chunk size and the number of processors, never by the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from mvc.base import dtypes
from mvc.base.dtypes import CHUNK_WORDS, Dtype
from mvc.base.errors import LimitError
from mvc.base.hashing import Sha256
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.codec.matrix import Rights
from mvc.codec.segments import swapped
from mvc.formats import registry
from mvc.formats.base import Extent, Located, Source, checked
from mvc.objects.model import (
    INLINE_BYTES,
    Blob,
    Checkpoint,
    Content,
    Layout,
    Literal,
    Placed,
    Tensor,
    ViewOf,
)
from mvc.objects.tree import Entry
from mvc.repo.trees import write_tensors
from mvc.store.chunks import Words
from mvc.store.resemblance import Trial
from mvc.store.transaction import Transaction

OPAQUE = Dtype("", 0, 1, "opaque")


class Bases(Protocol):
    """What a file's content may be a difference from, the most likely first."""

    def about(self, extents: Sequence[Extent]) -> None:
        """Take note of all tensors of the file, before any is asked for."""
        ...

    def tensor(self, extent: Extent) -> Sequence[Content]:
        """Return what a tensor may be a difference from."""
        ...

    def literal(self, number: int, size: int) -> Sequence[Content]:
        """Return the same for the bytes between tensors, counted from the start of the file."""
        ...

    def blob(self) -> Sequence[Content]:
        """Return the same for the whole file, kept as bytes."""
        ...

    def learn(self, found: Mapping[str, Tensor] | Content) -> None:
        """Take note of what the file turned out to consist of."""
        ...


class NoBases:
    """For files without a past."""

    def about(self, extents: Sequence[Extent]) -> None:
        """Do nothing."""

    def tensor(self, extent: Extent) -> Sequence[Content]:
        """Return nothing."""
        del extent
        return ()

    def literal(self, number: int, size: int) -> Sequence[Content]:
        """Return nothing."""
        del number, size
        return ()

    def blob(self) -> Sequence[Content]:
        """Return nothing."""
        return ()

    def learn(self, found: Mapping[str, Tensor] | Content) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A stored file: its tree entry (without a name), SHA-256, and a remark for people."""

    entry: Entry
    sha256: bytes
    warning: str | None = None


@dataclass(slots=True)
class _Part:
    """A run of the file that becomes one Content: a tensor, or bytes where `extent` is None."""

    offset: int
    size: int
    bases: Callable[[], Sequence[Content]]
    extent: Extent | None = None
    inline: bytes = b""
    chunks: list[ObjectId] = field(default_factory=list)

    @property
    def kind(self) -> Dtype:
        found = self.extent
        return dtypes.dtype(found.dtype, found.word) if found else OPAQUE

    @property
    def columns(self) -> int:
        """Words of a row of the matrix, 0 where there is none."""
        found = self.extent
        if found is None or len(found.shape) < 2 or not found.shape[0]:
            return 0
        columns, rest = divmod(self.size // self.kind.word, found.shape[0])
        return 0 if rest else columns

    def content(self) -> Content:
        return Content(self.size, self.kind.word, self.inline, tuple(self.chunks))


def ingest(
    tx: Transaction,
    source: Source,
    *,
    bases: Bases | None = None,
    located: Located | None = None,
    progress: Progress = SILENT,
) -> Ingested:
    """Store the content of a file and return its tree entry.

    `located` overrides the registry, for files whose tensors another file describes. The caller
    checks afterwards that the file did not change meanwhile.
    """
    bases = bases or NoBases()
    warning = None
    if located is None:
        outcome = registry.locate(source)
        located, warning = outcome.located, outcome.warning
    else:
        located = checked(located, source.size)
    if located is None or not (located.extents or located.notes):
        return _ingest_blob(tx, source, bases, warning, progress)
    try:
        done = _ingest_checkpoint(tx, source, located, bases, progress)
    except LimitError as error:
        # Its description would be larger than an object may be; its bytes are not.
        warning = f"looks like {located.format}, but {error.message}; kept whole as bytes"
        return _ingest_blob(tx, source, bases, warning, progress)
    return replace(done, warning=warning)


def _ingest_blob(
    tx: Transaction, source: Source, bases: Bases, warning: str | None, progress: Progress
) -> Ingested:
    part = _Part(0, source.size, bases.blob)
    sha256 = _store(tx, source, [part], progress)
    blob = Blob(sha256, part.content())
    bases.learn(blob.content)
    return Ingested(Entry("", "blob", tx.put(blob), source.size), sha256, warning)


def _ingest_checkpoint(
    tx: Transaction, source: Source, located: Located, bases: Bases, progress: Progress
) -> Ingested:
    bases.about(located.extents)
    parts = _parts(located.extents, source.size, bases)
    sha256 = _store(tx, source, parts, progress)
    tensors: dict[str, Tensor] = {}
    leaves: dict[str, Entry] = {}
    extents: list[Literal | Placed] = []
    for part in parts:
        found = part.extent
        if found is None:
            extents.append(Literal(part.content()))
            continue
        tensor = Tensor(found.dtype, found.shape, part.content())
        tensors[found.name] = tensor
        leaves[found.name] = Entry("", "tensor", tx.put(tensor), part.size)
        extents.append(Placed(found.name, found.big_endian, found.transposed))
    bases.learn(tensors)
    views = tuple(
        ViewOf(view.name, view.source, view.shape, view.offset, view.strides)
        for view in located.views
    )
    checkpoint = Checkpoint(
        located.format,
        source.size,
        sha256,
        sum(entry.size for entry in leaves.values()),
        tx.put(Layout(tuple(extents), views, located.notes)),
        write_tensors(tx.put, leaves),
    )
    return Ingested(Entry("", "checkpoint", tx.put(checkpoint), source.size), sha256)


def _parts(extents: Sequence[Extent], size: int, bases: Bases) -> list[_Part]:
    """Return the tensors and the bytes between them in file order."""
    parts: list[_Part] = []
    at = literals = 0
    for extent in (*extents, None):
        upto = extent.offset if extent else size
        if upto > at:
            parts.append(_Part(at, upto - at, partial(bases.literal, literals, upto - at)))
            literals += 1
        if extent:
            find = partial(bases.tensor, extent)
            parts.append(_Part(extent.offset, extent.length, find, extent))
            at = extent.offset + extent.length
    return parts


def _store(tx: Transaction, source: Source, parts: list[_Part], progress: Progress) -> bytes:
    """Read the parts in file order, store their chunks, and return the SHA-256 of it all."""
    sha256 = Sha256()
    owners: list[_Part] = []
    trial = Trial()

    def note(data: bytes) -> bytes:
        sha256.update(data)
        progress.advance(len(data))
        return data

    def drawn() -> Iterator[Words]:
        for part in parts:
            if part.size <= INLINE_BYTES:
                data = note(source.read_at(part.offset, part.size))
                swap = data and part.extent and part.extent.big_endian
                part.inline = bytes(swapped(data, part.kind.word)) if swap else data
                continue
            for words in _words(source, part, note):
                owners.append(part)
                # Bytes between tensors say nothing about the tensors.
                yield words if part.extent is None else replace(words, trial=trial)

    for number, name in enumerate(tx.put_chunks(drawn())):
        owners[number].chunks.append(name)
    return sha256.digest()


def _words(source: Source, part: _Part, note: Callable[[bytes], bytes]) -> Iterator[Words]:
    kind, columns = part.kind, part.columns
    stride = dtypes.block_bytes(kind.label)
    step = kind.word * CHUNK_WORDS
    past = [content for content in part.bases() if content.word == kind.word]
    rights = Rights() if columns and part.size > step else None
    rows = part.extent.shape[0] if part.extent and rights else 0
    for number, at in enumerate(range(0, part.size, step)):
        data: bytes | memoryview = note(source.read_at(part.offset + at, min(step, part.size - at)))
        if part.extent and part.extent.big_endian:
            data = swapped(data, kind.word)
        chunks = (base.chunks[number] for base in past if number < len(base.chunks))
        yield Words(
            data,
            kind.word,
            kind.family,
            tuple(dict.fromkeys(chunks)),
            kind.label,
            columns,
            number * CHUNK_WORDS,
            stride,
            rows=rows,
            rights=rights,
        )
