"""Find the versions that hold exactly this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import MissingObjectError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry
from mvc.repo import history, revisions, trees
from mvc.repo.history import Version
from mvc.repo.metadata import file_sha256
from mvc.repo.repository import Repository
from mvc.repo.worktree import hash_file


@dataclass(frozen=True, slots=True)
class Match:
    """A version that has the file, and the paths at which it does."""

    version: Version
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IdentifyResult:
    """The file's size and SHA-256, and the versions that hold it, newest first."""

    size: int
    sha256: bytes
    matches: tuple[Match, ...]


def identify(repo: Repository, file: Path) -> IdentifyResult:
    """Look for a file in every version that a ref or a reflog still leads to."""
    stat = fileio.stat_file(file)
    if stat is None:
        raise NotFoundError(f"{file} is not a file")
    sha256, stat = hash_file(file)
    search = _Search(repo, stat.size, sha256)
    found = [
        Match(version, paths)
        for version in history.walk(repo, _starts(repo))
        if (paths := search.below(version.commit.tree))
    ]
    return IdentifyResult(stat.size, sha256, tuple(found))


class _Search:
    """Looks into each tree and each file once, however many versions share them."""

    def __init__(self, repo: Repository, size: int, sha256: bytes) -> None:
        self._store = repo.store
        self._size = size
        self._sha256 = sha256
        self._trees: dict[ObjectId, tuple[str, ...]] = {}
        self._files: dict[ObjectId, bool] = {}

    def below(self, tree: ObjectId) -> tuple[str, ...]:
        """Return the paths below a tree that have the content."""
        known = self._trees.get(tree)
        if known is not None:
            return known
        found: list[str] = []
        for entry in trees.read_tree(self._store, tree).entries:
            if entry.size < self._size:
                continue
            if entry.kind == "tree":
                found += [f"{entry.name}/{path}" for path in self.below(entry.id)]
            elif entry.size == self._size and self._same(entry):
                found.append(entry.name)
        self._trees[tree] = tuple(found)
        return self._trees[tree]

    def _same(self, entry: Entry) -> bool:
        if entry.id not in self._files:
            self._files[entry.id] = file_sha256(self._store, entry) == self._sha256
        return self._files[entry.id]


def _starts(repo: Repository) -> list[ObjectId]:
    starts = [revisions.peel(repo, target) for target in repo.refs.all().values()]
    if (head := repo.head_commit()) is not None:
        starts.append(head)
    for target in repo.refs.logged():
        # What only a log mentions may have been collected since.
        if repo.store.kind(target) in ("commit", "tag"):
            try:
                starts.append(revisions.peel(repo, target))
            except (MissingObjectError, NotFoundError):
                continue
    return starts
