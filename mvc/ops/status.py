"""What the working copy has that HEAD does not."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base import fileio
from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.repo.worktree import Worktree


@dataclass(frozen=True, slots=True)
class StatusResult:
    """Where HEAD is and how the files differ from it."""

    branch: str | None
    head: ObjectId | None
    clean: bool
    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    untracked: tuple[str, ...]


def status(repo: Repository) -> StatusResult:
    """Compare the working copy with HEAD; `clean` speaks of tracked files only.

    What had to be read is remembered, so the next call need not read it again.
    """
    tree = Worktree(repo)
    head = repo.refs.head()
    changes = tree.changes(tree.head_files())
    _remember(repo, tree)
    return StatusResult(
        head.branch,
        head.commit,
        changes.clean,
        changes.added,
        changes.modified,
        changes.deleted,
        changes.untracked,
    )


def _remember(repo: Repository, seen: Worktree) -> None:
    """Save what was learned, unless the repository is busy or read-only: it is only a cache."""
    if not seen.state.changed:
        return
    try:
        with fileio.locked(repo.folder / "locks" / "worktree", wait=False):
            seen.state.save_if_current()
    except MvcError:
        return
