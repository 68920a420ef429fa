"""The past of a commit, as far as new files may be differences from it; see `candidates`.

Only metadata is read, and only of models that something is looked up in. A damaged past keeps
nobody from saving the present: what cannot be read is no base.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.objects.model import INLINE_BYTES, Content, Tensor
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.heads import newest
from mvc.repo.likeness import Neighbours
from mvc.repo.metadata import read_blob, read_checkpoint, read_tensor
from mvc.repo.repository import Repository
from mvc.store.object_store import ObjectStore

NEAR = 16
"""Files of a version that are looked at for another path."""
HEADS = 3
"""Heads of other branches and tags that are looked at."""
REMEMBERED = 200_000
"""Tensors of the commit under way that are kept in mind."""
INDEXED = 500_000
"""Tensors of stored models that are kept in mind."""

NOTHING: dict[str, Entry] = {}
Result = TypeVar("Result")


def readable(default: Result, action: Callable[..., Result], *given: object) -> Result:
    """Return what `action` returns, or the default where what it reads is damaged or gone."""
    try:
        return action(*given)
    except MvcError:
        return default


class Model:
    """The tensors of a model; `sizes` has those that are large enough to be a base."""

    def __init__(self, store: ObjectStore, tensors: Mapping[str, Entry | Tensor]) -> None:
        self._store = store
        self.tensors = tensors
        self.sizes = {
            name: size for name, item in tensors.items() if (size := _size(item)) > INLINE_BYTES
        }

    def read(self, name: str) -> Tensor | None:
        """Return the tensor of this name."""
        item = self.tensors.get(name)
        if isinstance(item, Entry):
            return readable(None, read_tensor, self._store, item.id)
        return item


class Models:
    """Models of the past, kept while there is room."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self._models: OrderedDict[tuple[ObjectId, ...], Model] = OrderedDict()
        self._room = INDEXED

    def at(self, entry: Entry | None) -> Model | None:
        """Return the model of a stored file, None where it is no checkpoint."""
        return self.of([entry.id]) if entry and entry.kind == "checkpoint" else None

    def of(self, checkpoints: Sequence[ObjectId]) -> Model | None:
        """Return the model that some checkpoints make up, None without any."""
        key = tuple(checkpoints)
        if not key:
            return None
        if key not in self._models:
            tensors: dict[str, Entry | Tensor] = {}
            for checkpoint in key:
                tensors |= readable(NOTHING, _tensors, self.store, checkpoint)
            self._models[key] = Model(self.store, tensors)
            self._room -= len(tensors)
            while self._room < 0 and len(self._models) > 1:
                _, gone = self._models.popitem(last=False)
                self._room += len(gone.tensors)
        self._models.move_to_end(key)
        return self._models[key]


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A file of the commit under way: a model or a blob."""

    size: int
    held: Model | Content

    @property
    def weight(self) -> int:
        return len(self.held.tensors) + 1 if isinstance(self.held, Model) else 1


class Version:
    """The files of a version. What is learned of files that are being stored hides older ones."""

    def __init__(self, models: Models, files: Mapping[str, Entry]) -> None:
        self.files = files
        self._models = models
        self._fresh: OrderedDict[str, _Fresh] = OrderedDict()
        self._room = REMEMBERED

    def learn(self, path: str, size: int, found: Mapping[str, Tensor] | Content) -> None:
        """Note what a file consists of that is not committed yet."""
        held = found if isinstance(found, Content) else Model(self._models.store, found)
        self._forget(path)
        self._fresh[path] = _Fresh(size, held)
        self._room -= self._fresh[path].weight
        while self._room < 0 and len(self._fresh) > 1:
            self._forget(next(iter(self._fresh)))
        if "_neighbours" in self.__dict__:
            self._neighbours.add(path, size)

    def models_near(self, path: str, size: int) -> Iterator[Model]:
        """Yield the models that are most like a path, without the file itself."""
        seen = {path}
        for other in self._near(path, size):
            if other not in seen:
                group = [item for item in self._neighbours.shards(other) if item not in seen]
                seen.update(group)
                model = self._model(group)
                if model is not None and model.sizes:
                    yield model

    def blobs_near(self, path: str, size: int) -> Iterator[Content]:
        """Yield the contents of the blobs of this size that are most like a path."""
        for other in self._near(path, size):
            fresh = self._fresh.get(other)
            held = fresh.held if fresh else blob(self._models.store, self.files.get(other))
            if isinstance(held, Content) and held.size == size:
                yield held

    @cached_property
    def _neighbours(self) -> Neighbours:
        found = Neighbours()
        for path, entry in self.files.items():
            found.add(path, entry.size)
        for path, fresh in self._fresh.items():
            found.add(path, fresh.size)
        return found

    def _near(self, path: str, size: int) -> list[str]:
        return self._neighbours.near(path, size)[:NEAR]

    def _model(self, paths: Sequence[str]) -> Model | None:
        """Return the model that some files make up."""
        fresh = [self._fresh[path].held for path in paths if path in self._fresh]
        entries = [self.files[path] for path in paths if path not in self._fresh]
        stored = self._models.of([item.id for item in entries if item.kind == "checkpoint"])
        parts = [*([stored] if stored else []), *(one for one in fresh if isinstance(one, Model))]
        if len(parts) < 2:
            return parts[0] if parts else None
        tensors: dict[str, Entry | Tensor] = {}
        for part in parts:
            tensors |= part.tensors
        return Model(self._models.store, tensors)

    def _forget(self, path: str) -> None:
        gone = self._fresh.pop(path, None)
        if gone is not None:
            self._room += gone.weight


class CommitBases:
    """What the files of one commit may be differences from.

    `files` are those of the first parent, `declared` is the version that the new one is said to be
    close to.
    """

    def __init__(
        self, repo: Repository, files: Mapping[str, Entry], declared: ObjectId | None = None
    ) -> None:
        self._repo = repo
        self._declared = declared
        self.store = repo.store
        self.models = Models(repo.store)
        self.parent = Version(self.models, files)

    @cached_property
    def declared(self) -> Version | None:
        """The declared base."""
        if self._declared is None:
            return None
        commit = readable(None, self._repo.commit, self._declared)
        files = readable(NOTHING, trees.files, self.store, commit.tree) if commit else NOTHING
        return Version(self.models, files)

    def in_heads(self, path: str) -> Iterator[Entry]:
        """Yield what a path is in the newest other heads."""
        for tree in self._heads:
            entry = readable(None, trees.find, self.store, tree, path)
            if entry is not None:
                yield entry

    @cached_property
    def _heads(self) -> list[ObjectId]:
        return readable([], newest, self._repo, HEADS)


def blob(store: ObjectStore, entry: Entry | None) -> Content | None:
    """Return the content of a stored file if it is a blob that is large enough to be a base."""
    if entry is None or entry.kind != "blob" or entry.size <= INLINE_BYTES:
        return None
    found = readable(None, read_blob, store, entry.id)
    return found.content if found else None


def _tensors(store: ObjectStore, checkpoint: ObjectId) -> dict[str, Entry]:
    return trees.tensors(store, read_checkpoint(store, checkpoint).tensors)


def _size(item: Entry | Tensor) -> int:
    return item.size if isinstance(item, Entry) else item.content.size
