"""Walk the history: from where, which commits, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from mvc.base.errors import NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects.tree import Entry
from mvc.repo import history, revisions
from mvc.repo.history import Version
from mvc.repo.refs import TAGS, short
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which commits to show.

    `revisions` are revisions and ranges `A..B`, `A...B`, `^A`. `filters` are paths of files or
    folders (globs too), or `PATH:GLOB` for the tensors of a file; a commit passes when it changed
    what one of them names. `since` is a time in microseconds.
    """

    revisions: tuple[str, ...] = ()
    everything: bool = False
    filters: tuple[str, ...] = ()
    limit: int | None = None
    author: str | None = None
    since: int | None = None
    topological: bool = False


def log(repo: Repository, request: LogRequest) -> Iterator[Version]:
    """Yield the commits asked for, newest first. Lazy unless `topological`."""
    starts, excluded = bounds(repo, request)
    order = history.topological if request.topological else history.walk
    found = (item for item in order(repo, starts, excluded) if _passes(repo, request, item))
    return islice(found, request.limit)


def decorations(repo: Repository) -> dict[ObjectId, tuple[str, ...]]:
    """Return the refs of each commit that has any: `HEAD -> main`, `tag: v1`, `other`."""
    found: dict[ObjectId, list[str]] = {}
    head = repo.refs.head()
    if head.commit is not None:
        found[head.commit] = [f"HEAD -> {head.branch}" if head.branch else "HEAD"]
    for ref, target in repo.refs.all().items():
        if ref == head.ref:
            continue
        commit, name = target, short(ref)
        if ref.startswith(TAGS):
            commit, name = revisions.peel(repo, target), f"tag: {ref.removeprefix(TAGS)}"
        found.setdefault(commit, []).append(name)
    return {commit: tuple(names) for commit, names in found.items()}


def bounds(repo: Repository, request: LogRequest) -> tuple[list[ObjectId], list[ObjectId]]:
    """Return the commits to start from, and those to leave out with all their ancestors."""
    starts: list[ObjectId] = []
    excluded: list[ObjectId] = []
    for spec in request.revisions:
        if spec.startswith("^"):
            excluded.append(revisions.resolve(repo, spec[1:]))
        elif "..." in spec:
            one, two = (revisions.resolve(repo, side or "HEAD") for side in spec.split("...", 1))
            starts += [one, two]
            if base := history.merge_base(repo, one, two):
                excluded.append(base)
        elif ".." in spec:
            old, new = (revisions.resolve(repo, side or "HEAD") for side in spec.split("..", 1))
            starts.append(new)
            excluded.append(old)
        else:
            starts.append(revisions.resolve(repo, spec))
    if request.everything:
        starts += [revisions.peel(repo, target) for target in repo.refs.all().values()]
        if (head := repo.head_commit()) is not None:
            starts.append(head)
    if not starts:
        starts.append(revisions.resolve(repo, "HEAD"))
    return starts, excluded


def _passes(repo: Repository, request: LogRequest, version: Version) -> bool:
    commit = version.commit
    if request.since is not None and commit.time < request.since:
        return False
    if request.author and request.author.casefold() not in commit.author.casefold():
        return False
    return not request.filters or any(_touches(repo, version, text) for text in request.filters)


def _touches(repo: Repository, version: Version, text: str) -> bool:
    """Tell whether a commit has something else at a path than each of its parents."""
    new = version.commit.tree
    parents = [repo.commit(parent).tree for parent in repo.parents(version.id, version.commit)]
    if not parents:
        return _differs(repo, None, new, text)
    return all(_differs(repo, old, new, text) for old in parents)


def _differs(repo: Repository, old: ObjectId | None, new: ObjectId, text: str) -> bool:
    from mvc.repo import trees

    if old == new:
        return False
    store = repo.store
    if not text:
        return True
    if any(char in text.partition(":")[0] for char in "*?["):
        return _glob_differs(repo, old, new, text)
    before = trees.find(store, old, text) if old else None
    after = trees.find(store, new, text)
    path, colon, pattern = text.partition(":")
    if before is None and after is None and colon:
        before = trees.find(store, old, path) if old else None
        return _tensors_differ(repo, before, trees.find(store, new, path), pattern)
    return (before and before.id) != (after and after.id)


def _glob_differs(repo: Repository, old: ObjectId | None, new: ObjectId, text: str) -> bool:
    from mvc.repo import trees

    path, colon, pattern = text.partition(":")
    matches = _matcher(path)
    return any(
        not colon or _tensors_differ(repo, before, after, pattern)
        for name, before, after in trees.changed(repo.store, old, new, separator="/")
        if matches(name)
    )


def _tensors_differ(
    repo: Repository, before: Entry | None, after: Entry | None, pattern: str
) -> bool:
    from mvc.repo import trees
    from mvc.repo.metadata import read_checkpoint

    if (before and before.id) == (after and after.id):
        return False
    roots = [
        read_checkpoint(repo.store, entry.id).tensors
        if entry is not None and entry.kind == "checkpoint"
        else None
        for entry in (before, after)
    ]
    matches = _matcher(pattern)
    changed = trees.changed(repo.store, roots[0], roots[1], separator="")
    return any(matches(name) for name, _, _ in changed)


def _matcher(pattern: str) -> Callable[[str], bool]:
    import re
    from fnmatch import translate

    try:
        expression = re.compile(translate(pattern))
    except re.error:
        raise NotFoundError(f"{pattern[:80]!r} is not a pattern") from None
    return lambda name: expression.match(name) is not None
