"""Bring files that were left out when a copy was made, of all versions that are here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

from mvc.base.errors import LeftOutError, MvcError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.repo import history, trees
from mvc.repo.chosen import check_count
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel
from mvc.repo.scope import Scope, scope_of, tidy
from mvc.repo.worktree import locked_worktree
from mvc.store.locks import pinned
from mvc.sync.fetch import fetched
from mvc.sync.limits import MAX_BASES
from mvc.sync.link import Link
from mvc.sync.listing import Listing
from mvc.sync.memory import Memory
from mvc.sync.quarantine import quarantine
from mvc.sync.transfer import Sums

ALL = Scope(frozenset([()]))


@dataclass(frozen=True, slots=True)
class Widened:
    """What files are here now (none named: all), what came, and how many files were written."""

    paths: tuple[str, ...]
    sent: Sums = field(default_factory=Sums)
    written: int = 0


def checked(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return patterns as they are kept, or raise UsageError."""
    found = list(dict.fromkeys(map(tidy, patterns)))
    check_count(found)
    return tuple(found)


def widen(
    repo: Repository,
    remote: Remote,
    link: Link,
    listing: Listing,
    patterns: Iterable[str],
    progress: Progress = SILENT,
) -> Widened:
    """Bring the files of more paths (none: all), and note that they are here.

    Those of the current version are written where nothing is in their place. Cut off, it goes on
    where it was when it is run again. Raises LeftOutError where the remote lacks some; what has
    come stays then, so that another remote can bring the rest.
    """
    asked = tuple(patterns)
    paths = tuple(dict.fromkeys((*repo.chosen.patterns, *asked))) if asked else ()
    check_count(list(paths))
    scope = scope_of(paths) or ALL
    sums = Sums()
    there = [item for item in dict.fromkeys(listing.refs.values()) if repo.store.kind(item)]
    more = scope_of(asked) or ALL
    wants = list(dict.fromkeys(item for item, _ in _lacking(repo, there, more)))
    heads = remote.precision is not None
    key = f"remote {Memory(repo, remote.url).key}{' heads' * heads} paths"
    with closing(quarantine(repo, key, heads=heads)) as held:
        for at in range(0, len(wants), MAX_BASES):
            with fetched(
                repo,
                link,
                wants[at : at + MAX_BASES],
                (),
                held,
                listing.part_bytes,
                progress,
                remote.name if heads else None,
                more=asked,
            ) as done:
                pass
            sums.parts += done.parts
            sums.bytes += done.bytes
        if held.parts():
            held.drop(held.parts())
    _check_whole(repo, remote, scope)
    written = _write(repo, remote, scope, progress)
    repo.chosen.change(paths)
    return Widened(paths, sums, written)


def _lacking(
    repo: Repository, starts: Iterable[ObjectId], scope: Scope
) -> Iterator[tuple[ObjectId, str]]:
    """Yield versions with files in a scope that are not here, each file with the oldest."""
    tips = []
    for item in starts:
        # A damaged ref is for `mvc fsck`.
        with suppress(MvcError):
            tips.append(peel(repo, item))
    seen: set[tuple[ObjectId, Scope]] = set()
    for version in reversed(list(history.topological(repo, tips))):
        for path, file in _files(repo, version.commit.tree, scope, seen):
            if repo.store.kind(file) is None:
                yield version.id, path


def _files(
    repo: Repository, tree: ObjectId, scope: Scope, seen: set[tuple[ObjectId, Scope]]
) -> Iterator[tuple[str, ObjectId]]:
    """Yield the files of a tree that are in a scope, but for trees that were seen in it."""
    if (tree, scope) in seen:
        return
    seen.add((tree, scope))
    for entry in trees.read_tree(repo.store, tree).entries:
        below = scope.enter(entry.name)
        if entry.kind == "tree":
            for path, file in _files(repo, entry.id, below, seen):
                yield f"{entry.name}/{path}", file
        elif below.everything and (entry.id, ALL) not in seen:
            seen.add((entry.id, ALL))
            yield entry.name, entry.id


def _check_whole(repo: Repository, remote: Remote, scope: Scope) -> None:
    starts = list(repo.refs.all().values())
    if (head := repo.head_commit()) is not None:
        starts.append(head)
    left = list(_lacking(repo, starts, scope))
    if left:
        version, path = left[0]
        raise LeftOutError(
            f"{remote.name} has not all of these files: {path} of version {short(version)}"
            " is not there",
            hint="what came is kept; `mvc fetch REMOTE` with the same paths asks another one",
        )


def _write(repo: Repository, remote: Remote, scope: Scope, progress: Progress) -> int:
    """Write what the current version has of the files that came, beside those that are here."""
    commit = repo.head_commit()
    if repo.worktree is None or commit is None:
        return 0
    with locked_worktree(repo) as tree, pinned(repo.scratch):
        fresh = {
            path: entry for path, entry in tree.left_out(commit).items() if scope.chooses(path)
        }
        for path in fresh:
            tree.track(path)
        free = {path: entry for path, entry in fresh.items() if tree.is_free(path)}
        tree.write(free, progress, precision=remote.precision)
    return len(free)


def check_request(patterns: tuple[str, ...], *, full: bool) -> None:
    """Raise UsageError for a wish that contradicts itself."""
    if patterns and full:
        raise UsageError("all files, or some of them?", hint="leave out --full or --path")
