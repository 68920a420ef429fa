"""Which versions one side has and the other lacks, and what they hold."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable
from contextlib import suppress

from mvc.base.errors import IntegrityError, MissingObjectError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.repo.repository import Repository
from mvc.repo.scope import Scope
from mvc.sync.closure import Found, walk
from mvc.sync.limits import MAX_BASES

MAX_HELD = 1 << 17
"""Objects after which no further commit of the other side is looked into."""
_MINE, _THEIRS = 1, 2
_LAST = 1 << 63


def versions_between(
    repo: Repository,
    new: Iterable[ObjectId],
    theirs: Iterable[ObjectId],
    ends: Iterable[ObjectId] = (),
) -> tuple[list[Found], list[ObjectId]]:
    """Return the commits and tags to send, and commits that the other side holds, best first.

    Those to send are what `new` leads to and `theirs` do not, the newest first; of `theirs`,
    unknown ones are passed over. The others are at most MAX_BASES: parents of what is sent, then
    `theirs`. Of commits at the `ends` of their history they hold all but the parents. Raises
    MissingObjectError or IntegrityError where history here is not whole.
    """
    repo.store.refresh()
    cut = frozenset(ends)
    held, their_tags = _known(repo, [*theirs, *cut])
    tags, starts = _peeled(repo, new)
    tags = [item for item in tags if item.id not in their_tags]
    walked = _Walk(repo, cut)
    commits = walked.run(starts, held)
    behind = [parent for item in commits for parent in repo.parents(item, walked.commits[item])]
    mine = set(commits)
    newest = sorted(held, key=lambda item: -held[item].time)
    boundary = dict.fromkeys([*(item for item in behind if item not in mine), *newest])
    return [*tags, *(Found(item, "commit") for item in commits)], [*boundary][:MAX_BASES]


def latest(
    repo: Repository, new: Iterable[ObjectId], depth: int
) -> tuple[list[Found], list[ObjectId]]:
    """Return tags, and the commits that `new` lead to in fewer than `depth` steps.

    Also those of them whose parents are left out, or are not here.
    """
    repo.store.refresh()
    tags, starts = _peeled(repo, new)
    found: dict[ObjectId, Commit] = {}
    level = dict.fromkeys(starts)
    for _ in range(depth):
        found.update({item: repo.commit(item) for item in level if item not in found})
        following = [parent for item in level for parent in repo.parents(item, found[item])]
        level = dict.fromkeys(item for item in following if item not in found)
        if not level:
            break
    cut = [item for item, commit in found.items() if not found.keys() >= set(commit.parents)]
    return [*tags, *(Found(item, "commit") for item in found)], cut


def _peeled(repo: Repository, items: Iterable[ObjectId]) -> tuple[list[Found], list[ObjectId]]:
    """Return the annotated tags among some versions, and the commits that they all are for."""
    tags: list[Found] = []
    commits: list[ObjectId] = []
    for item in dict.fromkeys(items):
        if repo.store.locate(item).kind == "tag":
            tags.append(Found(item, "tag"))
            commits.append(repo.tag(item).target)
        else:
            commits.append(item)
    return tags, commits


def objects_to_send(
    repo: Repository, versions: Iterable[Found], boundary: Iterable[ObjectId]
) -> list[Found]:
    """Return `versions` and what they hold that the commits of the boundary do not.

    Where this repository has some of the files only, of those.
    """
    scope = repo.chosen.scope
    return beyond(repo, versions, held_by(repo, boundary, scope), scope)


def beyond(
    repo: Repository,
    versions: Iterable[Found],
    held: Container[ObjectId],
    scope: Scope | None = None,
) -> list[Found]:
    """Return `versions` and what they hold beside what is `held`, without history.

    Of the files those in the scope.
    """
    listed = [item._replace(scope=scope) for item in versions]
    commits = [item for item in listed if item.kind == "commit"]
    tags = [item for item in listed if item.kind == "tag"]
    return [*tags, *walk(repo.store, commits, held.__contains__, parents=False)]


def held_by(
    repo: Repository, commits: Iterable[ObjectId], scope: Scope | None = None
) -> set[ObjectId]:
    """Return commits and the objects that they hold, of files in the scope, without history.

    What is not here is passed over, and commits behind many objects, too: who gets more than it
    needs comes to no harm.
    """
    held: set[ObjectId] = set()
    for commit in commits:
        if len(held) >= MAX_HELD:
            held.add(commit)
            continue
        # What of a partial version is here is theirs all the same.
        with suppress(MissingObjectError):
            start = [Found(commit, "commit", scope=scope)]
            found = walk(repo.store, start, held.__contains__, parents=False)
            for item in found:
                held.add(item.id)
    return held


def _known(
    repo: Repository, theirs: Iterable[ObjectId]
) -> tuple[dict[ObjectId, Commit], set[ObjectId]]:
    """Return those commits of the other side that are here, and tags that are."""
    commits: dict[ObjectId, Commit] = {}
    tags: set[ObjectId] = set()
    for item in dict.fromkeys(theirs):
        kind = repo.store.index.kind(item)
        # The index knows but half of an id, and a shallow repository has tags without commits.
        with suppress(IntegrityError):
            if kind == "tag":
                target = repo.tag(item).target
                tags.add(item)
                if target not in commits:
                    commits[target] = repo.commit(target)
            elif kind == "commit" and item not in commits:
                commits[item] = repo.commit(item)
    return commits, tags


class _Walk:
    """Marks commits as ours or theirs, newest first, until what is left is theirs alone."""

    def __init__(self, repo: Repository, ends: frozenset[ObjectId]) -> None:
        self._repo = repo
        # Where the history of the others ends, though ours may go on.
        self._ends = ends
        self.commits: dict[ObjectId, Commit] = {}
        self._marks: dict[ObjectId, int] = {}
        self._order: dict[ObjectId, int] = {}
        self._queue: list[tuple[int, int, ObjectId]] = []
        # What waits in the queue and is not known to be theirs.
        self._open: set[ObjectId] = set()

    def run(self, mine: Iterable[ObjectId], theirs: dict[ObjectId, Commit]) -> list[ObjectId]:
        """Return the commits that `mine` lead to and `theirs` do not, the newest first."""
        self.commits.update(theirs)
        for item in theirs:
            self._mark(item, _THEIRS, _LAST)
        for item in mine:
            self._mark(item, _MINE, _LAST)
        found: dict[ObjectId, None] = {}
        spare = 0
        # Where clocks disagree, something of theirs may lead to what was taken for ours already.
        # Looking for that costs no more than twice what was taken.
        while self._queue and (self._open or spare > 0):
            _, _, item = heapq.heappop(self._queue)
            self._open.discard(item)
            mark = self._marks[item]
            if mark == _MINE:
                found[item] = None
            parents = self._repo.parents(item, self.commits[item])
            for parent in () if item in self._ends else parents:
                self._mark(parent, mark & _THEIRS or _MINE, self._order[item] - 1)
            spare = 2 * len(found) if self._open else spare - 1
        return [item for item in found if self._marks[item] == _MINE]

    def _mark(self, item: ObjectId, mark: int, ceiling: int) -> None:
        before = self._marks.get(item, 0)
        if before | mark == before:
            return
        if item not in self.commits:
            try:
                self.commits[item] = self._repo.commit(item)
            except MissingObjectError:
                if mark == _THEIRS:
                    # History ends here.
                    return
                raise
        self._marks[item] = before | mark
        if before | mark == _MINE:
            self._open.add(item)
        else:
            self._open.discard(item)
        self._order[item] = min(self.commits[item].time, ceiling)
        heapq.heappush(self._queue, (-self._order[item], len(self._marks), item))
