"""Which chunk of which version came from which: from metadata alone.

A version is compared with its first parent, and equal trees are not entered. What has no parent
there, because its history starts anew, is taken to come from the first that had its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from mvc.base import dtypes
from mvc.base.dtypes import CHUNK_WORDS
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.model import Content, Tensor
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.history import topological
from mvc.repo.metadata import read_blob, read_checkpoint, read_tensor
from mvc.repo.repository import Repository
from mvc.store.lineage import Kind, Lineages

OPAQUE = Kind("opaque")
_Place = tuple[str, str, int, int]


def lineages(repo: Repository, starts: Iterable[ObjectId], progress: Progress = SILENT) -> Lineages:
    """Return the chunks of all versions that these commits lead to, the oldest first."""
    walker = _Walker(repo)
    for version in reversed(list(topological(repo, starts))):
        first = next(iter(repo.parents(version.id, version.commit)), None)
        before = repo.commit(first).tree if first is not None else None
        walker.version(before, version.commit.tree)
        progress.advance(1)
    return walker.found


class _Walker:
    def __init__(self, repo: Repository) -> None:
        self._store = repo.store
        self._seen: set[tuple[ObjectId | None, ObjectId]] = set()
        self._first: dict[_Place, ObjectId] = {}
        self.found = Lineages()

    def version(self, before: ObjectId | None, after: ObjectId) -> None:
        """Take in the files that differ between two trees."""
        for path, old, new in trees.changed(self._store, before, after, separator="/"):
            if new is None or self._store.left_out(new.id) or not self._is_new(old, new):
                continue
            self._file(path, None if old and self._store.left_out(old.id) else old, new)

    def _is_new(self, old: Entry | None, new: Entry) -> bool:
        pair = (old.id if old else None, new.id)
        if pair in self._seen:
            return False
        self._seen.add(pair)
        return True

    def _file(self, path: str, old: Entry | None, new: Entry) -> None:
        same = old is not None and old.kind == new.kind
        if new.kind == "blob":
            past = read_blob(self._store, old.id).content if old and same else None
            self._content((path, ""), OPAQUE, past, read_blob(self._store, new.id).content)
            return
        past_tensors = read_checkpoint(self._store, old.id).tensors if old and same else None
        tensors = read_checkpoint(self._store, new.id).tensors
        for name, one, two in trees.changed(self._store, past_tensors, tensors, separator=""):
            if two is not None and self._is_new(one, two):
                self._tensor((path, name), one, two)

    def _tensor(self, place: tuple[str, str], old: Entry | None, new: Entry) -> None:
        tensor = read_tensor(self._store, new.id)
        if not tensor.content.chunks:
            return
        past = read_tensor(self._store, old.id) if old else None
        alike = past is not None and past.dtype == tensor.dtype
        self._content(
            place, _kind(tensor), past.content if past and alike else None, tensor.content
        )

    def _content(
        self, place: tuple[str, str], kind: Kind, past: Content | None, content: Content
    ) -> None:
        for number, chunk in enumerate(content.chunks):
            size = content.chunk_bytes(number)
            before = _same_place(past, content.word, number, size)
            if before is None:
                before = self._first.setdefault((*place, number, size), chunk)
            self.found.add(chunk, before, kind, number * CHUNK_WORDS)


def _same_place(past: Content | None, word: int, number: int, size: int) -> ObjectId | None:
    """Return the chunk at a place of older content if it has as many words."""
    if past is None or past.word != word or number >= len(past.chunks):
        return None
    return past.chunks[number] if past.chunk_bytes(number) == size else None


def _kind(tensor: Tensor) -> Kind:
    known = dtypes.dtype(tensor.dtype, tensor.content.word)
    columns = 0
    if len(tensor.shape) > 1 and tensor.shape[0]:
        columns, rest = divmod(tensor.content.size // tensor.content.word, tensor.shape[0])
        columns = 0 if rest or not prod(tensor.shape) else columns
    return Kind(known.family, known.label, columns, dtypes.block_bytes(known.label))
