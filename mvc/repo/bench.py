"""A folder that has the files of one version after another, for programs that test them.

It is no working copy: what a program changes or leaves there is gone when the next version comes,
and files that are equal in both versions stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from mvc.base import fileio
from mvc.base.errors import NegativeAnswer
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.repository import Repository
from mvc.repo.restore import write_file

FOLDER = "version"


class Bench:
    """The folder, removed at the end unless it is the caller's (`keep`, an empty or new one)."""

    def __init__(self, repo: Repository, keep: Path | None = None) -> None:
        if keep is not None and (fileio.names(keep) if fileio.is_dir(keep) else _exists(keep)):
            raise NegativeAnswer(f"{keep} is not empty", hint="name a new folder")
        self._repo = repo
        fileio.make_dirs(repo.scratch)
        fileio.reap(repo.scratch)
        self._workspace = fileio.Workspace(repo.scratch)
        self.folder = keep or self._workspace.path / FOLDER
        self._held: dict[str, tuple[ObjectId, fileio.FileStat]] = {}

    def show(self, commit: ObjectId, progress: Progress = SILENT) -> int:
        """Make the files those of a version, and return how many were written."""
        files = trees.files(self._repo.store, self._repo.commit(commit).tree)
        fileio.make_dirs(self.folder)
        self._clear(files)
        missing = [path for path in files if path not in self._held]
        progress.start("writing files", sum(files[path].size for path in missing))
        anchor = fileio.Anchored(self.folder)
        for path in missing:
            staged = fileio.StagedFile(self._workspace.path)
            try:
                write_file(self._repo.store, files[path], staged.write, progress)
                stat = anchor.put(staged.seal(durable=False), tuple(path.split("/")))
            finally:
                staged.discard()
            self._held[path] = files[path].id, stat
        progress.finish()
        return len(missing)

    def close(self) -> None:
        """Remove the folder."""
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _clear(self, files: Mapping[str, Entry]) -> None:
        """Remove all but files that are as they were written and stay as they are."""
        before, self._held = self._held, {}
        folders = {path[:at] for path in files for at, char in enumerate(path) if char == "/"}
        pending = [""]
        while pending:
            start = pending.pop()
            for name in fileio.names(self.folder / start):
                path, place = start + name, self.folder / start / name
                kind = fileio.kind(place)
                if kind == "directory":
                    if path in folders:
                        pending.append(f"{path}/")
                    else:
                        fileio.remove_tree(place)
                    continue
                held = before.get(path)
                wanted = files[path].id if path in files else None
                if held and kind == "file" and held == (wanted, fileio.stat_file(place)):
                    self._held[path] = held
                else:
                    fileio.remove(place)


def _exists(path: Path) -> bool:
    return fileio.lexists(path)
