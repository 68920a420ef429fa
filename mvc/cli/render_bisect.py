"""How far a search for the first bad version is, as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mvc.base.escape import escaped
from mvc.base.ids import ObjectId
from mvc.base.wording import counted, iso_time, short
from mvc.cli.render_log import about, indented
from mvc.cli.session import Session
from mvc.ops.bisect import Step
from mvc.ops.show import changes
from mvc.repo.bisecting import Bisecting, Mark, Verdict
from mvc.repo.history import Version

SHOWN = 20
"""Versions that are listed where the answer is one of several."""


class Remarks:
    """Says on stderr what is tested."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def testing(self, step: Step) -> None:
        """Tell the next version, and how much is left."""
        self._session.note(progress_line(step))

    def checking(self, verdict: Verdict, item: ObjectId) -> None:
        """Tell that the command has to agree with what is known."""
        version = Version(item, self._session.repo.commit(item))
        self._session.note(
            f"does the command work? it must call this {verdict}: {subject_of(version)}"
        )


def progress_line(step: Step) -> str:
    """Return how much is left, and what is tested."""
    if step.version is None:
        return ""
    subject = subject_of(step.version)
    if step.fork:
        return f"where good and bad branched off: {subject}"
    tests = "about 1 test" if step.steps == 1 else f"about {step.steps} tests"
    return f"{counted(len(step.left), 'version')} left, {tests}: {subject}"


def subject_of(version: Version) -> str:
    """Return a version's short id and the first line of its message."""
    return f"{short(version.id)} {escaped(version.commit.message.partition(chr(10))[0])}".rstrip()


def answer(session: Session, step: Step) -> Iterator[str]:
    """Yield the lines of the answer."""
    if step.state == "found" and step.version is not None:
        yield from _first_bad(session, step.version, step)
    elif step.state == "several":
        yield "The first bad version is one of these; those skipped could not be tested:"
        for item in step.left[:SHOWN]:
            version = Version(item, session.repo.commit(item))
            note = "  (skipped)" if item in step.known.skipped else ""
            yield f"  {subject_of(version)}{note}"
        if len(step.left) > SHOWN:
            yield f"  and {len(step.left) - SHOWN} more"
    elif step.state == "none":
        yield "None of the versions that changed these paths made it bad"


def _first_bad(session: Session, version: Version, step: Step) -> Iterator[str]:
    first = "the first bad version"
    if step.at_or_before:
        first = "bad, and so may be older versions, which were not fetched"
    yield f"{session.style(short(version.id), 'yellow')} is {first}"
    yield ""
    yield from about(version.commit)
    yield ""
    yield from indented(version.commit.message)
    found = changes(session.repo, version.id, version.commit)
    if found:
        yield ""
    for change in found[:SHOWN]:
        yield f"  {change.status + ':':<10}{escaped(change.path)}"
    if len(found) > SHOWN:
        yield f"  and {counted(len(found) - SHOWN, 'file')} more"


def hint(step: Step) -> str | None:
    """Return what shows more of the answer."""
    version = step.version
    if step.state != "found" or version is None:
        return None
    name = short(version.id)
    if not version.commit.parents or step.at_or_before:
        return f"hint: `mvc show {name}` shows it"
    return f"hint: `mvc diff --stat {name}^ {name}` shows what it changed"


def log_lines(session: Session, known: Bisecting) -> Iterator[str]:
    """Yield what was said of versions, the oldest first."""
    for mark in known.marks:
        version = Version(mark.commit, session.repo.commit(mark.commit))
        code = "" if mark.exit_code is None else f"  (exit code {mark.exit_code})"
        yield f"{mark.verdict:<4} {subject_of(version)}{code}"


def as_json(step: Step) -> dict[str, Any]:
    """Return a step as docs/history.md has it."""
    from mvc.cli.shapes import version

    return {
        "state": step.state,
        "version": version(step.version) if step.version else None,
        "left": [item.hex() for item in step.left],
        "steps": step.steps,
        "fork": step.fork,
        "at_or_before": step.at_or_before,
        **known_json(step.known),
    }


def known_json(known: Bisecting) -> dict[str, Any]:
    """Return what is known as docs/history.md has it."""
    return {
        "bad": known.bad.hex() if known.bad else None,
        "good": [item.hex() for item in known.good],
        "skipped": [item.hex() for item in known.skipped],
        "paths": list(known.paths),
        "marks": [_mark(mark) for mark in known.marks],
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {
        "commit": mark.commit.hex(),
        "verdict": mark.verdict,
        "time": iso_time(mark.time),
        "exit_code": mark.exit_code,
    }
