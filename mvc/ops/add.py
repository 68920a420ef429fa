"""Start tracking files. Nothing is read: `commit` stores what is tracked at that time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer, NotFoundError
from mvc.repo.ignore import ALWAYS, Ignore
from mvc.repo.names import clash
from mvc.repo.repository import Repository
from mvc.repo.worktree import Worktree, check_addable, locked_worktree, walk_own_files


@dataclass(frozen=True, slots=True)
class AddResult:
    """Paths that are tracked from now on, and those that were already."""

    added: tuple[str, ...]
    already: tuple[str, ...]


def add(repo: Repository, paths: list[Path], *, force: bool = False) -> AddResult:
    """Track files and all files below directories; all of them or, on an error, none.

    Raises NotFoundError for a path that is not there, NegativeAnswer for an ignored file that is
    named itself (unless `force`) and for names that some system could not have.
    """
    with locked_worktree(repo) as tree:
        wanted: dict[str, None] = {}
        for path in paths:
            wanted.update(dict.fromkeys(_below(tree, path, force=force)))
        new = [name for name in wanted if name not in tree.state.files]
        for name in new:
            check_addable(name)
        if pair := clash(sorted({*tree.state.files, *new})):
            raise NegativeAnswer(
                f"{pair[0]!r} and {pair[1]!r} are one file on some systems",
                hint="rename one of them",
            )
        tree.state.files.update(dict.fromkeys(new))
        tree.state.save()
        fresh = set(new)
        return AddResult(tuple(new), tuple(name for name in wanted if name not in fresh))


def _below(tree: Worktree, path: Path, *, force: bool) -> list[str]:
    name = tree.relative(path)
    target = tree.root / name
    if fileio.stat_file(target) is not None:
        _check_plain_parents(tree, name)
        check_addable(name)
        if not force and name not in tree.state.files and _ignored(tree, name):
            raise NegativeAnswer(
                f"{name} is ignored", hint="`mvc add --force` adds it all the same"
            )
        return [name]
    if not fileio.lexists(target):
        if name in tree.state.files:
            return [name]
        raise NotFoundError(f"there is no file {name or path}", hint="`mvc status` lists the files")
    if fileio.kind(target) != "directory":
        raise NegativeAnswer(
            f"{name} is neither a file nor a directory",
            hint="links, pipes and devices are not versioned; add what a link points at",
        )
    _check_plain_parents(tree, name)
    ignore = Ignore(tree.root)
    found = []
    for entry in walk_own_files(target):
        below = "/".join((*filter(None, [name]), *entry.parts))
        if below in tree.state.files or force or not ignore.covers(below):
            found.append(below)
    return found


def _ignored(tree: Worktree, name: str) -> bool:
    inside = set(name.split("/")) & set(ALWAYS)
    return bool(inside) or Ignore(tree.root).covers(name)


def _check_plain_parents(tree: Worktree, name: str) -> None:
    parent = tree.root
    for part in name.split("/")[:-1]:
        parent = parent / part
        if fileio.kind(parent) == "other":
            raise NegativeAnswer(
                f"{name} lies behind a link", hint="add the directory that the link points at"
            )
