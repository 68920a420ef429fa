"""Find the first bad version with a command that tells good from bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mvc.base.errors import NegativeAnswer, UsageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.base.wording import short
from mvc.ops.bisect import Step, evaluated, with_mark
from mvc.repo import bisecting, revisions
from mvc.repo.bench import Bench
from mvc.repo.bisecting import Bisecting, Mark, Verdict
from mvc.repo.repository import Repository

GOOD = 0
SKIP = 125
CANNOT_RUN = (126, 127)
"""What a shell answers where there is no such program, or it may not be run."""
MOST = 127
Run = Callable[[ObjectId, Path], int]


class Watcher(Protocol):
    """Hears what is about to be tested."""

    def testing(self, step: Step) -> None:
        """Hear of the next version."""
        ...

    def checking(self, verdict: Verdict, item: ObjectId) -> None:
        """Hear that the command is run on a version that is known."""
        ...


@dataclass(frozen=True, slots=True)
class BisectRequest:
    """What to search between, and with what.

    Without `good` and `bad` a search under way goes on. `command` is what `run` runs, as words;
    `keep` is a folder to test in that stays there.
    """

    command: tuple[str, ...]
    good: tuple[str, ...] = ()
    bad: str | None = None
    paths: tuple[str, ...] = ()
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class BisectResult:
    """How the search ended, and what the command said of each version it was run on."""

    step: Step
    tests: tuple[Mark, ...]


def bisect_run(
    repo: Repository,
    request: BisectRequest,
    run: Run,
    watcher: Watcher | None = None,
    progress: Progress = SILENT,
) -> BisectResult:
    """Run a command on versions, each in a scratch folder, until the first bad one is known.

    `run` gets a version and a folder with its files and returns the command's exit code: 0 good,
    125 cannot be tested, other codes up to 125 bad. Any other raises NegativeAnswer and leaves
    what was found out for the next call, as does every other error. Where a command called
    every version bad, or none, it is run on one that is known, too: it may not work at all.
    """
    known = _begun(repo, request)
    tests: list[Mark] = []
    with Bench(repo, request.keep) as bench:
        while (step := evaluated(repo, known)).state == "testing" and step.version is not None:
            item = step.version.id
            if watcher is not None:
                watcher.testing(step)
            bench.show(item, progress)
            code = run(item, bench.folder)
            known = with_mark(repo, known, item, _verdict(code, item), code)
            # What the command said is never lost; before that, nothing needs to be kept.
            bisecting.save(repo, replace(known, current=None))
            tests.append(known.marks[-1])
        if step.state == "waiting":
            raise UsageError(
                "a good and a bad version must be known", hint="`mvc bisect run --good REV CMD`"
            )
        if step.state == "found":
            for verdict, item in _unsure(known):
                if watcher is not None:
                    watcher.checking(verdict, item)
                bench.show(item, progress)
                _agree(repo, verdict, item, run(item, bench.folder))
            if request.keep is not None and step.version is not None:
                bench.show(step.version.id, progress)
    if known.command is not None:
        bisecting.clear(repo)
    return BisectResult(step, tuple(tests))


def _begun(repo: Repository, request: BisectRequest) -> Bisecting:
    """Return the search to go on with, or a new one, with the versions that were given."""
    known = bisecting.load(repo)
    paths = tuple(path or "." for path in request.paths)
    if known is None:
        if not request.good:
            raise UsageError(
                "no version is known to be good",
                hint="`mvc bisect run --good REV CMD`; what is bad is HEAD unless --bad says else",
            )
        known = Bisecting(None, checkout=False, paths=paths, command=request.command)
        request = replace(request, bad=request.bad or "HEAD")
    elif known.command not in (None, request.command) or (paths and paths != known.paths):
        raise NegativeAnswer(
            "a search with another command or other paths is under way",
            hint="`mvc bisect log` shows it, `mvc bisect reset` ends it",
        )
    for name, verdict in _given(request):
        item = revisions.resolve(repo, name)
        known = with_mark(repo, known, item, verdict) if _is_new(known, item, verdict) else known
    if known.bad is None or not known.good:
        raise UsageError(
            "a good and a bad version must be known", hint="--good REV and --bad REV name them"
        )
    return known


def _given(request: BisectRequest) -> Sequence[tuple[str, Verdict]]:
    given: list[tuple[str, Verdict]] = [(name, "good") for name in request.good]
    return [*given, (request.bad, "bad")] if request.bad is not None else given


def _is_new(known: Bisecting, item: ObjectId, verdict: Verdict) -> bool:
    return not any((mark.commit, mark.verdict) == (item, verdict) for mark in known.marks)


def _verdict(code: int, item: ObjectId) -> Verdict:
    if code == GOOD:
        return "good"
    if code == SKIP:
        return "skip"
    if 0 < code <= MOST and code not in CANNOT_RUN:
        return "bad"
    if code in CANNOT_RUN:
        why = f"ended with {code}: a shell found no such program, or may not run it"
    else:
        why = f"ended with {code}" if code > 0 else f"was killed by signal {-code}"
    raise NegativeAnswer(
        f"at {short(item)} the command {why}; nothing is known from that",
        hint="`mvc bisect run` with the same command goes on, `mvc bisect reset` gives up",
    )


def _unsure(known: Bisecting) -> Iterator[tuple[Verdict, ObjectId]]:
    """Yield what was given of versions, where the command never said the same of any."""
    tests = [mark for mark in known.marks if mark.exit_code is not None]
    said, tested = {mark.verdict for mark in tests}, {mark.commit for mark in tests}
    if "good" not in said:
        yield "good", known.good[-1]
    if "bad" not in said and known.bad is not None and known.bad not in tested:
        yield "bad", known.bad


def _agree(repo: Repository, verdict: Verdict, item: ObjectId, code: int) -> None:
    """Raise NegativeAnswer if the command says otherwise than what was given."""
    found = _verdict(code, item)
    if found != verdict:
        raise NegativeAnswer(
            f"{short(item)} was given as {verdict}, but the command, which ended with"
            f" {code} there, calls it {found if found != 'skip' else 'untestable'}",
            hint="run the command by hand in a folder made by `mvc export`"
            + ("; `mvc bisect reset` forgets what it said" if bisecting.under_way(repo) else ""),
        )
