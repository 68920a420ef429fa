"""The tensors of one model file, whether it is stored or lies on disk.

Both kinds give every tensor an id, so comparing structure is comparing ids: a file on disk is
cut and hashed exactly as committing it would do, without storing anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from mvc.base import dtypes
from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId, digest, object_id
from mvc.base.parallel import ordered_map
from mvc.base.progress import SILENT, Progress
from mvc.codec.segments import split, swapped
from mvc.formats.base import Extent, Located, Source
from mvc.objects.model import (
    INLINE_BYTES,
    Checkpoint,
    Content,
    Layout,
    Placed,
    Tensor,
    ViewOf,
    chunk_id,
)
from mvc.repo import trees
from mvc.repo.metadata import read_layout, read_tensor
from mvc.store.chunks import load_bytes, load_bytes_of_both
from mvc.store.object_store import ObjectStore

Words = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor on one side: what it is, and how to get the words of one of its parts.

    A part is a chunk, or all of a tensor that is kept inline. `load` is safe in worker threads
    and gives little-endian words. `store` is where the parts are stored, None for a file on disk.
    """

    tensor: Tensor
    load: Callable[[int], Words]
    store: ObjectStore | None = None

    @property
    def parts(self) -> int:
        """How many parts the tensor has."""
        return max(1, len(self.tensor.content.chunks))

    def part_id(self, number: int) -> ObjectId | None:
        """Return the id of a part, None for a tensor that is kept inline."""
        chunks = self.tensor.content.chunks
        return chunks[number] if chunks else None

    def part_bytes(self, number: int) -> int:
        """Return the size of a part."""
        content = self.tensor.content
        return content.chunk_bytes(number) if content.chunks else content.size


def load_both(old: Held, new: Held, number: int) -> tuple[Words, Words]:
    """Return the words of one part of two tensors of one word size, as their `load` would.

    Of two in one store, what both are stored against is decoded once.
    """
    one, two = old.part_id(number), new.part_id(number)
    if old.store is None or old.store is not new.store or one is None or two is None:
        return old.load(number), new.load(number)
    sizes = old.part_bytes(number), new.part_bytes(number)
    return load_bytes_of_both(old.store, (one, two), new.tensor.content.word, sizes)


class TensorSource(Protocol):
    """The tensors of one model file."""

    @property
    def format(self) -> str:
        """The format the file was read as."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tensors that have bytes of their own."""
        ...

    @property
    def views(self) -> Mapping[str, ViewOf]:
        """Second names for elements of these tensors."""
        ...

    def ids(self) -> Mapping[str, ObjectId]:
        """Return the ids of all tensors by name."""
        ...

    def get(self, name: str) -> Held:
        """Return a tensor that is in `names`."""
        ...


class StoredTensors:
    """The tensors of a stored checkpoint."""

    def __init__(self, store: ObjectStore, checkpoint: Checkpoint) -> None:
        self.store = store
        self.root = checkpoint.tensors
        self.format = checkpoint.format
        self.layout_id = checkpoint.layout

    @cached_property
    def _layout(self) -> Layout:
        return read_layout(self.store, self.layout_id)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names, from the layout alone."""
        return tuple(item.name for item in self._layout.extents if isinstance(item, Placed))

    @cached_property
    def views(self) -> dict[str, ViewOf]:
        """The views of the layout."""
        return {view.name: view for view in self._layout.views}

    @cached_property
    def _ids(self) -> dict[str, ObjectId]:
        return {name: entry.id for name, entry in trees.tensors(self.store, self.root).items()}

    def ids(self) -> dict[str, ObjectId]:
        """Return all ids; this enters every subtree."""
        return self._ids

    def get(self, name: str) -> Held:
        """Return a tensor by its name."""
        found = self._ids.get(name)
        if found is None:
            raise IntegrityError("a layout names a tensor that its checkpoint lacks")
        return self.held(found)

    def held(self, wanted: ObjectId) -> Held:
        """Return a tensor by its id, so that a walk over trees need not list them."""
        tensor = read_tensor(self.store, wanted)
        content = tensor.content

        def load(number: int) -> Words:
            if not content.chunks:
                return content.inline
            size = content.chunk_bytes(number)
            return load_bytes(self.store, content.chunks[number], content.word, size)

        return Held(tensor, load, self.store)


class DiskTensors:
    """The tensors of a file that is not stored; `source` stays open while this is used."""

    def __init__(self, source: Source, located: Located, progress: Progress = SILENT) -> None:
        self._source = source
        self._extents = {extent.name: extent for extent in located.extents}
        self._progress = progress
        self.format = located.format
        self.names = tuple(self._extents)
        self.views = {
            view.name: ViewOf(view.name, view.source, view.shape, view.offset, view.strides)
            for view in located.views
        }

    def ids(self) -> dict[str, ObjectId]:
        """Return all ids; the first call reads and hashes the file's tensors."""
        return {
            name: object_id(Tensor.KIND, tensor.encode()) for name, tensor in self._tensors.items()
        }

    def get(self, name: str) -> Held:
        """Return a tensor by its name."""
        extent = self._extents[name]
        return Held(self._tensors[name], lambda number: self._words(extent, number))

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        chunks: dict[str, list[ObjectId]] = {name: [] for name in self._extents}
        total = sum(extent.length for extent in self._extents.values())
        self._progress.start("hashing", total)
        for extent, number, name in ordered_map(self._hashed, self._jobs()):
            chunks[extent.name].append(name)
            self._progress.advance(_part_size(extent, number))
        self._progress.finish()
        return {name: self._tensor(extent, chunks[name]) for name, extent in self._extents.items()}

    def _jobs(self) -> Iterator[tuple[Extent, int]]:
        for extent in self._extents.values():
            if extent.length > INLINE_BYTES:
                for number in range(-(-extent.length // _step(extent))):
                    yield extent, number

    def _hashed(self, job: tuple[Extent, int]) -> tuple[Extent, int, ObjectId]:
        extent, number = job
        word = dtypes.dtype(extent.dtype, extent.word).word
        segments = split(self._words(extent, number), word)
        digests = tuple(digest(part.data) for part in segments)
        return extent, number, chunk_id(word, len(segments[0]), digests)

    def _tensor(self, extent: Extent, chunks: list[ObjectId]) -> Tensor:
        inline = b"" if chunks else bytes(self._words(extent, 0))
        word = dtypes.dtype(extent.dtype, extent.word).word
        content = Content(extent.length, word, inline, tuple(chunks))
        return Tensor(extent.dtype, extent.shape, content)

    def _words(self, extent: Extent, number: int) -> Words:
        data = self._source.read_at(
            extent.offset + number * _step(extent), _part_size(extent, number)
        )
        word = dtypes.dtype(extent.dtype, extent.word).word
        return swapped(data, word) if extent.big_endian and data else data


def _step(extent: Extent) -> int:
    return dtypes.dtype(extent.dtype, extent.word).word * dtypes.CHUNK_WORDS


def _part_size(extent: Extent, number: int) -> int:
    return min(_step(extent), extent.length - number * _step(extent))


def differing(
    old: TensorSource, new: TensorSource
) -> Iterator[tuple[str, Held | None, Held | None]]:
    """Yield (name, old, new) of the tensors that are not equal; equal subtrees stay unread."""
    if isinstance(old, StoredTensors) and isinstance(new, StoredTensors):
        for name, one, two in trees.changed(old.store, old.root, new.root, separator=""):
            yield name, old.held(one.id) if one else None, new.held(two.id) if two else None
        return
    before, after = old.ids(), new.ids()
    for name in [*before, *(name for name in after if name not in before)]:
        if before.get(name) != after.get(name):
            yield (
                name,
                old.get(name) if name in before else None,
                new.get(name) if name in after else None,
            )
