"""A search for the first bad version under way: what is known of it, kept in a file.

The file `bisect` in the repository's folder is one JSON object, replaced in one step after every
test, so a search goes on after whatever ended the process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from mvc.base.errors import FormatError, IntegrityError
from mvc.base.ids import ObjectId, parse_id
from mvc.repo.repository import Repository
from mvc.repo.state_file import StateFile

_FILE = StateFile("bisect", 64 << 20, "what was found out", " and begin again")
VERSION = 1

Verdict = Literal["good", "bad", "skip"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Mark:
    """What somebody, or a command with this exit code, said of a version."""

    commit: ObjectId
    verdict: Verdict
    time: int
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Bisecting:
    """A search under way.

    Attributes:
        began: Where HEAD was: a branch, or the id of a version.
        checkout: Whether the working copy goes to the version to test.
        paths: Only versions that changed one of these may be the answer; all without any.
        bad: A version that is bad, as early as is known.
        good: Versions that are good.
        skipped: Versions that cannot be tested.
        current: The version to test.
        marks: What was said, the oldest first.
        command: What tests, where no person does; such a search ends with its answer.
    """

    began: str | None
    checkout: bool
    paths: tuple[str, ...] = ()
    bad: ObjectId | None = None
    good: tuple[ObjectId, ...] = ()
    skipped: tuple[ObjectId, ...] = ()
    current: ObjectId | None = None
    marks: tuple[Mark, ...] = ()
    command: tuple[str, ...] | None = None

    def marked(self, mark: Mark) -> Bisecting:
        """Return this with one more mark; the last one on a version counts."""
        item = mark.commit
        good = tuple(one for one in self.good if one != item)
        skipped = tuple(one for one in self.skipped if one != item)
        found = replace(self, good=good, skipped=skipped, marks=(*self.marks, mark))
        if mark.verdict == "good":
            return replace(found, good=(*good, item))
        if mark.verdict == "skip":
            return replace(found, skipped=(*skipped, item))
        return replace(found, bad=item)


def load(repo: Repository) -> Bisecting | None:
    """Return the search under way, None if there is none. Raises IntegrityError."""
    return _FILE.read(repo, _unpacked)


def under_way(repo: Repository) -> bool:
    """Tell whether there is a search under way, without reading what is known of it."""
    return _FILE.exists(repo)


def save(repo: Repository, found: Bisecting) -> None:
    """Write durably what is known, in one step."""
    _FILE.write(repo, _packed(found))


def clear(repo: Repository) -> None:
    """Say durably that no search is under way."""
    _FILE.clear(repo)


def reached(repo: Repository) -> list[ObjectId]:
    """Return what must stay in the store for the search under way."""
    try:
        found = load(repo)
    except IntegrityError:
        return []
    if found is None:
        return []
    return [item for item in (found.bad, found.current, *found.good) if item is not None]


def _packed(found: Bisecting) -> dict[str, Any]:
    return {
        "version": VERSION,
        "began": found.began,
        "checkout": found.checkout,
        "paths": list(found.paths),
        "bad": found.bad.hex() if found.bad else None,
        "good": [item.hex() for item in found.good],
        "skipped": [item.hex() for item in found.skipped],
        "current": found.current.hex() if found.current else None,
        "marks": [[m.commit.hex(), m.verdict, m.time, m.exit_code] for m in found.marks],
        "command": list(found.command) if found.command is not None else None,
    }


def _unpacked(value: Any) -> Bisecting:
    if value["version"] != VERSION:
        raise FormatError("of another version")
    began, command = value["began"], value["command"]
    return Bisecting(
        None if began is None else str(began),
        bool(value["checkout"]),
        tuple(map(str, value["paths"])),
        _id(value["bad"]),
        tuple(map(parse_id, value["good"])),
        tuple(map(parse_id, value["skipped"])),
        _id(value["current"]),
        tuple(_mark(*item) for item in value["marks"]),
        None if command is None else tuple(map(str, command)),
    )


def _id(value: Any) -> ObjectId | None:
    return None if value is None else parse_id(value)


def _mark(commit: Any, verdict: Any, time: Any, exit_code: Any) -> Mark:
    if verdict not in VERDICTS:
        raise FormatError("an unknown verdict")
    return Mark(parse_id(commit), verdict, int(time), None if exit_code is None else int(exit_code))
