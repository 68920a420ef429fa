"""What the working copy has that HEAD does not."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base import fileio
from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry
from mvc.repo import bisecting, merging
from mvc.repo.repository import Repository
from mvc.repo.state import Known
from mvc.repo.tracking import Tracking, tracking
from mvc.repo.worktree import Changes, Worktree


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A merge, cherry-pick or revert that stopped, or was cut off (not `written`).

    `conflicts` are (path, tensor); `edited` the files among them that were edited since, which
    decides them. `todo` counts commits still to be picked.
    """

    verb: str
    names: tuple[str, ...]
    conflicts: tuple[tuple[str, str | None], ...]
    edited: tuple[str, ...]
    written: bool
    todo: int


@dataclass(frozen=True, slots=True)
class StatusResult:
    """Where HEAD is and how the files differ from it.

    `renamed` pairs those of `deleted` and `added` that are known to have the same content.
    `reduced` are the files at reduced precision, which no commit takes up. `upstream` is how the
    branch stands to what it follows, as far as was fetched. `under_way` is a merge that stopped.
    `bisecting`: a search for the first bad version is under way.
    """

    branch: str | None
    head: ObjectId | None
    clean: bool
    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    untracked: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...] = ()
    reduced: tuple[str, ...] = ()
    upstream: Tracking | None = None
    under_way: UnderWay | None = None
    bisecting: bool = False


def status(repo: Repository) -> StatusResult:
    """Compare the working copy with HEAD; `clean` speaks of tracked files only.

    What had to be read is remembered, so the next call need not read it again.
    """
    tree = Worktree(repo)
    head = repo.refs.head()
    files = tree.head_files()
    changes = tree.changes(files)
    _remember(repo, tree)
    return StatusResult(
        head.branch,
        head.commit,
        changes.clean,
        changes.added,
        changes.modified,
        changes.deleted,
        changes.untracked,
        _renamed(tree, files, changes),
        changes.reduced,
        tracking(repo, head.branch, head.commit) if head.branch else None,
        under_way=_under_way(repo, tree),
        bisecting=bisecting.under_way(repo),
    )


def _under_way(repo: Repository, tree: Worktree) -> UnderWay | None:
    found = merging.load(repo)
    if found is None:
        return None
    files = {path: entry for path, entry in found.files.items() if entry is not None}
    about = dict.fromkeys(item.path for item in found.conflicts)
    if missing := [path for path in about if path not in found.files]:
        ours = tree.files_of(found.task.ours)
        files |= {path: ours[path] for path in missing if path in ours}
    edited = tuple(
        path
        for path in about
        if found.written and path in files and not tree.has(path, files[path])
    )
    conflicts = tuple((item.path, item.tensor) for item in found.conflicts)
    names = found.task.names[1:]
    return UnderWay(found.verb, names, conflicts, edited, found.written, len(found.todo))


def _renamed(
    tree: Worktree, head: dict[str, Entry], changes: Changes
) -> tuple[tuple[str, str], ...]:
    """Pair deleted and added files by what is known of their content, reading nothing."""
    gone: dict[ObjectId, list[str]] = {}
    for path in changes.deleted:
        gone.setdefault(head[path].id, []).append(path)
    pairs = []
    for path in changes.added if gone else ():
        known, stat = tree.state.files.get(path), fileio.stat_file(tree.root / path)
        if isinstance(known, Known) and known.id and stat is not None and known.proves(stat):
            pairs += [(old.pop(0), path)] if (old := gone.get(known.id)) else []
    return tuple(pairs)


def _remember(repo: Repository, seen: Worktree) -> None:
    """Save what was learned, unless the repository is busy or read-only: it is only a cache."""
    if not seen.state.changed:
        return
    try:
        with fileio.locked(repo.folder / "locks" / "worktree", wait=False):
            seen.state.save_if_current()
    except MvcError:
        return
