"""Move the current branch to another version."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import IntegrityError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.ops.checkout import move
from mvc.ops.merge_steps import go_back
from mvc.repo import merging, revisions
from mvc.repo.repository import Repository
from mvc.repo.worktree import locked_worktree
from mvc.store.locks import pinned


@dataclass(frozen=True, slots=True)
class ResetResult:
    """Where the branch (None: detached HEAD) is now."""

    branch: str | None
    commit: ObjectId


def reset(
    repo: Repository, revision: str, *, hard: bool = False, progress: Progress = SILENT
) -> ResetResult:
    """Point the current branch at a version. Files stay unless `hard`, which drops changes.

    Where the branch was stays in the reflog.
    """
    with pinned(repo.scratch):
        target = revisions.resolve(repo, revision)
        _reset(repo, target, f"reset: moving to {revision}", hard=hard, progress=progress)
    return ResetResult(repo.refs.head().branch, target)


def _reset(
    repo: Repository, target: ObjectId, reason: str, *, hard: bool, progress: Progress
) -> None:
    if repo.worktree is None:
        repo.advance(_before(repo), target, reason)
    else:
        with locked_worktree(repo) as tree:
            if hard and merging.load(repo) is not None:
                # What a merge under way brought goes as well.
                go_back(repo, tree, progress)
            before = _before(repo)
            if hard:
                move(repo, tree, target, force=True, progress=progress)
                tree.track_only(tree.files_of(target))
            else:
                merging.refuse(repo, "a reset that keeps files")
                for path in tree.files_of(target):
                    tree.track(path)
                tree.state.save()
            repo.advance(before, target, reason)


def _before(repo: Repository) -> ObjectId | None:
    try:
        return repo.head_commit()
    except IntegrityError:
        # A reset is how a damaged ref is mended.
        return None
