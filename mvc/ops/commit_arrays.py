"""Record arrays from memory as a new version, leaving the working copy alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.formats.safetensors_writer import ArraySource
from mvc.objects.tree import Entry
from mvc.ops.commit import CommitRequest, declared_base, record
from mvc.repo import merging, trees
from mvc.repo.arrays import TensorFile, from_memory
from mvc.repo.bases import CommitBases
from mvc.repo.candidates import FileBases
from mvc.repo.ingest import ingest
from mvc.repo.names import clash, split_path
from mvc.repo.repository import Repository
from mvc.repo.signing import own_key
from mvc.repo.state import Left
from mvc.repo.worktree import Worktree, locked_worktree
from mvc.store.transaction import Transaction


def commit_arrays(
    repo: Repository,
    tensors: Mapping[str, Any] | TensorFile,
    path: str,
    request: CommitRequest,
) -> ObjectId:
    """Store `tensors` as the safetensors file `path` and move the branch.

    The other files are those of HEAD. A file at `path` in the working copy stays as it is and
    counts as unchanged until somebody changes or restores it.
    """
    split_path(path)
    key = own_key(repo, wanted=request.sign)
    source = ArraySource(from_memory(tensors))
    with locked_worktree(repo) if repo.worktree else nullcontext() as tree:
        merging.refuse(repo, "a commit")
        parent = repo.head_commit()
        head = _files(repo, parent)
        if pair := clash(sorted({*head, path})):
            raise NegativeAnswer(f"{pair[0]!r} and {pair[1]!r} are one file on some systems")
        with Transaction(repo.store, repo.scratch, repo.codec(request.codec)) as tx:
            base, _ = declared_base(repo, request.base, parent)
            bases = FileBases(CommitBases(repo, head, base), path, source.size)
            stored = ingest(tx, source, bases=bases)
            files = {**head, path: stored.entry}
            new = record(repo, tx, files, request, parent, base, key, fresh=[path])
        if tree is not None:
            _leave(tree, path, head.get(path))
        return new


def _files(repo: Repository, commit: ObjectId | None) -> dict[str, Entry]:
    return {} if commit is None else trees.files(repo.store, repo.commit(commit).tree)


def _leave(tree: Worktree, path: str, before: Entry | None) -> None:
    """Note that the file on disk is behind, unless it holds work that was never committed."""
    stat = fileio.stat_file(tree.root / path)
    held = tree.state.files.get(path)
    behind = (isinstance(held, Left) and held.stat == stat) or tree.reduced(path, stat)
    if stat is None or behind or (before is not None and tree.same(path, stat, before)):
        tree.state.files[path] = Left(stat)
    else:
        tree.state.files[path] = None
    tree.state.save()
