"""A model file as its format sees it, with zeros where its tensors are: no weight is read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from mvc.base.errors import FormatError
from mvc.formats.base import Located, Source, check_range
from mvc.objects.model import Checkpoint, Content, Placed
from mvc.repo import trees
from mvc.repo.metadata import read_layout, read_tensor
from mvc.store.chunks import load_bytes
from mvc.store.object_store import ObjectStore

Read = Callable[[int, int], bytes]


class _Span(NamedTuple):
    """A range of the file; `read` gives bytes of it by offset from its start, None zeros."""

    start: int
    end: int
    read: Read | None


class Skeleton:
    """Random access to the bytes of a file that are in no tensor."""

    def __init__(self, spans: list[_Span]) -> None:
        self._spans = [span for span in spans if span.end > span.start]
        self._starts = [span.start for span in self._spans]

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self._spans[-1].end if self._spans else 0

    @property
    def literal(self) -> int:
        """How many bytes are in no tensor."""
        return sum(span.end - span.start for span in self._spans if span.read)

    def read_at(self, offset: int, length: int) -> bytes:
        """See formats.base.Source."""
        check_range(offset, length, self.size)
        pieces = []
        number = max(0, bisect_right(self._starts, offset) - 1)
        while length:
            span = self._spans[number]
            size = min(length, span.end - offset)
            pieces.append(span.read(offset - span.start, size) if span.read else bytes(size))
            offset, length, number = offset + size, length - size, number + 1
        return b"".join(pieces)


def on_disk(source: Source, located: Located) -> Skeleton:
    """Return the skeleton of a file whose tensors were located."""
    spans: list[_Span] = []
    at = 0
    for extent in located.extents:
        spans.append(_disk_span(source, at, extent.offset))
        at = extent.offset + extent.length
        spans.append(_Span(extent.offset, at, None))
    return Skeleton([*spans, _disk_span(source, at, source.size)])


def _disk_span(source: Source, start: int, end: int) -> _Span:
    return _Span(start, end, lambda offset, length: source.read_at(start + offset, length))


def stored(store: ObjectStore, checkpoint: Checkpoint) -> Skeleton:
    """Return the skeleton of a stored file; literal bytes are read when they are asked for."""
    held = trees.tensors(store, checkpoint.tensors)
    spans: list[_Span] = []
    at = 0
    for extent in read_layout(store, checkpoint.layout).extents:
        if isinstance(extent, Placed):
            if extent.name not in held:
                raise FormatError("a layout names a tensor that its checkpoint lacks")
            size = read_tensor(store, held[extent.name].id).content.size
            spans.append(_Span(at, at + size, None))
        else:
            size = extent.content.size
            spans.append(_Span(at, at + size, _reader(store, extent.content)))
        at += size
    return Skeleton(spans)


def _reader(store: ObjectStore, content: Content) -> Read:
    """Return how to read opaque bytes; the chunk that was read last is kept."""
    kept: dict[int, bytes | memoryview] = {}

    def part(number: int) -> bytes | memoryview:
        if not content.chunks:
            return content.inline
        if number not in kept:
            kept.clear()
            size = content.chunk_bytes(number)
            kept[number] = load_bytes(store, content.chunks[number], content.word, size)
        return kept[number]

    def read(offset: int, length: int) -> bytes:
        step = content.chunk_bytes(0) if content.chunks else max(1, content.size)
        pieces = []
        while length:
            number, start = divmod(offset, step)
            piece = bytes(part(number)[start : start + length])
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    return read
