"""A file into the store: locate its tensors, cut, hash and encode them while reading it once.

Memory is bounded by the chunk size and the number of processors, never by the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from mvc.base import dtypes
from mvc.base.dtypes import CHUNK_WORDS, Family
from mvc.base.errors import LimitError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
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
from mvc.store.transaction import Transaction


class Bases(Protocol):
    """Where to look for what a file's content probably resembles."""

    def tensor(self, name: str) -> Tensor | None:
        """Return the tensor of this name in the version before."""
        ...

    def blob(self) -> Content | None:
        """Return the file's content in the version before, if it was a blob."""
        ...


class NoBases:
    """For files without a version before."""

    def tensor(self, name: str) -> Tensor | None:
        """Return None."""

    def blob(self) -> Content | None:
        """Return None."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A stored file: its tree entry (without a name), SHA-256, and a remark for people."""

    entry: Entry
    sha256: bytes
    warning: str | None = None


@dataclass(slots=True)
class _Part:
    """A run of the file that becomes one Content."""

    offset: int
    size: int
    word: int
    family: Family
    swap: bool
    base: Content | None
    inline: bytes = b""
    chunks: list[ObjectId] = field(default_factory=list)

    def content(self) -> Content:
        return Content(self.size, self.word, self.inline, tuple(self.chunks))


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
    part = _Part(0, source.size, 1, "opaque", swap=False, base=bases.blob())
    sha256 = _store(tx, source, [part], progress)
    blob = Blob(sha256, part.content())
    return Ingested(Entry("", "blob", tx.put(blob), source.size), sha256, warning)


def _ingest_checkpoint(
    tx: Transaction, source: Source, located: Located, bases: Bases, progress: Progress
) -> Ingested:
    plan: list[tuple[_Part, Extent | None]] = []
    at = 0
    for extent in located.extents:
        if extent.offset > at:
            plan.append((_Part(at, extent.offset - at, 1, "opaque", swap=False, base=None), None))
        plan.append((_tensor_part(extent, bases), extent))
        at = extent.offset + extent.length
    if at < source.size:
        plan.append((_Part(at, source.size - at, 1, "opaque", swap=False, base=None), None))
    sha256 = _store(tx, source, [part for part, _ in plan], progress)
    leaves: dict[str, Entry] = {}
    extents: list[Literal | Placed] = []
    for part, found in plan:
        if found is None:
            extents.append(Literal(part.content()))
            continue
        tensor = Tensor(found.dtype, found.shape, part.content())
        leaves[found.name] = Entry("", "tensor", tx.put(tensor), part.size)
        extents.append(Placed(found.name, found.big_endian, found.transposed))
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


def _tensor_part(extent: Extent, bases: Bases) -> _Part:
    kind = dtypes.dtype(extent.dtype, extent.word)
    part = _Part(extent.offset, extent.length, kind.word, kind.family, extent.big_endian, None)
    if extent.length > INLINE_BYTES:
        before = bases.tensor(extent.name)
        if before and (before.dtype, before.shape) == (extent.dtype, extent.shape):
            part.base = before.content
    return part


def _store(tx: Transaction, source: Source, parts: list[_Part], progress: Progress) -> bytes:
    """Read the parts in file order, store their chunks, and return the SHA-256 of it all."""
    sha256 = hashlib.sha256()
    owners: list[_Part] = []

    def note(data: bytes) -> bytes:
        sha256.update(data)
        progress.advance(len(data))
        return data

    def drawn() -> Iterator[Words]:
        for part in parts:
            if part.size <= INLINE_BYTES:
                data = note(source.read_at(part.offset, part.size))
                part.inline = bytes(swapped(data, part.word)) if part.swap and data else data
                continue
            yield from _words(source, part, owners, note)

    for number, name in enumerate(tx.put_chunks(drawn())):
        owners[number].chunks.append(name)
    return sha256.digest()


def _words(
    source: Source, part: _Part, owners: list[_Part], note: Callable[[bytes], bytes]
) -> Iterator[Words]:
    step = part.word * CHUNK_WORDS
    usable = part.base and part.base.size == part.size and part.base.word == part.word
    for number, at in enumerate(range(0, part.size, step)):
        data: bytes | memoryview = note(source.read_at(part.offset + at, min(step, part.size - at)))
        if part.swap:
            data = swapped(data, part.word)
        owners.append(part)
        base = part.base.chunks[number] if usable and part.base else None
        yield Words(data, part.word, part.family, (base,) if base else ())
