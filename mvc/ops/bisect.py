"""Find the first bad version by halving: what is known, what to test next, what the answer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mvc.base.errors import NegativeAnswer, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.repo import bisecting, history, revisions
from mvc.repo.bisecting import Bisecting, Mark, Verdict
from mvc.repo.halving import Suspects, choose
from mvc.repo.history import Version
from mvc.repo.repository import Repository
from mvc.repo.touching import Touching

State = Literal["waiting", "testing", "found", "several", "none"]


@dataclass(frozen=True, slots=True)
class Step:
    """How far a search is.

    `state` is `waiting` (for a good and a bad version), `testing`, `found`, `several` (of which
    some cannot be tested) or `none` (none that changed the paths made it bad). `version` is the one
    to test, or the first bad one. `left` are those that may be the answer, the oldest first;
    `steps` is about how many tests are to come. With `fork`, the version is tested because good
    and bad ones branched off there. `at_or_before`: older versions were not fetched.
    """

    state: State
    known: Bisecting
    version: Version | None = None
    left: tuple[ObjectId, ...] = ()
    steps: int = 0
    fork: bool = False
    at_or_before: bool = False


def start(
    repo: Repository,
    bad: str | None = None,
    good: Sequence[str] = (),
    paths: Sequence[str] = (),
    *,
    checkout: bool = True,
    progress: Progress = SILENT,
) -> Step:
    """Begin a search, or raise NegativeAnswer if one is under way."""
    if bisecting.under_way(repo):
        raise NegativeAnswer(
            "a search is under way already", hint="`mvc bisect reset` ends it, `log` shows it"
        )
    head = repo.refs.head()
    if head.commit is None:
        # Raises NotFoundError with what to do.
        revisions.resolve(repo, "HEAD")
    began = head.branch or (head.commit.hex() if head.commit else None)
    paths = tuple(path or "." for path in paths)
    known = Bisecting(began, checkout and repo.worktree is not None, paths)
    given: list[tuple[str, Verdict]] = [(bad, "bad")] if bad is not None else []
    given += [(item, "good") for item in good]
    known = _marked(repo, known, given)
    return _go(repo, known, evaluated(repo, known), progress)


def mark(
    repo: Repository, verdict: Verdict, names: Sequence[str] = (), progress: Progress = SILENT
) -> Step:
    """Say that versions are good, bad or cannot be tested; by default that which is tested.

    For `skip`, a range `A..B` means all its versions.
    """
    known = current(repo)
    if verdict == "bad" and len(names) > 1:
        raise UsageError("one version is the bad one", hint="`mvc bisect bad REV`")
    given = [(name, verdict) for name in names] or [(_tested(repo, known), verdict)]
    known = _marked(repo, known, given)
    # What contradicts what was said before is refused here, before it is written down.
    return _go(repo, known, evaluated(repo, known), progress)


def proceed(repo: Repository, progress: Progress = SILENT) -> Step:
    """Go to the version to test, again if that failed before."""
    known = current(repo)
    return _go(repo, known, evaluated(repo, known), progress)


def reset(repo: Repository, revision: str | None = None, progress: Progress = SILENT) -> str | None:
    """End the search and bring the working copy back to where it began, or to `revision`.

    Returns where that is, None if the working copy was left alone.
    """
    known = current(repo)
    target = revision or known.began
    moved = target is not None and (known.checkout or revision is not None)
    if moved and target is not None and repo.worktree is not None:
        from mvc.ops.checkout import checkout

        checkout(repo, target, progress=progress)
    bisecting.clear(repo)
    return target if moved else None


def current(repo: Repository) -> Bisecting:
    """Return the search under way, or raise NotFoundError."""
    known = bisecting.load(repo)
    if known is None:
        raise NotFoundError(
            "no search is under way",
            hint="`mvc bisect start BAD GOOD` begins one, `mvc bisect run` does it all",
        )
    return known


def evaluated(repo: Repository, known: Bisecting) -> Step:
    """Return what follows from what is known. Raises NegativeAnswer where that makes no sense."""
    if known.bad is None or not known.good:
        return Step("waiting", known)
    fork = _fork(repo, known, known.bad)
    if fork is not None:
        return Step("testing", known, Version(fork, repo.commit(fork)), (), 1, fork=True)
    found = choose(_suspects(repo, known, known.bad), known.bad, known.skipped)
    if found.candidate is not None:
        version = Version(found.candidate, repo.commit(found.candidate))
        return Step("testing", known, version, found.left, found.steps)
    if not found.left:
        return Step("none", known)
    if found.left != (known.bad,):
        return Step("several", known, None, found.left)
    commit = repo.commit(known.bad)
    cut = bool(commit.parents) and not repo.parents(known.bad, commit)
    return Step("found", known, Version(known.bad, commit), found.left, at_or_before=cut)


def _fork(repo: Repository, known: Bisecting, bad: ObjectId) -> ObjectId | None:
    """Return where good and bad versions branched off, if that must be tested first."""
    below = {version.id for version in history.walk(repo, [bad])}
    sure = [item for item in known.good if item in below]
    fine = {version.id for version in history.walk(repo, sure)} if sure else set()
    for good in known.good:
        if good in below:
            if good == bad:
                raise _contradiction(repo, good, "said to be good and to be bad")
            continue
        bases = history.merge_bases(repo, [bad, good])
        if not bases:
            raise _unrelated(repo, good, bad)
        for base in bases:
            if base == bad:
                raise _contradiction(
                    repo, bad, f"bad, but {short(good)}, which comes from it, is good"
                )
            if base not in fine and base not in known.skipped:
                return base
    return None


def _suspects(repo: Repository, known: Bisecting, bad: ObjectId) -> Suspects:
    versions = list(history.topological(repo, [bad], known.good))
    versions.reverse()
    parents = {item.id: repo.parents(item.id, item.commit) for item in versions}
    order = [item.id for item in versions]
    if not known.paths:
        return Suspects(order, parents, frozenset(order))
    touching = Touching(repo, known.paths, [bad], follow=False)
    counted = frozenset(item.id for item in versions if touching.look(item))
    return Suspects(order, parents, counted)


def _marked(repo: Repository, known: Bisecting, given: Sequence[tuple[str, Verdict]]) -> Bisecting:
    for name, verdict in given:
        for item in _versions(repo, name, verdict):
            known = with_mark(repo, known, item, verdict)
    return known


def with_mark(
    repo: Repository,
    known: Bisecting,
    item: ObjectId,
    verdict: Verdict,
    exit_code: int | None = None,
) -> Bisecting:
    """Return what is known with one more mark. Raises NegativeAnswer for a contradiction."""
    if verdict == "good" and item == known.bad:
        raise _contradiction(repo, item, "bad already, and cannot be good")
    if verdict == "bad" and item in known.good:
        raise _contradiction(repo, item, "good already, and cannot be bad")
    mark = Mark(item, verdict, repo.environment.clock(), exit_code)
    found = known.marked(mark)
    if verdict == "bad" and known.bad is not None and history.is_ancestor(repo, known.bad, item):
        # That what comes from a bad version is bad, too, tells nothing new.
        found = replace(found, bad=known.bad)
    return found


def _versions(repo: Repository, name: str, verdict: Verdict) -> list[ObjectId]:
    if verdict == "skip" and ".." in name:
        old, _, new = name.partition("..")
        ends = [revisions.resolve(repo, end or "HEAD") for end in (old, new)]
        return [version.id for version in history.walk(repo, ends[1:], ends[:1])]
    return [revisions.resolve(repo, name)]


def _tested(repo: Repository, known: Bisecting) -> str:
    if not known.checkout and known.current is not None:
        return known.current.hex()
    return "HEAD"


def _go(repo: Repository, known: Bisecting, step: Step, progress: Progress) -> Step:
    """Write down what is known, then take the working copy to the version to test."""
    target = step.version.id if step.state == "testing" and step.version else None
    known = replace(known, current=target)
    bisecting.save(repo, known)
    if target is not None and known.checkout and repo.head_commit() != target:
        from mvc.ops.checkout import checkout

        try:
            checkout(repo, target.hex(), detach=True, progress=progress)
        except NegativeAnswer as error:
            error.hint = f"{error.hint}; then `mvc bisect next` goes there"
            raise
    return replace(step, known=known)


def _contradiction(repo: Repository, item: ObjectId, why: str) -> NegativeAnswer:
    hint = "name other versions to search between"
    if bisecting.load(repo) is not None:
        hint = "`mvc bisect log` shows what was said, `reset` forgets it"
    return NegativeAnswer(f"{short(item)} is {why}", hint=hint)


def _unrelated(repo: Repository, good: ObjectId, bad: ObjectId) -> NegativeAnswer:
    message = f"{short(good)} and {short(bad)} have no version in common"
    if repo.shallow.commits():
        return NegativeAnswer(message, hint="`mvc fetch --unshallow` brings older versions")
    return NegativeAnswer(message, hint="the good version must be one that the bad one came from")
