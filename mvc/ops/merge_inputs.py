"""Which versions a merge is of: revisions and patterns of refs, their base, and their weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mvc.base import wording
from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import MAX_PARENTS
from mvc.repo import revisions
from mvc.repo.history import merge_bases
from mvc.repo.refs import short
from mvc.repo.repository import Repository

_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Given:
    """A version that was asked for: what it was called, and its commit."""

    name: str
    commit: ObjectId


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be merged.

    Attributes:
        ours: What is merged into.
        theirs: The versions that bring something new, in the order given, each once.
        places: Where in what was given each of them stands; equal versions stand in several.
        given: How many versions were given.
        bases: The best common ancestors of all, newest first.
        old: Names of versions that ours has already.
        twice: Names of versions that were given before under another name.
    """

    ours: ObjectId
    theirs: tuple[Given, ...]
    places: tuple[tuple[int, ...], ...]
    given: int
    bases: tuple[ObjectId, ...]
    old: tuple[str, ...]
    twice: tuple[str, ...]

    @property
    def base(self) -> ObjectId | None:
        """The ancestor that changes are measured from, None for unrelated histories."""
        return self.bases[0] if self.bases else None

    @property
    def forward(self) -> bool:
        """Tell whether ours only has to move forward."""
        return len(self.theirs) == 1 and self.base == self.ours


def expanded(repo: Repository, names: Iterable[str], into: str | None) -> list[Given]:
    """Return the versions that revisions and patterns of refs name, the latter in order of names.

    The branch `into` (a full ref) is never among what a pattern matches. Raises NotFoundError.
    """
    found: list[Given] = []
    for name in names:
        if _GLOB.search(name) and not name.startswith(":"):
            matching = revisions.matching(repo, name)
            found += [
                Given(short(full), commit) for full, commit in matching.items() if full != into
            ]
        else:
            found.append(Given(name, revisions.resolve(repo, name)))
    return found


def gather(
    repo: Repository,
    ours: ObjectId,
    names: Sequence[str],
    into: str | None,
    *,
    unrelated: bool = False,
) -> Inputs:
    """Return what is to be merged into `ours`.

    Raises NotFoundError for what is not there, and NegativeAnswer where histories have nothing in
    common unless `unrelated`.
    """
    given = expanded(repo, names, into)
    if len(given) >= MAX_PARENTS:
        raise UsageError(f"a merge has at most {MAX_PARENTS - 1} versions, not {len(given)}")
    places: dict[ObjectId, list[int]] = {}
    for number, item in enumerate(given):
        places.setdefault(item.commit, []).append(number)
    old = {item for item in places if _has(repo, ours, item)}
    theirs = [given[spots[0]] for item, spots in places.items() if item not in old]
    bases = merge_bases(repo, [ours, *(item.commit for item in theirs)]) if theirs else [ours]
    if not bases and not unrelated:
        raise _unrelated(repo, theirs)
    return Inputs(
        ours,
        tuple(theirs),
        tuple(tuple(places[item.commit]) for item in theirs),
        len(given),
        tuple(bases),
        tuple(item.name for item in given if item.commit in old),
        tuple(given[spot].name for item in theirs for spot in places[item.commit][1:]),
    )


def weights_given(inputs: Inputs, weights: Sequence[float], *, head: bool) -> tuple[float, ...]:
    """Return a weight for each side of those that were given, one for each version.

    With `head` the first is that of ours, which else has 0. A version that was given twice has
    the sum. Raises UsageError.
    """
    wanted = inputs.given + head
    if len(weights) != wanted:
        ours = " and the branch itself, which comes first" if head else ""
        raise UsageError(
            f"{len(weights)} weights for {wanted} versions",
            hint=f"give one for each of the {inputs.given} merged{ours}",
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise UsageError("weights are 0 or more, and not all 0", hint="for example 0.7,0.3")
    rest = weights[1:] if head else weights
    return (
        float(weights[0]) if head else 0.0,
        *(math.fsum(rest[place] for place in places) for places in inputs.places),
    )


def weights_by(
    repo: Repository, inputs: Inputs, key: str, ours: str, *, head: bool
) -> tuple[float, ...]:
    """Return as each side's weight what its commit says under `key`: a metric, else a param.

    Raises NotFoundError naming the version that does not say it.
    """
    found = [_measured(repo, Given(ours, inputs.ours), key) if head else 0.0]
    found += [_measured(repo, item, key) for item in inputs.theirs]
    if not any(found):
        raise UsageError(f"{key} is 0 in all versions", hint="--weights gives others")
    return tuple(found)


def _measured(repo: Repository, given: Given, key: str) -> float:
    commit = repo.commit(given.commit)
    values: list[object] = [item.value for item in commit.metrics if key in (item.key, item.name)]
    exact = [item.value for item in commit.metrics if item.key == key]
    if key in commit.params and not values:
        values = [commit.params[key]]
    value = exact[0] if exact else values[0] if len(values) == 1 else None
    where = f"{given.name[:80]} ({wording.short(given.commit)})"
    if len(values) > 1 and not exact:
        raise NotFoundError(
            f"{where} has the metric {key[:80]!r} on several data sets",
            hint="name one, as in samples@train",
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotFoundError(
            f"{where} has neither a metric nor a number among its params called {key[:80]!r}",
            hint=f"`mvc commit --metric {key[:80]}=NUMBER` records it; --weights gives weights "
            "by hand",
        )
    if value < 0:
        raise UsageError(f"{where} has {key[:80]} {value}, and a weight is 0 or more")
    return float(value)


def _has(repo: Repository, ours: ObjectId, item: ObjectId) -> bool:
    """Tell whether ours has a version already, without walking all of history."""
    return ours == item or merge_bases(repo, [ours, item]) == [item]


def _unrelated(repo: Repository, theirs: Sequence[Given]) -> NegativeAnswer:
    some = ", ".join(item.name for item in theirs[:3]) + (" and others" if theirs[3:] else "")
    if repo.shallow.commits():
        return NegativeAnswer(
            f"no common version of this branch and {some} is here: history was cut off",
            hint="`mvc fetch --unshallow` brings the rest of history",
        )
    return NegativeAnswer(
        f"this branch and {some} have no common version",
        hint="--allow-unrelated merges them all the same, without a base",
    )
