"""A history through a store: every version in, one or all back out, compared by sha256."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmarks.histories import File, History, Version
from benchmarks.measure import CommandFailed, Cost, settle, warm
from benchmarks.peers import MissingTool
from benchmarks.results import Effort, Result
from benchmarks.storage_others import STORES
from benchmarks.storage_store import Mvc, Store

LONGEST_FAILURE = 240
_EXCEPTION = re.compile(r"[\w.]+(Error|Exception)\b.*: ")


class WrongFile(Exception):
    """A store gave back other bytes than it was given."""


def trip(name: str, history: History, folder: Path, *, timed: bool = True) -> Result:
    """Take a history through a fresh store in a folder, which is removed afterwards.

    Without `timed` only sizes are of interest, and the disk need not be quiet.
    """
    try:
        store = STORES[name](folder)
        return _measured(name, store, history, timed=timed)
    except (CommandFailed, MissingTool, WrongFile) as error:
        return Result(history.name, name, failure=brief(str(error)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(name: str, store: Store, history: History, *, timed: bool) -> Result:
    stored, costs = [], []
    before = 0
    for number, version in enumerate(history.versions):
        if version.start is not None and not store.linear:
            store.begin(version.start)
        place(version, store.worktree)
        if timed:
            settle()
        costs.append(store.record(number, version))
        total = store.stored()
        stored.append(float(total - before))
        before = total
    finish = store.finish()
    stored[-1] += store.stored() - before
    last = len(history.versions) - 1
    numbers = range(last + 1) if isinstance(store, Mvc) else [last]
    backs, size, exact = [], 0, True
    for number in numbers:
        target = store.folder / "back"
        target.mkdir()
        backs.append(store.restore(number, target))
        wrong = different(target, history, number)
        if wrong and store.exact:
            raise WrongFile(f"{wrong[0]} came back as another file")
        exact = exact and not wrong
        size += sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        shutil.rmtree(target)
    return Result(
        history.name, name, tuple(version.size for version in history.versions), tuple(stored),
        _effort(history.size, costs), _effort(size, backs),
        max(cost.peak for cost in [*costs, *backs, *([finish] if finish else [])]),
        note=None if exact else "files come back as other files with equal tensors",
        finish=Effort(history.size, finish.wall, finish.cpu) if finish else None,
    )  # fmt: skip


def place(version: Version, worktree: Path) -> None:
    """Put the files of a version into the working folder, as a program that saves them would."""
    for file in version.files:
        target = worktree / file.place
        fresh = target.with_name(f"{target.name}.saving")
        shutil.copyfile(file.source, fresh)
        fresh.replace(target)
        warm(target)


def different(folder: Path, history: History, number: int) -> list[str]:
    """Return the files of a version that are missing from a folder or other than they were."""
    expected = history.worktree(number)
    named = {file.place for file in history.versions[number].files}
    return [
        name
        for name, file in expected.items()
        if (folder / name).exists() or name in named
        if not _same(folder / name, file)
    ]


def _same(path: Path, file: File) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


def _effort(size: int, costs: Iterable[Cost]) -> Effort:
    costs = list(costs)
    return Effort(size, sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs))


def brief(text: str) -> str:
    """Return what matters of a failed command's output: its exception, or its last lines."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    telling = [line for line in lines if line and " DEBUG " not in line]
    raised = [line for line in telling if _EXCEPTION.match(line)]
    return " / ".join(raised[-1:] or telling[-3:])[-LONGEST_FAILURE:]
