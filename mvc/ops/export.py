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
from mvc.repo.names import split_path
from mvc.repo.repository import Repository
from mvc.repo.restore import write_file

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

    Existing files of the same names are not touched: NegativeAnswer names the first of them, and
    nothing is written.
    """
    found = revisions.find(repo, revision)
    files = _files(repo, found)
    for path in files:
        if fileio.lexists(target / path):
            raise NegativeAnswer(
                f"{target / path} exists already", hint="export into an empty or new folder"
            )
    fileio.make_dirs(target)
    anchor = fileio.Anchored(target)
    total = sum(entry.size for entry in files.values())
    progress.start("writing files", total)
    try:
        with fileio.Workspace(target / SCRATCH) as workspace:
            for path, entry in files.items():
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


def _files(repo: Repository, found: revisions.Found) -> dict[str, Entry]:
    if found.entry.kind == "tree":
        return trees.files(repo.store, found.entry.id)
    split_path(found.entry.name)
    return {found.entry.name: found.entry}
