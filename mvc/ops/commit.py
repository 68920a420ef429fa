"""Record the tracked files as a new version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mvc.base import fileio
from mvc.base.errors import (
    FormatError,
    IntegrityError,
    MvcError,
    NegativeAnswer,
    StorageError,
    UsageError,
)
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.formats.base import Located
from mvc.objects.history import MAX_MESSAGE, Commit, Metric, Scalar
from mvc.objects.tree import Entry
from mvc.repo import merging, revisions, trees
from mvc.repo.bases import CommitBases
from mvc.repo.candidates import FileBases
from mvc.repo.external import located_elsewhere
from mvc.repo.ingest import Ingested, ingest
from mvc.repo.metadata import file_sha256
from mvc.repo.names import nested
from mvc.repo.repository import Repository
from mvc.repo.signing import own_key, signed
from mvc.repo.state import Known
from mvc.repo.taking_in import take_in
from mvc.repo.worktree import Changes, Worktree, check_addable, locked_worktree
from mvc.store.object_store import ObjectStore
from mvc.store.transaction import Transaction

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TRIES = 3


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What a commit says beside its files. Times and authors come from the repository.

    `base` is a revision that the new one is close to where that is not its parent: None is what is
    configured, empty none. `codec` is how much time coding may take: `default`, `fast`, or what
    is configured. `sign` is whether to sign it, None for what is configured.
    """

    message: str
    params: dict[str, Scalar] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    allow_empty: bool = False
    base: str | None = None
    codec: str | None = None
    sign: bool | None = None


@dataclass(frozen=True, slots=True)
class CommitResult:
    """The new version; `raw_bytes` of the files that changed, `stored_bytes` that it cost."""

    id: ObjectId
    branch: str | None
    root: bool
    message: str
    files: int
    raw_bytes: int
    stored_bytes: int
    warnings: tuple[str, ...]


def commit(repo: Repository, request: CommitRequest, progress: Progress = SILENT) -> CommitResult:
    """Store every tracked change and move the branch. Raises NegativeAnswer if there is none."""
    key = own_key(repo, wanted=request.sign)
    with locked_worktree(repo) as tree:
        merging.refuse(repo, "a commit")
        parent = repo.head_commit()
        head = tree.files_of(parent)
        changes = tree.candidates(head)
        with Transaction(repo.store, repo.scratch, repo.codec(request.codec)) as tx:
            base, remarks = declared_base(repo, request.base, parent)
            bases = CommitBases(repo, head, base)
            read = store_files(tree, tx, bases, changes, progress)
            stored = {
                path: item
                for path, item in read.items()
                if path not in head or not _same(repo.store, head[path], item)
            }
            for path in read.keys() - stored.keys():
                _keep_known(tree, path, head[path])
            if not (stored or changes.deleted or request.allow_empty):
                tree.state.settle(tree.root, list(read))
                tree.state.save()
                raise NegativeAnswer("nothing to commit", hint=_advice(tree))
            files = {path: entry for path, entry in head.items() if path not in changes.deleted}
            files |= {path: item.entry for path, item in stored.items()}
            files |= tree.left_out(parent)
            new = record(repo, tx, files, request, parent, base, key, fresh=stored)
        for path in changes.deleted:
            tree.state.files.pop(path, None)
        tree.state.settle(tree.root, list(read))
        tree.state.save()
        return CommitResult(
            new,
            repo.refs.head().branch,
            parent is None,
            request.message,
            len(stored) + len(changes.deleted),
            sum(item.entry.size for item in stored.values()),
            tx.stored_bytes,
            (
                *remarks,
                *_unreached(repo),
                *(f"{path}: {item.warning}" for path, item in stored.items() if item.warning),
            ),
        )


def record(
    repo: Repository,
    tx: Transaction,
    files: dict[str, Entry],
    request: CommitRequest,
    parent: ObjectId | None,
    base: ObjectId | None = None,
    key: Ed25519PrivateKey | None = None,
    fresh: Iterable[str] = (),
) -> ObjectId:
    """Store trees and commit, make them durable, and move what HEAD points at.

    A `key` signs the commit (mvc.repo.signing.own_key). `fresh` are the files that no version had
    yet as they are now.
    """
    if not request.message.strip():
        raise UsageError("a commit needs a message", hint="`mvc commit -m MESSAGE`")
    if len(request.message.encode("utf-8", "replace")) > MAX_MESSAGE:
        raise FormatError(f"a commit message is at most {MAX_MESSAGE} bytes")
    if pair := nested(files):
        raise NegativeAnswer(
            f"{pair[0]} is a file in this version, so {pair[1]} cannot be one",
            hint=f"`mvc rm --cached {pair[0]}` drops the former from the next version",
        )
    take_in(repo, fresh, files)
    made = Commit(
        trees.write_files(tx.put, files),
        (parent,) if parent is not None else (),
        repo.author(),
        repo.environment.clock(),
        request.message,
        request.params,
        tuple(sorted(request.metrics, key=lambda item: (item.name, item.dataset, item.split))),
        request.labels,
        base=base,
    )
    new = tx.put(made if key is None else signed(made, key))
    tx.commit()
    kind = "commit (initial)" if parent is None else "commit"
    repo.advance(parent, new, f"{kind}: {request.message.split(chr(10), 1)[0][:200]}")
    return new


def declared_base(
    repo: Repository, given: str | None, parent: ObjectId | None
) -> tuple[ObjectId | None, tuple[str, ...]]:
    """Return the version that a new one is said to be close to, and remarks.

    `given` is a revision, or None for what `commit.base` says. The parent needs no saying. Raises
    NotFoundError for a revision that is not there; a setting is not worth failing for.
    """
    revision = repo.config.text("commit.base") if given is None else given
    if not revision:
        return None, ()
    try:
        found = revisions.resolve(repo, revision)
    except MvcError as error:
        if given is not None:
            raise
        return None, (f"the setting commit.base has no effect: {error.message}",)
    return (None if found == parent else found), ()


def _unreached(repo: Repository) -> tuple[str, ...]:
    """Say what chunks were stored alone for, though they resemble others."""
    failures = repo.store.tails.failures if repo.store.tails is not None else {}
    return tuple(
        f"stored without differences, as the lower bits of what came before are out of reach: "
        f"{message}"
        for message in dict.fromkeys(failures.values())
    )


def _same(store: ObjectStore, before: Entry, now: Ingested) -> bool:
    """Tell whether a file is as it was.

    Its bytes decide, not the id: another version of mvc may describe the same file differently.
    Tensors found where there were none, because an extra was installed, do count as a change.
    """
    if before.id == now.entry.id:
        return True
    if (before.kind, before.size) != (now.entry.kind, now.entry.size):
        return False
    try:
        return file_sha256(store, before) == now.sha256
    except IntegrityError:
        return False


def _keep_known(tree: Worktree, path: str, entry: Entry) -> None:
    known = tree.state.files.get(path)
    if isinstance(known, Known):
        tree.state.files[path] = replace(known, id=entry.id)


def store_files(
    tree: Worktree,
    tx: Transaction,
    bases: CommitBases,
    changes: Changes,
    progress: Progress,
) -> dict[str, Ingested]:
    """Store the files that were added or modified, and note what they are."""
    paths = [*changes.added, *changes.modified]
    if not paths:
        return {}
    stats = {path: fileio.stat_file(tree.root / path) for path in paths}
    if odd := next((path for path, stat in stats.items() if stat is None), None):
        raise NegativeAnswer(
            f"{odd} is a link or device now, not a file",
            hint=f"put the file itself there, or `mvc rm --cached {odd}`",
        )
    progress.start("storing", sum(stat.size for stat in stats.values() if stat))
    external = located_elsewhere(tree.root, tree.state.files, paths)
    stored = {}
    for path in sorted(paths):
        check_addable(path)
        stored[path] = _store_file(tree, tx, path, bases, external.get(path), progress)
    progress.finish()
    return stored


def _store_file(
    tree: Worktree,
    tx: Transaction,
    path: str,
    bases: CommitBases,
    located: Located | None,
    progress: Progress,
) -> Ingested:
    for _ in range(TRIES):
        with fileio.Reader(tree.root / path) as reader:
            seen = fileio.now_ns()
            past = FileBases(bases, path, reader.size)
            try:
                done = ingest(tx, reader, bases=past, located=located, progress=progress)
            except FormatError:
                if located is None:
                    raise
                located = None
                continue
            except StorageError:
                if not reader.changed():
                    raise
                continue
            if not reader.changed():
                tree.state.files[path] = Known(done.entry.id, done.sha256, reader.stat, seen)
                return done
    raise StorageError(
        f"{path} changes while it is read", hint="commit when the program that writes it is done"
    )


def _advice(tree: Worktree) -> str:
    if tree.untracked() or not tree.state.files:
        return "`mvc add FILE` tracks files; `mvc status` lists them"
    return "every tracked file is as in HEAD"
