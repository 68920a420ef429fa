"""The working copy: what changed since HEAD, and putting files of a version in place.

A file is compared by stat where that proves it unchanged, else by size, else by SHA-256. Files
are replaced whole by renaming; none is ever opened for writing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import FormatError, MvcError, NegativeAnswer, NotFoundError, StorageError
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.objects.tree import Entry
from mvc.repo import trees
from mvc.repo.ignore import ALWAYS, Ignore
from mvc.repo.in_the_way import check_free
from mvc.repo.metadata import file_sha256
from mvc.repo.names import FOLDER, name_problem, split_path
from mvc.repo.repository import Repository, is_repository
from mvc.repo.state import Known, Left, State

READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Changes:
    """Tracked paths that differ from HEAD, and untracked ones, each list in order.

    `reduced` are files at reduced precision. Unless HEAD has another version of it, such a file
    does not count as different.
    """

    added: tuple[str, ...]
    modified: tuple[str, ...]
    deleted: tuple[str, ...]
    untracked: tuple[str, ...] = ()
    reduced: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Tell whether every tracked file is as in HEAD."""
        return not (self.added or self.modified or self.deleted)


class Worktree:
    """The files beside a repository. Use `locked_worktree` to change them."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.root = repo.root
        self.state = State(repo.folder / "worktree", repo.folder / "tmp" / "state")
        self._anchor = fileio.Anchored(self.root)
        self._seen: dict[str, fileio.FileStat | None] = {}
        self._learned: dict[str, Known] = {}
        if self.state.lost:
            with suppress(MvcError):
                self.state.files.update(dict.fromkeys(self.head_files()))

    def head_files(self) -> dict[str, Entry]:
        """Return the files of HEAD by path, none before the first commit."""
        return self.files_of(self.repo.head_commit())

    def files_of(self, commit: ObjectId | None) -> dict[str, Entry]:
        """Return the files of a commit by path, of those that this copy has."""
        return self._divided(commit)[0]

    def left_out(self, commit: ObjectId | None) -> dict[str, Entry]:
        """Return the files of a commit by path that are not here on purpose."""
        return self._divided(commit)[1]

    def _divided(self, commit: ObjectId | None) -> tuple[dict[str, Entry], dict[str, Entry]]:
        if commit is None:
            return {}, {}
        scope = self.repo.chosen.scope
        found = trees.files(self.repo.store, self.repo.commit(commit).tree)
        if scope is None:
            return found, {}
        here = {path: entry for path, entry in found.items() if scope.chooses(path)}
        return here, {path: entry for path, entry in found.items() if path not in here}

    def changes(self, head: dict[str, Entry], *, untracked: bool = True) -> Changes:
        """Compare the working copy with the files of HEAD."""
        return self._changes(head, self.same, untracked=untracked)

    def candidates(self, head: dict[str, Entry]) -> Changes:
        """Return what may have changed, reading nothing; a file only touched counts, too.

        Raises NegativeAnswer for a file at reduced precision of another version than HEAD's: its
        content is no version of its own.
        """
        found = self._changes(head, self._proven, untracked=False)
        for path in {*found.added, *found.modified} & set(found.reduced):
            known = self.state.files[path]
            bits = known.precision if isinstance(known, Known) else None
            raise NegativeAnswer(
                f"{path} is here at precision {bits} only, of a version that HEAD does not have",
                hint=f"`mvc restore --source REV {path}` writes all its bits"
                + (f", `mvc restore {path}` HEAD's file" if path in head else ""),
            )
        return found

    def _changes(
        self,
        head: dict[str, Entry],
        same: Callable[[str, fileio.FileStat, Entry], bool],
        *,
        untracked: bool,
    ) -> Changes:
        tracked = self.state.files
        added, modified, reduced = [], [], []
        deleted = [path for path in head if path not in tracked]
        for path, held in list(tracked.items()):
            stat = fileio.stat_file(self.root / path)
            if isinstance(held, Left) and held.stat == stat and path in head:
                continue
            if short := self.reduced(path, stat):
                reduced.append(path)
                if path in head and head[path].id == short.id:
                    continue
            if stat is None and fileio.kind(self.root / path) != "other":
                if path in head:
                    deleted.append(path)
            elif path not in head:
                added.append(path)
            elif stat is None or not same(path, stat, head[path]):
                modified.append(path)
        others = self.untracked() if untracked else ()
        return Changes(
            tuple(sorted(added)),
            tuple(sorted(modified)),
            tuple(sorted(deleted)),
            others,
            tuple(sorted(reduced)),
        )

    def at_precision(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Return those of the paths that are known to be at reduced precision."""
        return tuple(
            path
            for path in sorted(paths)
            if isinstance(known := self.state.files.get(path), Known) and known.precision
        )

    def reduced(self, path: str, stat: fileio.FileStat | None) -> Known | None:
        """Return what is known of a file that is at reduced precision still, else None.

        One that was changed since is the user's own work from then on.
        """
        known = self.state.files.get(path)
        if stat is None or not isinstance(known, Known) or known.precision is None:
            return None
        if known.proves(stat):
            return known
        seen = fileio.now_ns()
        sha256, read_stat = hash_file(self.root / path)
        same = sha256 == known.sha256
        found = Known(None, sha256, read_stat, seen)
        if same:
            found = replace(known, stat=read_stat, seen_ns=seen)
        self.state.files[path] = found
        return found if same else None

    def same(self, path: str, stat: fileio.FileStat, entry: Entry) -> bool:
        """Tell whether a file has the content of an entry, reading it only if the stat is new."""
        known = self.state.files.get(path)
        if isinstance(known, Known) and known.proves(stat):
            return self._proven(path, stat, entry) or known.sha256 == file_sha256(
                self.repo.store, entry
            )
        if stat.size != entry.size:
            return False
        seen = fileio.now_ns()
        try:
            sha256, read_stat = hash_file(self.root / path)
        except NotFoundError:
            return False
        if sha256 != file_sha256(self.repo.store, entry):
            return False
        found = Known(entry.id, sha256, read_stat, seen)
        if path in self.state.files:
            self.state.files[path] = found
        else:
            # Looking at a file does not track it.
            self._learned[path] = found
        return True

    def has(self, path: str, entry: Entry, precision: int | None = None) -> bool:
        """Tell whether a path is a file with the content of an entry, at that precision."""
        stat = fileio.stat_file(self.root / path)
        if stat is None:
            return False
        if short := self.reduced(path, stat):
            return (short.id, short.precision) == (entry.id, precision)
        if precision is not None and self._loses_bits(entry):
            return False
        return self.same(path, stat, entry)

    def _loses_bits(self, entry: Entry) -> bool:
        from mvc.repo.precision import loses_bits

        return loses_bits(self.repo.store, entry)

    def _proven(self, path: str, stat: fileio.FileStat, entry: Entry) -> bool:
        known = self.state.files.get(path)
        return (
            isinstance(known, Known)
            and known.id == entry.id
            and known.precision is None
            and known.proves(stat)
        )

    def untracked(self) -> tuple[str, ...]:
        """Return the files that are neither tracked nor ignored."""
        ignore = Ignore(self.root)
        return tuple(
            path
            for entry in walk_own_files(self.root)
            if (path := "/".join(entry.parts)) not in self.state.files and not ignore.covers(path)
        )

    def blockers(
        self, target: dict[str, Entry], head: dict[str, Entry], precision: int | None = None
    ) -> list[str]:
        """Return the files whose content would be lost if `target` replaced `head` here.

        One that is as it would be at a precision was written by a run that was cut off.
        """
        changed = [path for path in target if path not in head or head[path].id != target[path].id]
        gone = [path for path in head if path not in target and path in self.state.files]
        lost = []
        for path in [*changed, *gone]:
            stat = self._seen[path] = fileio.stat_file(self.root / path)
            held = self.state.files.get(path)
            if stat is None or (isinstance(held, Left) and held.stat == stat):
                continue
            if self.reduced(path, stat):
                continue
            versions = [files[path] for files in (head, target) if path in files]
            if any(self.same(path, stat, entry) for entry in versions):
                continue
            short = precision is not None and path in target
            if not short or not self._is_short(path, stat, target[path]):
                lost.append(path)
        return lost

    def _is_short(self, path: str, stat: fileio.FileStat, entry: Entry) -> bool:
        """Tell whether a file has the bytes of an entry at reduced precision."""
        from mvc.repo.restore import stage_file

        if stat.size != entry.size or not self._loses_bits(entry):
            return False
        with fileio.Workspace(self.repo.scratch) as workspace:
            staged = fileio.StagedFile(workspace.path)
            try:
                done = stage_file(self.repo.store, entry, staged, short=True)
            finally:
                staged.discard()
        return done.sha256 == hash_file(self.root / path)[0]

    def move_to(
        self,
        target: dict[str, Entry],
        head: dict[str, Entry],
        *,
        force: bool = False,
        precision: int | None = None,
        progress: Progress = SILENT,
    ) -> tuple[str, ...]:
        """Make the tracked files those of `target`; return the files that were written.

        Local changes to files that are equal in both versions are kept unless `force`. Raises
        NegativeAnswer, before anything is changed, where something is in the way of a file.
        """
        wanted = [
            path
            for path, entry in target.items()
            if self._to_write(path, entry, head, force=force, precision=precision)
        ]
        gone = [path for path in head if path not in target and path in self.state.files]
        check_free(self.root, wanted, set(gone), force=force)
        for path in gone:
            self._check_unchanged(path)
            self._anchor.remove(tuple(path.split("/")))
            del self.state.files[path]
        for path, entry in target.items():
            if force or path not in head or head[path].id != entry.id:
                self.track(path)
        self.write({path: target[path] for path in wanted}, progress, precision=precision)
        return tuple(wanted)

    def _to_write(
        self,
        path: str,
        entry: Entry,
        head: dict[str, Entry],
        *,
        force: bool,
        precision: int | None,
    ) -> bool:
        """Tell whether a file has to be written to be as in `entry`."""
        stat = fileio.stat_file(self.root / path)
        if self.has(path, entry, precision):
            return False
        untouched = path in head and head[path].id == entry.id
        if stat is not None and (
            self.reduced(path, stat) or (precision is not None and self.same(path, stat, entry))
        ):
            # Nothing of its content is lost if it is still what was looked at.
            self._seen[path] = stat
            return True
        if stat is not None:
            return force or not untouched
        held = self.state.files.get(path)
        kept = path not in self.state.files or isinstance(held, Left)
        return force or not (untouched and kept)

    def is_free(self, path: str) -> bool:
        """Tell whether nothing is where a file would be written."""
        with suppress(NegativeAnswer):
            check_free(self.root, [path], set(), force=False)
            return fileio.kind(self.root / path) == "missing"
        return False

    def track(self, path: str) -> None:
        """Track a path from now on."""
        self.state.files.setdefault(path, self._learned.get(path))

    def track_only(self, paths: Iterable[str]) -> None:
        """Track exactly these paths; files that are no longer tracked stay where they are."""
        wanted = set(paths)
        for path in [path for path in self.state.files if path not in wanted]:
            del self.state.files[path]
        for path in wanted:
            self.track(path)
        self.state.save()

    def write(
        self,
        files: dict[str, Entry],
        progress: Progress = SILENT,
        *,
        precision: int | None = None,
    ) -> None:
        """Write files of a version in place, each appearing whole, and track them."""
        if not files:
            self.state.save()
            return
        from mvc.repo.restore import stage_file

        fileio.reap(self.repo.scratch)
        durable = bool(self.repo.config.get("core.sync_worktree"))
        progress.start("writing files", sum(entry.size for entry in files.values()))
        with fileio.Workspace(self.repo.scratch) as workspace:
            for path, entry in files.items():
                staged = fileio.StagedFile(workspace.path)
                try:
                    done = stage_file(
                        self.repo.store,
                        entry,
                        staged,
                        short=precision is not None,
                        progress=progress,
                    )
                    sealed = staged.seal(durable=durable)
                    self._check_unchanged(path)
                    stat = self._anchor.put(sealed, tuple(path.split("/")))
                finally:
                    staged.discard()
                bits = precision if done.shortened else None
                self.state.files[path] = Known(entry.id, done.sha256, stat, fileio.now_ns(), bits)
        if durable:
            self._anchor.sync([tuple(path.split("/")) for path in files])
        progress.finish()
        self.state.settle(self.root, list(files))
        self.state.save()

    def _check_unchanged(self, path: str) -> None:
        """Raise NegativeAnswer if a file changed after it was found to hold nothing new."""
        if path in self._seen and fileio.stat_file(self.root / path) != self._seen[path]:
            raise NegativeAnswer(
                f"{path} changed meanwhile and is left as it is",
                hint="run this again when the program that writes it is done",
            )

    def remove(self, path: str) -> None:
        """Remove a file and stop tracking it."""
        self._anchor.remove(tuple(path.split("/")))
        self.state.files.pop(path, None)

    def relative(self, path: Path) -> str:
        """Return a path given by the user as a path inside the tree ("" for the root)."""
        absolute = path if path.is_absolute() else self.root / path
        named = absolute.name not in ("", "..")
        resolved = absolute.parent.resolve() / absolute.name if named else absolute.resolve()
        root = self.root.resolve()
        ways = [(resolved, root)]
        if ".." not in absolute.parts:
            # A link is named by where it is, not by where it leads.
            ways.append((absolute, self.root))
        for candidate, base in ways:
            if candidate == base:
                return ""
            if candidate.is_relative_to(base):
                return candidate.relative_to(base).as_posix()
        raise NotFoundError(f"{path} is outside the repository at {self.root}")


def walk_own_files(folder: Path) -> Iterator[fileio.Entry]:
    """Yield the files below a folder of a working copy, without those of repositories in it."""
    return fileio.walk_files(
        folder, ALWAYS, lambda path: not (is_repository(path) or is_repository(path / FOLDER))
    )


def hash_file(path: Path) -> tuple[bytes, fileio.FileStat]:
    """Return the SHA-256 of a file and its stat, or StorageError if it changed meanwhile."""
    with fileio.Reader(path) as reader:
        sha256 = hashlib.sha256()
        for at in range(0, reader.size, READ_BYTES):
            sha256.update(reader.read_at(at, min(READ_BYTES, reader.size - at)))
        if reader.changed():
            raise StorageError(
                f"{path} changed while it was read", hint="run this again when it is complete"
            )
        return sha256.digest(), reader.stat


def check_addable(path: str) -> None:
    """Raise NegativeAnswer if a path cannot be tracked."""
    for part in path.split("/"):
        if problem := name_problem(part):
            raise NegativeAnswer(
                f"{path[:200]!r} cannot be versioned: {problem}", hint="rename it and add it again"
            )
    try:
        split_path(path)
    except FormatError as error:
        raise NegativeAnswer(error.message, hint="move it to a shorter path") from None


@contextmanager
def locked_worktree(repo: Repository) -> Iterator[Worktree]:
    """Open the working copy for changing it; only one process can at a time."""
    root = repo.root
    with fileio.locked(repo.folder / "locks" / "worktree"):
        if not fileio.is_dir(root):
            raise NotFoundError(f"{root} does not exist")
        yield Worktree(repo)
