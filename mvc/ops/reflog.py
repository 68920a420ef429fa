"""Show where a ref has been."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.errors import NotFoundError, UsageError
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, REMOTES, TAGS, Change
from mvc.repo.repository import Repository
from mvc.storage import keys


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a ref; `selector` is a revision that leads there."""

    selector: str
    change: Change


def reflog(repo: Repository, name: str = "HEAD") -> tuple[Step, ...]:
    """Return the changes of HEAD, a branch (`origin/main` too) or a tag, newest first."""
    for full in _candidates(name):
        if history := repo.refs.history(full):
            return tuple(
                Step(f"{name}@{{{number}}}", change) for number, change in enumerate(history)
            )
    if name in ("HEAD", "@"):
        return ()
    raise NotFoundError(f"{name[:80]!r} has no log", hint="`mvc reflog` shows that of HEAD")


def _candidates(name: str) -> list[str]:
    if name in ("HEAD", "@"):
        return [keys.HEAD]
    short = name.removeprefix(BRANCHES).removeprefix(TAGS)
    try:
        check_branch(short)
    except UsageError:
        return []
    return [name] if name != short else [prefix + name for prefix in (BRANCHES, TAGS, REMOTES)]
