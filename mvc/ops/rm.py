"""Remove files and stop tracking them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.repo.repository import Repository
from mvc.repo.worktree import Worktree, locked_worktree


@dataclass(frozen=True, slots=True)
class RemoveResult:
    """The paths that are no longer tracked."""

    removed: tuple[str, ...]


def remove(
    repo: Repository,
    paths: list[Path],
    *,
    cached: bool = False,
    force: bool = False,
    recursive: bool = False,
) -> RemoveResult:
    """Stop tracking files and, unless `cached`, remove them.

    Raises NegativeAnswer, before anything is removed, when a file's content is in no version and
    `force` is not given.
    """
    with locked_worktree(repo) as work:
        chosen: dict[str, None] = {}
        for path in paths:
            chosen |= dict.fromkeys(tracked_below(work, path, recursive=recursive))
        if not cached and not force:
            _refuse_to_lose(work, list(chosen))
        for name in chosen:
            if cached:
                del work.state.files[name]
            else:
                work.remove(name)
        work.state.save()
    return RemoveResult(tuple(sorted(chosen)))


def tracked_below(work: Worktree, given: Path, *, recursive: bool) -> list[str]:
    """Return the tracked paths that a path names: the file itself, or all files below it."""
    path = work.relative(given)
    if path in work.state.files:
        return [path]
    below = [name for name in work.state.files if not path or name.startswith(path + "/")]
    if not below:
        raise NotFoundError(
            f"{path or 'this folder'!r} is not tracked", hint="`mvc status` shows what is"
        )
    if not recursive:
        raise UsageError(f"{path or '.'!r} is a folder", hint="-r takes all files below it")
    return below


def _refuse_to_lose(work: Worktree, paths: list[str]) -> None:
    head = work.head_files()
    for path in paths:
        stat = fileio.stat_file(work.root / path)
        if stat is None or (path in head and work.same(path, stat, head[path])):
            continue
        if work.reduced(path, stat):
            continue
        what = "has changes that are not committed" if path in head else "was never committed"
        raise NegativeAnswer(
            f"{path!r} {what}",
            hint="--cached keeps the file and stops tracking it, --force removes it",
        )
