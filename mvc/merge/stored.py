"""The bytes of a stored file at any offset, without writing it out."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.codec.segments import swapped
from mvc.formats.base import check_range
from mvc.objects.model import Checkpoint, Content, Placed
from mvc.repo.metadata import read_layout, read_tensor
from mvc.repo.trees import tensors
from mvc.store.chunks import load_bytes
from mvc.store.object_store import ObjectStore

KEPT_CHUNKS = 4


class StoredSource:
    """Random access to the bytes of a stored checkpoint; reads the chunks that are asked for."""

    def __init__(self, store: ObjectStore, checkpoint: Checkpoint) -> None:
        self._store = store
        self._extents = read_layout(store, checkpoint.layout).extents
        held = tensors(store, checkpoint.tensors)
        self._ids = {name: entry.id for name, entry in held.items()}
        sizes = [
            held[part.name].size if isinstance(part, Placed) else part.content.size
            for part in self._extents
        ]
        self.starts = [0, *accumulate(sizes)]
        self.size = self.starts[-1]
        if self.size != checkpoint.size:
            raise IntegrityError("a layout does not make up the size of its checkpoint")
        self._kept: OrderedDict[tuple[ObjectId, bool], bytes | memoryview] = OrderedDict()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`; raise FormatError when the file is shorter."""
        check_range(offset, length, self.size)
        pieces: list[bytes | memoryview] = []
        place = bisect_right(self.starts, offset) - 1
        while length:
            inside = offset - self.starts[place]
            taken = min(length, self.starts[place + 1] - offset)
            pieces += self._inside(place, inside, taken)
            offset, length, place = offset + taken, length - taken, place + 1
        return b"".join(pieces)

    def _inside(self, place: int, start: int, length: int) -> list[bytes | memoryview]:
        if not length:
            return []
        part = self._extents[place]
        if isinstance(part, Placed):
            content, swap = read_tensor(self._store, self._ids[part.name]).content, part.big_endian
        else:
            content, swap = part.content, False
        if not content.chunks:
            data = swapped(content.inline, content.word) if swap else content.inline
            return [data[start : start + length]]
        step = content.chunk_bytes(0)
        first, last = start // step, (start + length - 1) // step
        return [
            self._chunk(content, number, swap=swap)[
                max(0, start - number * step) : start + length - number * step
            ]
            for number in range(first, last + 1)
        ]

    def _chunk(self, content: Content, number: int, *, swap: bool) -> bytes | memoryview:
        key = content.chunks[number], swap
        if key not in self._kept:
            data = load_bytes(
                self._store, content.chunks[number], content.word, content.chunk_bytes(number)
            )
            self._kept[key] = swapped(data, content.word) if swap else data
            if len(self._kept) > KEPT_CHUNKS:
                self._kept.popitem(last=False)
        return self._kept[key]
