"""Write the files of a version into a folder outside any working copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.dtypes import check_precision
from mvc.base.errors import NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import revisions, trees
from mvc.repo.chosen import left_out
from mvc.repo.metadata import file_sha256
from mvc.repo.names import split_path
from mvc.repo.precision import loses_bits
from mvc.repo.repository import Repository
from mvc.repo.restore import stage_file
from mvc.repo.worktree import hash_file

SCRATCH = ".mvc-export"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written: a whole version, or what `REV:PATH` names.

    `reduced` are the files that have fewer bits than were committed.
    """

    commit: ObjectId
    files: int
    bytes: int
    reduced: tuple[str, ...] = ()


def export(
    repo: Repository,
    revision: str,
    target: Path,
    progress: Progress = SILENT,
    *,
    precision: int | None = None,
) -> ExportResult:
    """Write all files of `REV`, or those below `REV:PATH`, each verified by its SHA-256.

    A file that is there already with the right content stays, so that an export that was cut off
    is completed by running it again. Where any other is in the way, NegativeAnswer names it, and
    nothing is written. At `precision` 16, float words of more bits come with the others zero, read
    from pack heads alone; every word is verified, though there is no SHA-256 of such a file.
    """
    check_precision(precision)
    found = revisions.find(repo, revision)
    files = _files(repo, found)
    for path, entry in files.items():
        if repo.store.left_out(entry.id):
            raise left_out(path)
    short = {
        path
        for path, entry in files.items()
        if precision is not None and loses_bits(repo.store, entry)
    }
    for path, entry in files.items():
        _check_free(target / path, entry)
    fileio.make_dirs(target)
    total = sum(entry.size for entry in files.values())
    progress.start("writing files", total)
    try:
        with fileio.Workspace(target / SCRATCH) as workspace:
            writer = _Writer(repo, target, workspace, progress)
            there = {path for path in files if fileio.lexists(target / path)}
            for path in there:
                writer.compare(path, files[path], short=path in short)
            for path in files:
                if path not in there:
                    writer.put(path, files[path], short=path in short)
        fileio.Anchored(target).sync(tuple(path.split("/")) for path in files)
    finally:
        fileio.remove_tree(target / SCRATCH)
    progress.finish()
    return ExportResult(found.commit, len(files), total, tuple(sorted(short)))


class _Writer:
    """Writes or compares one file after another."""

    def __init__(
        self, repo: Repository, target: Path, workspace: fileio.Workspace, progress: Progress
    ) -> None:
        self._repo = repo
        self._target = target
        self._anchor = fileio.Anchored(target)
        self._workspace = workspace
        self._progress = progress

    def compare(self, path: str, entry: Entry, *, short: bool) -> None:
        """Raise NegativeAnswer unless a file that is there has the right content."""
        if short:
            wanted = self._stage(path, entry, short=True, keep=False)
        else:
            wanted = file_sha256(self._repo.store, entry)
            self._progress.advance(entry.size)
        if hash_file(self._target / path)[0] != wanted:
            raise _exists(self._target / path)

    def put(self, path: str, entry: Entry, *, short: bool) -> None:
        """Write a file, which appears whole."""
        self._stage(path, entry, short=short, keep=True)

    def _stage(self, path: str, entry: Entry, *, short: bool, keep: bool) -> bytes:
        staged = fileio.StagedFile(self._workspace.path)
        try:
            done = stage_file(self._repo.store, entry, staged, short=short, progress=self._progress)
            if keep:
                self._anchor.put(staged.seal(), tuple(path.split("/")))
        finally:
            staged.discard()
        return done.sha256


def _check_free(path: Path, entry: Entry) -> None:
    if not fileio.lexists(path):
        return
    stat = fileio.stat_file(path)
    if stat is None or stat.size != entry.size:
        raise _exists(path)


def _exists(path: Path) -> NegativeAnswer:
    return NegativeAnswer(f"{path} exists already", hint="export into an empty or new folder")


def _files(repo: Repository, found: revisions.Found) -> dict[str, Entry]:
    if found.entry.kind == "tree":
        return trees.files(repo.store, found.entry.id)
    split_path(found.entry.name)
    return {found.entry.name: found.entry}
