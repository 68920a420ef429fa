"""Which device of a fleet made a version.

A version may say so by the label `device`. Else it is the device whose branch, `devices/NAME`
here or at a remote, has it among its first parents, if no other branch has it there: what a device
started from, and what others took over from it, is nobody's alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mvc.base.ids import ObjectId
from mvc.objects.history import Commit
from mvc.repo.refs import BRANCHES
from mvc.repo.repository import Repository

LABEL = "device"
_BRANCH = re.compile(r"refs/(?:heads|remotes/[^/]+)/(?:devices/([^/]+)(?:/.+)?|.+)")
_SHARED = ""


def devices(repo: Repository, commits: Mapping[ObjectId, Commit]) -> dict[ObjectId, str]:
    """Return the names of the devices that made these commits, of those that a device made."""
    found = {item: commit.labels[LABEL] for item, commit in commits.items() if _labelled(commit)}
    open_ = {item: commit for item, commit in commits.items() if item not in found}
    tips = [(_owner(ref), tip) for ref, tip in repo.refs.all().items() if _BRANCH.fullmatch(ref)]
    if not open_ or not any(owner for owner, _ in tips):
        return found
    head = repo.refs.head()
    if head.commit is not None and not (head.ref or "").startswith(BRANCHES):
        tips.append((_SHARED, head.commit))
    marks: dict[ObjectId, str] = {}
    oldest = min(commit.time for commit in open_.values())
    for owner, tip in sorted(tips):
        _mark(repo, marks, owner, tip, oldest)
    found.update({item: marks[item] for item in open_ if marks.get(item)})
    return found


def _labelled(commit: Commit) -> bool:
    return bool(commit.labels.get(LABEL))


def _owner(ref: str) -> str:
    match = _BRANCH.fullmatch(ref)
    return (match.group(1) or _SHARED) if match else _SHARED


def _mark(
    repo: Repository, marks: dict[ObjectId, str], owner: str, tip: ObjectId, oldest: int
) -> None:
    """Mark the first parents of a tip, down to the time `oldest`, as one owner's or as shared."""
    item: ObjectId | None = tip
    while item is not None:
        before = marks.get(item)
        if before in (owner, _SHARED):
            return
        if before is not None:
            owner = _SHARED
        marks[item] = owner
        commit = repo.commit(item)
        if commit.time < oldest:
            return
        item = next(iter(repo.parents(item, commit)), None)
