"""New files of a repository that holds some of the files of each version."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from mvc.base.errors import LeftOutError, MvcError, NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.base.wording import short
from mvc.repo import history, trees
from mvc.repo.names import clash
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel
from mvc.repo.scope import literally


def take_in(repo: Repository, paths: Iterable[str], beside: Iterable[str]) -> None:
    """Let files that are about to be committed count among those that are here.

    `beside` are all files of the version to be. Raises LeftOutError where a version has another
    file of such a path which was left out: what is chosen is here of all versions. NegativeAnswer
    where two files would be one on some systems.
    """
    scope = repo.chosen.scope
    if scope is None:
        return
    fresh = [path for path in paths if not scope.chooses(path)]
    if not fresh:
        return
    if pair := clash(sorted(beside)):
        raise NegativeAnswer(
            f"{pair[0]!r} and {pair[1]!r} are one file on some systems", hint="rename one of them"
        )
    seen: set[ObjectId] = set()
    for version in history.walk(repo, _tips(repo)):
        if version.commit.tree in seen:
            continue
        seen.add(version.commit.tree)
        for path in fresh:
            entry = trees.find(repo.store, version.commit.tree, path)
            if entry is not None and (entry.kind == "tree" or not repo.store.contains(entry.id)):
                raise LeftOutError(
                    f"{path} is a file of version {short(version.id)} that was left out here",
                    hint=f"`mvc fetch --path {path}` brings it; then commit again",
                )
    repo.chosen.change([*repo.chosen.patterns, *map(literally, fresh)])


def _tips(repo: Repository) -> list[ObjectId]:
    found = [] if (head := repo.head_commit()) is None else [head]
    for target in repo.refs.all().values():
        # A damaged ref is for `mvc fsck`.
        with suppress(MvcError):
            found.append(peel(repo, target))
    return found
