"""The two sides of a comparison, and what their commits say differently."""

from __future__ import annotations

from dataclasses import dataclass

from mvc.base.wording import iso_time, number, short
from mvc.objects.history import Commit
from mvc.ops.diff import WORKTREE, End
from mvc.web.wording import figure

MOST_FACTS = 1000


@dataclass(frozen=True, slots=True)
class Facts:
    """A side: what it was called, and what is known of its commit."""

    name: str
    id: str
    about: str
    message: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A param, metric or label of both sides."""

    kind: str
    key: str
    old: str
    new: str
    change: str


def side(end: End, commit: Commit | None) -> Facts:
    """Return what the head of the page says of a side."""
    if commit is None:
        here = "files as they lie in the working copy" if end.name == WORKTREE else ""
        return Facts(end.name, "", here, "")
    about = f"{iso_time(commit.time)[:16].replace('T', ' ')} · {commit.author}"
    message = commit.message.strip().partition("\n")[0]
    return Facts(end.name, short(end.commit), about, message)


def facts(old: Commit | None, new: Commit | None) -> tuple[Fact, ...]:
    """Return the params, metrics and labels of which the sides differ, metrics first."""
    if old is None or new is None:
        return ()
    found = []
    for kind, before, after in (
        ("metric", _metrics(old), _metrics(new)),
        ("param", old.params, new.params),
        ("label", old.labels, new.labels),
    ):
        for key in sorted(before.keys() | after.keys()):
            one, two = before.get(key), after.get(key)
            if one != two:
                change = ""
                if kind == "metric" and isinstance(one, float) and isinstance(two, float):
                    change = f"{'+' if two > one else '−'}{figure(abs(two - one))}"  # noqa: RUF001
                found.append(Fact(kind, key, _value(one), _value(two), change))
    return tuple(found[:MOST_FACTS])


def _metrics(commit: Commit) -> dict[str, float]:
    return {item.key: item.value for item in commit.metrics}


def _value(value: object) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    if isinstance(value, bool):
        return str(value).lower()
    return number(value) if isinstance(value, float) else str(value)
