"""Walk the history: from where, which commits, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from mvc.base.errors import UsageError
from mvc.base.ids import ObjectId
from mvc.repo import history, revisions
from mvc.repo.history import Version
from mvc.repo.refs import TAGS, short
from mvc.repo.repository import Repository
from mvc.repo.touching import Touched, Touching

MOST_NEAR = 64
"""Ancestors that a line of a part of history may lead to."""


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which commits to show.

    `revisions` are revisions and ranges `A..B`, `A...B`, `^A`. `filters` are paths of files or
    folders (globs too), or `PATH:GLOB` for the tensors of a file; a commit passes when it changed
    what one of them names, a merge when it has that like none of its parents. `since` is a time in
    microseconds. If `follow`, files are followed through renames and other formats.
    """

    revisions: tuple[str, ...] = ()
    everything: bool = False
    filters: tuple[str, ...] = ()
    limit: int | None = None
    author: str | None = None
    since: int | None = None
    topological: bool = False
    follow: bool = False


def log(repo: Repository, request: LogRequest) -> Iterator[Version]:
    """Yield the commits asked for, newest first. Lazy unless `topological` or `follow`."""
    return (item.version for item in touched(repo, request))


def touched(repo: Repository, request: LogRequest) -> Iterator[Touched]:
    """Yield the commits asked for, each with what `filters` mean there."""
    if request.follow and not request.filters:
        raise UsageError("nothing to follow", hint="`mvc log --follow -- FILE` names a file")
    starts, excluded = bounds(repo, request)
    order = history.topological if request.follow else history.walk
    if request.topological:
        order = history.by_line
    specs = [text or "." for text in request.filters]
    touching = Touching(repo, specs, starts, follow=request.follow)
    seen = map(touching.look, order(repo, starts, excluded))
    found = (item for item in seen if item is not None and _passes(request, item.version))
    return islice(found, request.limit)


def nearest(repo: Repository, request: LogRequest) -> dict[ObjectId, tuple[ObjectId, ...]]:
    """Return for each commit asked for the nearest of its ancestors that are asked for, too.

    For drawing a part of history: a line goes on at what is shown next.
    """
    shown = {version.id for version in log(repo, request)}
    everything = list(history.by_line(repo, *bounds(repo, request)))
    # What a line leads to at a commit: itself, or what its parents lead to.
    leads: dict[ObjectId, tuple[ObjectId, ...]] = {}
    found: dict[ObjectId, tuple[ObjectId, ...]] = {}
    for version in reversed(everything):
        parents = repo.parents(version.id, version.commit)
        below = dict.fromkeys(item for parent in parents for item in leads.get(parent, ()))
        near = tuple(below)[:MOST_NEAR]
        leads[version.id] = (version.id,) if version.id in shown else near
        if version.id in shown:
            found[version.id] = near
    return found


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


def _passes(request: LogRequest, version: Version) -> bool:
    commit = version.commit
    if request.since is not None and commit.time < request.since:
        return False
    return not request.author or request.author.casefold() in commit.author.casefold()
