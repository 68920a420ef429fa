"""Write the files of a version into a folder outside any working copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import revisions, trees
from mvc.repo.metadata import file_sha256
from mvc.repo.names import split_path
from mvc.repo.repository import Repository
from mvc.repo.restore import write_file
from mvc.repo.worktree import hash_file

SCRATCH = ".mvc-export"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written: a whole version, or what `REV:PATH` names."""

    commit: ObjectId
    files: int
    bytes: int


def export(
    repo: Repository, revision: str, target: Path, progress: Progress = SILENT
) -> ExportResult:
    """Write all files of `REV`, or those below `REV:PATH`, each verified by its SHA-256.

    A file that is there already with the right content stays, so that an export that was cut off
    is completed by running it again. Where any other is in the way, NegativeAnswer names it, and
    nothing is written.
    """
    found = revisions.find(repo, revision)
    files = _files(repo, found)
    done = {path for path, entry in files.items() if _is_there(repo, target / path, entry)}
    fileio.make_dirs(target)
    anchor = fileio.Anchored(target)
    total = sum(entry.size for entry in files.values())
    progress.start("writing files", total)
    try:
        with fileio.Workspace(target / SCRATCH) as workspace:
            for path, entry in files.items():
                if path in done:
                    progress.advance(entry.size)
                    continue
                staged = fileio.StagedFile(workspace.path)
                try:
                    write_file(repo.store, entry, staged.write, progress)
                    anchor.put(staged.seal(), tuple(path.split("/")))
                finally:
                    staged.discard()
        anchor.sync(tuple(path.split("/")) for path in files)
    finally:
        fileio.remove_tree(target / SCRATCH)
    progress.finish()
    return ExportResult(found.commit, len(files), total)


def _is_there(repo: Repository, path: Path, entry: Entry) -> bool:
    if not fileio.lexists(path):
        return False
    stat = fileio.stat_file(path)
    if stat and stat.size == entry.size and hash_file(path)[0] == file_sha256(repo.store, entry):
        return True
    raise NegativeAnswer(f"{path} exists already", hint="export into an empty or new folder")


def _files(repo: Repository, found: revisions.Found) -> dict[str, Entry]:
    if found.entry.kind == "tree":
        return trees.files(repo.store, found.entry.id)
    split_path(found.entry.name)
    return {found.entry.name: found.entry}
