"""What refs, reflogs and the working copy reach: everything that must stay.

Metadata is read, chunks are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.model import Content, Literal
from mvc.repo import bisecting, merging, trees
from mvc.repo.metadata import read_blob, read_checkpoint, read_layout, read_tensor
from mvc.repo.repository import Repository
from mvc.repo.state import Known, State
from mvc.store.object_store import FILE_KINDS


def roots(repo: Repository, since: int = 0) -> list[ObjectId]:
    """Return where everything that must stay starts; reflogs count from the time `since` on.

    Raises IntegrityError where a ref is damaged: nobody knows then what it reached.
    """
    found = list(repo.refs.all().values())
    head = repo.refs.head().commit
    if head is not None:
        found.append(head)
    # A reflog may tell of what is long gone, and a working copy of what another machine had.
    noted = repo.refs.logged(since) + list(_tracked(repo)) + merging.reached(repo)
    noted += bisecting.reached(repo)
    found += [item for item in noted if repo.store.index.kind(item) is not None]
    return list(dict.fromkeys(found))


class Reach:
    """The objects that were reached so far. Raises MissingObjectError where one is gone."""

    def __init__(self, repo: Repository, progress: Progress = SILENT) -> None:
        self._repo = repo
        self._progress = progress
        self.seen: set[ObjectId] = set()

    def extend(self, starts: Iterable[ObjectId]) -> None:
        """Reach all that these objects lead to."""
        pending = [(item, self._kind(item)) for item in starts if item not in self.seen]
        while pending:
            item, kind = pending.pop()
            if item in self.seen:
                continue
            self.seen.add(item)
            self._progress.advance(1)
            pending.extend(
                (below, what) for below, what in self._below(item, kind) if below not in self.seen
            )

    def _kind(self, item: ObjectId) -> str:
        return self._repo.store.locate(item).kind

    def _below(self, item: ObjectId, kind: str) -> Iterator[tuple[ObjectId, str]]:
        store = self._repo.store
        if kind == "commit":
            commit = self._repo.commit(item)
            yield commit.tree, "tree"
            yield from ((parent, "commit") for parent in self._repo.parents(item, commit))
        elif kind == "tag":
            target = self._repo.tag(item).target
            yield target, self._kind(target)
        elif kind == "tree":
            yield from self._entries(item)
        elif kind == "checkpoint":
            checkpoint = read_checkpoint(store, item)
            yield checkpoint.layout, "layout"
            yield checkpoint.tensors, "tree"
        elif kind == "layout":
            for extent in read_layout(store, item).extents:
                if isinstance(extent, Literal):
                    self._hold(extent.content)
        elif kind == "tensor":
            self._hold(read_tensor(store, item).content)
        elif kind == "blob":
            self._hold(read_blob(store, item).content)
        elif kind != "chunk":
            raise IntegrityError(f"object {item.hex()[:12]} is of no known kind")

    def _entries(self, tree: ObjectId) -> Iterator[tuple[ObjectId, str]]:
        """Yield what a tree holds, without files that are not here on purpose."""
        store = self._repo.store
        for entry in trees.read_tree(store, tree).entries:
            if entry.kind not in FILE_KINDS or not store.left_out(entry.id):
                yield entry.id, entry.kind

    def _hold(self, content: Content) -> None:
        self.seen.update(content.chunks)


def _tracked(repo: Repository) -> Iterator[ObjectId]:
    if repo.worktree is None:
        return
    state = State(repo.folder / "worktree", repo.scratch / "state")
    for held in state.files.values():
        if isinstance(held, Known) and held.id is not None:
            yield held.id
