"""Where refs come from: the commits at which lines begin, part, join and end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mvc.base.errors import NotFoundError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.ops.log import decorations
from mvc.repo import revisions
from mvc.repo.history import Version, topological
from mvc.repo.refs import short
from mvc.repo.repository import Repository


@dataclass(frozen=True, slots=True)
class LineageRequest:
    """Which refs to show: revisions and patterns of refs; all of them without any."""

    refs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A parent among the shown commits, with the commits that lie between, which are not."""

    parent: ObjectId
    between: int


@dataclass(frozen=True, slots=True)
class Node:
    """A commit that is shown, the refs on it, and where it comes from.

    Without parents it is where history begins, or where it was cut off (`shallow`).
    """

    id: ObjectId
    commit: Commit
    names: tuple[str, ...]
    parents: tuple[Link, ...]
    shallow: bool


@dataclass(frozen=True, slots=True)
class Lineage:
    """All nodes, the newest first and every one before its parents."""

    nodes: tuple[Node, ...]
    commits: int


def lineage(repo: Repository, request: LineageRequest | None = None) -> Lineage:
    """Return how refs descend from each other. Raises NotFoundError for an unknown one.

    Shown are commits with a ref, those without parents, merges, and those that several lines
    start from.
    """
    starts = _starts(repo, request.refs if request else ())
    versions = list(topological(repo, starts))
    parents = {version.id: repo.parents(version.id, version.commit) for version in versions}
    names = decorations(repo)
    shown = _shown(versions, parents, starts, names)
    cut = repo.shallow.commits()
    nodes = tuple(
        Node(
            version.id,
            version.commit,
            names.get(version.id, ()),
            tuple(_link(parent, parents, shown) for parent in parents[version.id]),
            version.id in cut,
        )
        for version in versions
        if version.id in shown
    )
    return Lineage(nodes, len(versions))


def _starts(repo: Repository, refs: Sequence[str]) -> list[ObjectId]:
    targets = repo.refs.all()
    if not refs:
        found = [revisions.peel(repo, target) for target in targets.values()]
        head = repo.head_commit()
        return list(dict.fromkeys([*([head] if head else []), *found]))
    starts = []
    for ref in refs:
        if not any(char in ref for char in "*?["):
            starts.append(revisions.resolve(repo, ref))
            continue
        matching = [target for name, target in targets.items() if _matches(name, ref)]
        if not matching:
            raise NotFoundError(
                f"no branch or tag matches {ref[:80]!r}",
                hint="`mvc branch` and `mvc tag` list them",
            )
        starts += [revisions.peel(repo, target) for target in matching]
    return list(dict.fromkeys(starts))


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(short(name), pattern)


def _shown(
    versions: Iterable[Version],
    parents: dict[ObjectId, tuple[ObjectId, ...]],
    starts: Iterable[ObjectId],
    names: dict[ObjectId, tuple[str, ...]],
) -> set[ObjectId]:
    children: dict[ObjectId, int] = {}
    for each in parents.values():
        for parent in each:
            children[parent] = children.get(parent, 0) + 1
    return {
        version.id
        for version in versions
        if len(parents[version.id]) != 1 or children.get(version.id, 0) > 1 or version.id in names
    } | set(starts)


def _link(
    parent: ObjectId, parents: dict[ObjectId, tuple[ObjectId, ...]], shown: set[ObjectId]
) -> Link:
    """Follow a line to the next commit that is shown."""
    between = 0
    while parent not in shown:
        parent = parents[parent][0]
        between += 1
    return Link(parent, between)
