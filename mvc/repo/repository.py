"""One repository on disk: finds it, makes it, and holds its parts together.

PROJECT/               the working copy (a bare repository has none)
  .mvc/                format HEAD refs/ packs/                   what is versioned
                       config.toml index.sqlite logs/ locks/ offloaded tmp/ worktree    local
                       incoming/ paths remotes/ shallow tokens/                         of remotes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from mvc.base import fileio
from mvc.base.clock import Clock, system_clock
from mvc.base.errors import FormatError, IntegrityError, NotFoundError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Tag, check_line
from mvc.repo.chosen import Chosen
from mvc.repo.config import Config
from mvc.repo.names import FOLDER, check_branch
from mvc.repo.refs import BRANCHES, DEFAULT_BRANCH, Change, Refs
from mvc.repo.shallow import Shallow
from mvc.storage import keys
from mvc.storage.local import PACKING, PLAIN, LocalStorage
from mvc.store.object_store import ObjectStore
from mvc.store.tails import (
    Offloaded,
    OffloadingStorage,
    StoreSource,
    Tails,
    TailSource,
    is_remote,
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What a repository takes from outside: the user's settings, identity, and the clock."""

    user_config: Path | None = None
    author: str | None = None
    fallback_author: str | None = None
    clock: Clock = system_clock


class Repository:
    """An open repository. `worktree` is None for a bare one."""

    def __init__(
        self, folder: Path, worktree: Path | None, environment: Environment | None = None
    ) -> None:
        self.folder = folder
        self.worktree = worktree
        self.environment = environment or Environment()
        self.storage = LocalStorage(folder)
        try:
            line = self.storage.read(keys.FORMAT)
        except NotFoundError:
            raise NotFoundError(f"{folder} is not an mvc repository") from None
        if line not in (PLAIN, PACKING):
            raise FormatError(
                f"{folder} has a format this mvc does not know: {line[:40]!r}",
                hint="install a newer mvc; nothing was changed",
            )
        self.refs = Refs(self.storage, folder / "logs")
        # How remotes are asked for lower bits, by name or address: for whoever may use a network.
        self.opener: Callable[[str], TailSource] | None = None
        # The repositories that this one reads from, and those that read through it.
        self._others: list[Repository] = []
        self._passed: frozenset[Path] = frozenset()

    @classmethod
    def init(
        cls, path: Path, *, bare: bool = False, environment: Environment | None = None
    ) -> Self:
        """Make a repository in `path`; an existing one is opened and left as it is."""
        folder = path if bare else path / FOLDER
        if not bare and is_repository(path):
            raise UsageError(f"{path} is a bare repository already")
        if bare and is_repository(path / FOLDER):
            raise UsageError(f"{path} is the working copy of a repository already")
        fileio.make_dirs(folder)
        storage = LocalStorage(folder)
        for name in ("packs", "refs"):
            fileio.make_dirs(folder / name)
        storage.write_new(keys.HEAD, f"ref: {BRANCHES}{DEFAULT_BRANCH}\n".encode())
        storage.write_new(keys.FORMAT, PLAIN)
        return cls(folder, None if bare else path, environment)

    @classmethod
    def discover(cls, start: Path, environment: Environment | None = None) -> Self:
        """Open the repository that `start` is in, or raise NotFoundError."""
        for path in (start, *start.parents):
            if is_repository(path / FOLDER):
                return cls(path / FOLDER, path, environment)
            if is_repository(path):
                return cls(path, None, environment)
        raise NotFoundError(
            f"{start} is not in an mvc repository", hint="`mvc init` makes one here"
        )

    @cached_property
    def store(self) -> ObjectStore:
        """The objects."""
        tails = Tails(self.offloaded, self._source)
        storage = OffloadingStorage(self.storage, self.offloaded.packs)
        found = ObjectStore(storage, self.folder / "index.sqlite", tails)
        found.partial = lambda: self.chosen.scope is not None
        return found

    @cached_property
    def shallow(self) -> Shallow:
        """The versions whose parents are not here on purpose."""
        return Shallow(self.folder / "shallow", self.folder / "tmp" / "shallow")

    @cached_property
    def chosen(self) -> Chosen:
        """Which files of each version are here, if not all."""
        return Chosen(self.folder / "paths", self.folder / "tmp" / "paths")

    def parents(self, wanted: ObjectId, commit: Commit) -> tuple[ObjectId, ...]:
        """Return the parents of a commit, as far as history goes here."""
        return () if wanted in self.shallow.commits() else commit.parents

    @cached_property
    def offloaded(self) -> Offloaded:
        """The packs whose lower bits another repository holds."""
        return Offloaded(self.folder / "offloaded", self.folder / "tmp" / "offloaded")

    def _source(self, where: str) -> TailSource:
        """Open the repository that lower bits were offloaded to."""
        if is_remote(where):
            if self.opener is None:
                raise NotFoundError(f"{where} is a remote, and none may be asked here")
            return self.opener(where)
        passed = self._passed | {self.folder.resolve()}
        folder = Path(where)
        folder = folder / FOLDER if is_repository(folder / FOLDER) else folder
        other = Repository(folder, None, self.environment)
        if other.folder.resolve() in passed:
            raise NotFoundError(f"{where} has offloaded it itself")
        other._passed = passed
        self._others.append(other)
        return StoreSource(other.store)

    @cached_property
    def config(self) -> Config:
        """The settings in force."""
        return Config(self.folder / "config.toml", self.environment.user_config)

    @property
    def scratch(self) -> Path:
        """Where unfinished files live; on the same disk as the store."""
        return self.folder / "tmp"

    @property
    def root(self) -> Path:
        """The top of the working copy, or raise UsageError in a bare repository."""
        if self.worktree is None:
            raise UsageError(
                "a bare repository has no working copy",
                hint="`mvc export REV DIR` writes files out",
            )
        return self.worktree

    def author(self) -> str:
        """Return who commits: given explicitly, configured, or a guess; UsageError if nobody."""
        if self.environment.author:
            return check_line(self.environment.author, "author")
        name, email = self.config.text("user.name"), self.config.text("user.email")
        if name:
            return check_line(f"{name} <{email}>" if email else name, "author")
        if self.environment.fallback_author:
            return check_line(self.environment.fallback_author, "author")
        raise UsageError("nobody is named as author", hint="`mvc config user.name NAME` sets it")

    def codec(self, wanted: str | None = None) -> str:
        """Return how much time coding may take: as wanted, else as configured."""
        return wanted or self.config.text("core.codec") or "default"

    def commit(self, wanted: ObjectId) -> Commit:
        """Return a commit, or raise IntegrityError."""
        try:
            return Commit.decode(self.store.read(wanted, Commit.KIND))
        except FormatError as error:
            raise IntegrityError(
                f"commit {wanted.hex()[:12]} is malformed: {error.message}"
            ) from error

    def tag(self, wanted: ObjectId) -> Tag:
        """Return an annotated tag, or raise IntegrityError."""
        try:
            return Tag.decode(self.store.read(wanted, Tag.KIND))
        except FormatError as error:
            raise IntegrityError(
                f"tag {wanted.hex()[:12]} is malformed: {error.message}"
            ) from error

    def head_commit(self) -> ObjectId | None:
        """Return the commit HEAD is at, None before the first."""
        return self.refs.head().commit

    def change(self, old: ObjectId | None, new: ObjectId | None, reason: str) -> Change:
        """Return a reflog line for now."""
        try:
            author = self.author()
        except UsageError:
            author = "unknown"
        return Change(old, new, author, self.environment.clock(), reason)

    def advance(self, old: ObjectId | None, new: ObjectId, reason: str) -> None:
        """Move what HEAD points at from `old` to `new`: the branch, or HEAD itself.

        Raises RemoteMovedError if it is not at `old`. Where it is damaged there is nothing to lose,
        and it is overwritten.
        """
        change = self.change(old, new, reason)
        try:
            head = self.refs.head()
        except IntegrityError:
            self.refs.mend_head(new, change)
            return
        if head.ref is None:
            self.refs.set_head(new, change)
            return
        check_branch(head.ref.removeprefix(BRANCHES))
        self.refs.update(head.ref, old, new, change)
        self.refs.log_head(change)

    def close(self) -> None:
        """Release files and the index."""
        if "store" in self.__dict__:
            if self.store.tails is not None:
                self.store.tails.close()
            self.store.close()
        self.storage.close()
        for other in self._others:
            other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_repository(folder: Path) -> bool:
    """Tell whether a folder is where a repository keeps its data."""
    return fileio.stat_file(folder / keys.FORMAT) is not None and fileio.is_dir(folder / "packs")
