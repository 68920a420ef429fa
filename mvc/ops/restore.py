"""Bring files back as a version has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base.dtypes import check_precision
from mvc.base.errors import NotFoundError
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import revisions
from mvc.repo.chosen import left_out
from mvc.repo.in_the_way import check_free
from mvc.repo.repository import Repository
from mvc.repo.worktree import locked_worktree


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The files that were written; those that were right already are not among them.

    `reduced` of them are at reduced precision.
    """

    restored: tuple[str, ...]
    reduced: tuple[str, ...] = ()


def restore(
    repo: Repository,
    paths: list[Path],
    *,
    source: str | None = None,
    precision: int | None = None,
    progress: Progress = SILENT,
) -> RestoreResult:
    """Write files, or all files below directories, as in `source` (default HEAD).

    Local changes to them are dropped; other files stay as they are. At `precision` 16, float words
    are written with their low bits zero; without it, files that are so get all their bits back.
    """
    check_precision(precision)
    with locked_worktree(repo) as tree:
        revision = source or "HEAD"
        commit = revisions.resolve(repo, revision)
        files = tree.files_of(commit)
        wanted: dict[str, Entry] = {}
        for path in paths:
            name = tree.relative(path)
            inside = {
                item: entry
                for item, entry in files.items()
                if name in ("", item) or item.startswith(name + "/")
            }
            if not inside and any(
                name in ("", item) or item.startswith(name + "/") for item in tree.left_out(commit)
            ):
                raise left_out(name)
            if not inside:
                raise NotFoundError(
                    f"{revision} has no file {name}", hint=f"`mvc ls-tree -r {revision}` lists them"
                )
            wanted |= inside
        stale = {
            name: entry for name, entry in wanted.items() if not tree.has(name, entry, precision)
        }
        check_free(tree.root, list(stale), set(), force=True)
        for name in wanted:
            tree.track(name)
        tree.write(stale, progress, precision=precision)
        return RestoreResult(tuple(sorted(stale)), tree.at_precision(stale))
