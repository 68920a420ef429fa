"""Where history ends once versions came without all of theirs (docs/protocol.md, "plan")."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from mvc.base.errors import MvcError
from mvc.base.ids import ObjectId
from mvc.repo import history
from mvc.repo.repository import Repository
from mvc.repo.revisions import peel


def settle(repo: Repository, ends: frozenset[ObjectId], reached: Iterable[ObjectId]) -> None:
    """Note where history ends, before a ref leads there.

    `reached` are the commits that were found complete, but for the parents of `ends`. Where those
    parents are here all the same, history goes on.
    """
    found = frozenset(reached)
    here = found | _here(repo)
    gaps = {item for item in ends if not here.issuperset(repo.commit(item).parents)}
    repo.shallow.change(gaps, (repo.shallow.commits() & found) - gaps)


def _here(repo: Repository) -> set[ObjectId]:
    """Return the commits that refs lead to."""
    tips = []
    for target in repo.refs.all().values():
        # A damaged ref is for `mvc fsck`.
        with suppress(MvcError):
            tips.append(peel(repo, target))
    return {version.id for version in history.walk(repo, tips)}
