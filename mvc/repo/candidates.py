"""What the content of a new file may be a difference from, the most likely first.

Looked at: the declared base, the file of this path in the first parent, its tensors under other
names, other files of that version and of the commit under way, and a few heads of other branches.
Whether a base pays is found out when a chunk is encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

from mvc.base import dtypes
from mvc.base.ids import ObjectId
from mvc.formats.base import Extent
from mvc.objects.model import INLINE_BYTES, Content, Literal, Tensor
from mvc.objects.tree import Entry
from mvc.repo.bases import CommitBases, Model, blob, readable
from mvc.repo.likeness import counterparts
from mvc.repo.metadata import read_checkpoint, read_layout
from mvc.store.object_store import ObjectStore

MAX_BASES = 4
"""Candidates that a tensor or a blob gets."""
ELSEWHERE = 2
"""Candidates among them that come from other files."""
MODELS = 4
"""Other models of a version that a file's tensors are looked up in."""


class FileBases:
    """What one file may be a difference from. Only what is asked for is looked up."""

    def __init__(self, commit: CommitBases, path: str, size: int) -> None:
        self._commit = commit
        self._path = path
        self._size = size
        self._sizes: dict[str, int] = {}
        self._renamed: dict[Model, dict[str, str]] = {}

    def about(self, extents: Sequence[Extent]) -> None:
        """Take note of all tensors of the file; renamed ones are recognised among them."""
        self._sizes = {item.name: item.length for item in extents if item.length > INLINE_BYTES}
        self._renamed = {}

    def tensor(self, extent: Extent) -> list[Content]:
        """Return what a tensor of the file may be a difference from."""
        return _distinct(tensor.content for tensor in self._tensors(extent))

    def blob(self) -> list[Content]:
        """Return what the file may be a difference from if it is kept whole."""
        return _distinct(self._blobs()) if self._size > INLINE_BYTES else []

    def literal(self, number: int, size: int) -> list[Content]:
        """Return what the bytes between tensors may be a difference from: their predecessor."""
        before = self._literals
        return [before[number]] if number < len(before) and before[number].size == size else []

    def learn(self, found: Mapping[str, Tensor] | Content) -> None:
        """Note what the file consists of, for those that follow in the commit."""
        self._commit.parent.learn(self._path, self._size, found)

    def _tensors(self, extent: Extent) -> Iterator[Tensor]:
        for model in self._declared:
            if (tensor := _named(model, extent) or self._counterpart(model, extent)) is not None:
                yield tensor
        own = self._own
        same = _named(own, extent) if own else None
        if same is not None:
            yield same
        else:
            if own and (tensor := self._counterpart(own, extent)) is not None:
                yield tensor
            yield from islice(self._elsewhere(extent), ELSEWHERE)
        for model in self._heads:
            if (tensor := _named(model, extent)) is not None:
                yield tensor

    def _elsewhere(self, extent: Extent) -> Iterator[Tensor]:
        """Yield tensors of other files: of this name, or else those that may have been renamed."""
        for look in (_named, self._counterpart):
            found = [tensor for model in self._others if (tensor := look(model, extent))]
            yield from found
            if found:
                return

    def _counterpart(self, model: Model, extent: Extent) -> Tensor | None:
        if model not in self._renamed:
            self._renamed[model] = counterparts(self._sizes, model.sizes)
        name = self._renamed[model].get(extent.name)
        tensor = model.read(name) if name is not None else None
        return tensor if tensor and _alike(extent, tensor) else None

    @cached_property
    def _declared(self) -> list[Model]:
        """The file's model in the declared base, or those there that it may come from."""
        version = self._commit.declared
        if version is None:
            return []
        if self._path not in version.files:
            return list(islice(version.models_near(self._path, self._size), ELSEWHERE))
        model = self._commit.models.at(version.files[self._path])
        return [model] if model else []

    @cached_property
    def _own(self) -> Model | None:
        """The file's model in the first parent."""
        return self._commit.models.at(self._commit.parent.files.get(self._path))

    @cached_property
    def _entries(self) -> list[Entry]:
        """The file in the declared base and in the first parent."""
        versions = [self._commit.declared, self._commit.parent]
        found = [version.files.get(self._path) for version in versions if version is not None]
        return [entry for entry in found if entry is not None]

    @cached_property
    def _others(self) -> list[Model]:
        return list(islice(self._commit.parent.models_near(self._path, self._size), MODELS))

    @cached_property
    def _head_entries(self) -> list[Entry]:
        """The file in other heads, where it is another one there."""
        own = {entry.id for entry in self._entries}
        found = {entry.id: entry for entry in self._commit.in_heads(self._path)}
        return [entry for entry in found.values() if entry.id not in own]

    @cached_property
    def _heads(self) -> list[Model]:
        found = [self._commit.models.at(entry) for entry in self._head_entries]
        return [model for model in found if model is not None]

    def _blobs(self) -> Iterator[Content]:
        commit = self._commit
        own = [held for entry in self._entries if (held := blob(commit.store, entry))]
        yield from own
        if not own:
            versions = [version for version in (commit.declared, commit.parent) if version]
            for version in versions:
                yield from islice(version.blobs_near(self._path, self._size), ELSEWHERE)
        for entry in self._head_entries:
            if (held := blob(commit.store, entry)) is not None:
                yield held

    @cached_property
    def _literals(self) -> list[Content]:
        entry = next((entry for entry in self._entries if entry.kind == "checkpoint"), None)
        return readable([], _literals, self._commit.store, entry.id) if entry else []


def _named(model: Model, extent: Extent) -> Tensor | None:
    tensor = model.read(extent.name)
    return tensor if tensor and _alike(extent, tensor) else None


def _alike(extent: Extent, tensor: Tensor) -> bool:
    """Tell whether words of one lie where words of the other do; rows may be more or fewer."""
    if tensor.dtype != extent.dtype or not tensor.content.chunks:
        return False
    if tensor.content.word != dtypes.dtype(extent.dtype, extent.word).word:
        return False
    new, old = extent.shape, tensor.shape
    if len(new) == len(old) and new[1:] == old[1:]:
        return True
    return [dim for dim in new if dim != 1] == [dim for dim in old if dim != 1]


def _distinct(found: Iterable[Content]) -> list[Content]:
    return list(islice(dict.fromkeys(found), MAX_BASES))


def _literals(store: ObjectStore, checkpoint: ObjectId) -> list[Content]:
    layout = read_layout(store, read_checkpoint(store, checkpoint).layout)
    return [part.content for part in layout.extents if isinstance(part, Literal)]
