"""Move or rename tracked files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.ops.rm import tracked_below
from mvc.repo.repository import Repository
from mvc.repo.state import Known
from mvc.repo.worktree import Worktree, check_addable, locked_worktree


@dataclass(frozen=True, slots=True)
class MoveResult:
    """Pairs of old and new path."""

    moved: tuple[tuple[str, str], ...]


def move(repo: Repository, sources: list[Path], target: Path, *, force: bool = False) -> MoveResult:
    """Move tracked files, or all tracked files of folders, to `target` or into it.

    Raises NegativeAnswer, before anything is moved, when a file is in the way and `force` is not
    given.
    """
    with locked_worktree(repo) as work:
        pairs: dict[str, str] = {}
        into = fileio.is_dir(target)
        if len(sources) > 1 and not into:
            raise UsageError(f"{str(target)!r} is not a folder, so it cannot take several files")
        for source in sources:
            pairs |= _pairs(work, source, target, into=into)
        for old, new in pairs.items():
            _check(work, old, new, force=force)
        if len(set(pairs.values())) != len(pairs):
            raise UsageError("two files would get the same name")
        for old, new in pairs.items():
            _move(work, old, new)
            work.state.save()
        work.state.settle(work.root, list(pairs.values()))
        work.state.save()
    return MoveResult(tuple(pairs.items()))


def _pairs(work: Worktree, source: Path, target: Path, *, into: bool) -> dict[str, str]:
    top, end = work.relative(source), work.relative(target)
    if not top:
        raise UsageError("the top folder cannot be moved")
    if into:
        end = f"{end}/{source.name}" if end else source.name
    if end == top:
        raise UsageError(f"{top!r} is there already")
    if end.startswith(top + "/"):
        raise UsageError(f"{top!r} cannot be moved into itself")
    return {old: end + old[len(top) :] for old in tracked_below(work, source, recursive=True)}


def _check(work: Worktree, old: str, new: str, *, force: bool) -> None:
    check_addable(new)
    if fileio.stat_file(work.root / old) is None:
        raise NotFoundError(f"{old!r} is gone", hint=f"`mvc restore {old}` brings it back")
    if not force and (new in work.state.files or fileio.lexists(work.root / new)):
        raise NegativeAnswer(f"{new!r} exists already", hint="--force replaces it")


def _move(work: Worktree, old: str, new: str) -> None:
    before = fileio.stat_file(work.root / old)
    work.reduced(old, before)
    known = work.state.files[old]
    after = fileio.Anchored(work.root).put(work.root / old, tuple(new.split("/")))
    fileio.remove_empty_dirs((work.root / old).parent, work.root)
    moved = None
    if isinstance(known, Known) and before is not None and known.proves(before):
        # The content came along; only the inode's change time is new.
        moved = replace(known, stat=after, seen_ns=fileio.now_ns())
    del work.state.files[old]
    work.state.files[new] = moved
