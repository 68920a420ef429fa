"""What the tensors of one version take, and why."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry
from mvc.repo import revisions, trees
from mvc.repo.holdings import Cause, cause_of
from mvc.repo.metadata import read_checkpoint, read_tensor
from mvc.repo.repository import Repository
from mvc.store.accounting import ChunkUse, chunk_use


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """A tensor of a file of a version."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class TensorUse:
    """What a tensor takes.

    `record_bytes` are the sections of all its chunks, `stored_bytes` of those that no parent has
    and no tensor before it. `depth` is the greatest number of deltas in a row. `base` is the chunk
    that the first delta is coded against, and `base_place` where a parent or this version has it.
    """

    place: TensorPlace
    dtype: str
    shape: tuple[int, ...]
    raw_bytes: int
    stored_bytes: int
    record_bytes: int
    cause: Cause
    depth: int
    base: ObjectId | None
    base_place: TensorPlace | None


@dataclass(frozen=True, slots=True)
class TensorStats:
    """The tensors of a version or of one of its files, in the order of their names."""

    commit: ObjectId
    tensors: tuple[TensorUse, ...]

    @property
    def raw_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(item.raw_bytes for item in self.tensors)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the sections that came with this version."""
        return sum(item.stored_bytes for item in self.tensors)


def tensor_stats(repo: Repository, spec: str = "HEAD") -> TensorStats:
    """Return what the tensors of `REV` or `REV:PATH` take.

    Raises NotFoundError for an unknown revision or path, or where there are no tensors.
    """
    found = revisions.find(repo, spec if ":" in spec else f"{spec}:")
    commit = repo.commit(found.commit)
    survey = _Survey(repo)
    for parent in repo.parents(found.commit, commit):
        survey.remember(repo.commit(parent).tree)
    models = _files(repo, found.path, found.entry)
    tensors = [
        survey.tensor(TensorPlace(path, name), leaf)
        for path, entry in models.items()
        for name, leaf in survey.leaves(entry).items()
    ]
    if not tensors:
        raise NotFoundError(
            f"{spec} has no tensors that mvc can see", hint=f"`mvc show {spec}` shows what it has"
        )
    return TensorStats(found.commit, tuple(tensors))


def _files(repo: Repository, path: str, entry: Entry) -> dict[str, Entry]:
    if entry.kind != "tree":
        return {path: entry}
    stem = f"{path}/" if path else ""
    return {stem + name: leaf for name, leaf in trees.files(repo.store, entry.id).items()}


class _Survey:
    """Knows where chunks have been seen, and describes tensors one after another."""

    def __init__(self, repo: Repository) -> None:
        self._store = repo.store
        self._places: dict[ObjectId, TensorPlace] = {}

    def remember(self, root: ObjectId) -> None:
        """Take the chunks of a version as seen."""
        for path, entry in trees.files(self._store, root).items():
            for name, leaf in self.leaves(entry).items():
                self._enter(read_tensor(self._store, leaf.id).content.chunks, path, name)

    def leaves(self, entry: Entry) -> dict[str, Entry]:
        """Return the tensors of a file."""
        if entry.kind != "checkpoint" or self._store.left_out(entry.id):
            return {}
        return trees.tensors(self._store, read_checkpoint(self._store, entry.id).tensors)

    def tensor(self, place: TensorPlace, leaf: Entry) -> TensorUse:
        """Describe a tensor, and take its chunks as seen."""
        tensor = read_tensor(self._store, leaf.id)
        chunks = tensor.content.chunks
        uses = {name: chunk_use(self._store.chunk_entry(name)[1]) for name in chunks}
        new = [use for name, use in uses.items() if name not in self._places]
        base = next((use.base for use in uses.values() if use.base is not None), None)
        described = TensorUse(
            place,
            tensor.dtype,
            tensor.shape,
            tensor.content.size,
            sum(use.sections for use in new),
            sum(use.sections for use in uses.values()),
            _cause(new) if chunks else "inline",
            max((use.depth for use in uses.values()), default=0),
            base,
            self._places.get(base) if base is not None else None,
        )
        self._enter(chunks, place.path, place.name)
        return described

    def _enter(self, chunks: tuple[ObjectId, ...], path: str, name: str) -> None:
        for chunk in chunks:
            self._places.setdefault(chunk, TensorPlace(path, name))


def _cause(new: list[ChunkUse]) -> Cause:
    """Return the cause that most bytes of the new chunks have."""
    sums: dict[Cause, int] = {}
    for use in new:
        cause = cause_of(use)
        sums[cause] = sums.get(cause, 0) + use.raw
    return max(sums, key=lambda cause: sums[cause], default="equal")
