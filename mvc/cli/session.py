"""What every command has at hand: the folder it runs in, the repository, and where output goes.

Only this package reads the environment; here is where it does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mvc.base.errors import NotFoundError
from mvc.base.progress import SILENT, Progress

if TYPE_CHECKING:
    from mvc.repo.repository import Environment, Repository
    from mvc.store.tails import TailSource

_STYLES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36}


class Session:
    """One run of a command."""

    def __init__(
        self, directory: Path | None, *, colour: bool = False, pager: bool = True, quiet: bool
    ) -> None:
        try:
            here = Path.cwd()
        except FileNotFoundError:
            raise NotFoundError(
                "the current folder is gone", hint="cd to one that exists"
            ) from None
        self.directory = here if directory is None else here / directory
        if not self.directory.is_dir():
            raise NotFoundError(f"{self.directory} is not a folder")
        self.colour = colour
        self.pager = pager
        self.quiet = quiet
        self.author: str | None = None
        self._repo: Repository | None = None
        self._here: str | None = None

    @property
    def repo(self) -> Repository:
        """The repository around the folder, opened at the first use."""
        if self._repo is None:
            from mvc.repo.repository import Repository

            self._repo = Repository.discover(self.directory, self.environment())
            self._repo.opener = self._lower_bits
        return self._repo

    def _lower_bits(self, where: str) -> TailSource:
        """Return who gives lower bits that are at a remote."""
        from mvc.cli.remoting import access
        from mvc.ops.tails import source

        return source(self.repo, where, access(self))

    @property
    def progress(self) -> Progress:
        """Where long work reports; drawn only on a terminal."""
        from mvc.cli.memory import keep_freed

        keep_freed()
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return SILENT
        from mvc.cli.progress import Bar

        return Bar(colour=self.colour)

    def environment(self) -> Environment:
        """Return what the library is told of the outside."""
        from mvc.repo.repository import Environment

        return Environment(
            user_config=user_config(),
            author=self.author or _given_author(),
            fallback_author=_guessed_author(),
        )

    def path(self, text: str | Path) -> Path:
        """Return a path as the user means it, seen from the folder the command runs in."""
        return Path(os.path.normpath(self.directory / text))

    def inside(self, text: str) -> str:
        """Return a path given by the user as a path inside the versions ("" for the top).

        In a bare repository there is no other way to mean it.
        """
        if self.repo.worktree is None:
            return text
        path, colon, tensors = text.partition(":")
        from mvc.repo.worktree import Worktree

        return Worktree(self.repo).relative(self.path(path)) + colon + tensors

    def from_here(self, path: str) -> str:
        """Return a path inside the working copy as seen from the folder the command runs in."""
        if self._here is None:
            self._here = self.inside(".")
        return os.path.relpath(path, self._here) if self._here else path

    @property
    def author_is_guessed(self) -> bool:
        """Tell whether nobody said who commits."""
        told = self.author or _given_author() or self.repo.config.get("user.name")
        return not told

    def style(self, text: str, *names: str) -> str:
        """Return `text` in a style, or as it is where colours are off."""
        if not self.colour or not text:
            return text
        codes = ";".join(str(_STYLES[name]) for name in names)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def note(self, text: str) -> None:
        """Make a remark on stderr."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")

    def say(self, text: str) -> None:
        """Print what was done, as a person wants to read it."""
        if not self.quiet:
            self.write(text)

    def write(self, line: str) -> None:
        """Print a line of data."""
        sys.stdout.write(f"{line}\n")

    def json(self, value: object) -> None:
        """Print a value as JSON."""
        import json

        from mvc.base.escape import escaped_json

        encoder = json.JSONEncoder(indent=2, ensure_ascii=not _unicode(sys.stdout))
        for piece in encoder.iterencode(value):
            sys.stdout.write(escaped_json(piece))
        sys.stdout.write("\n")

    def page(self, lines: Iterable[str]) -> None:
        """Print lines, through a pager if a person is looking."""
        if self.pager and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            from mvc.cli.pager import page

            page(lines, os.environ.get("MVC_PAGER", os.environ.get("PAGER", "less")))
            return
        for line in lines:
            sys.stdout.write(f"{line}\n")

    def close(self) -> None:
        """Close the repository."""
        if self._repo is not None:
            self._repo.close()
            self._repo = None


pass_session = click.make_pass_decorator(Session)


def wants_colour(option: str) -> bool:
    """Decide about colours from --color, NO_COLOR, FORCE_COLOR, TERM and the terminal."""
    if option != "auto":
        return option == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"


def user_config() -> Path | None:
    """Return where the user's settings are, whether or not the file exists."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if folder and Path(folder).is_absolute():
        return Path(folder) / "mvc" / "config.toml"
    try:
        return Path.home() / ".config" / "mvc" / "config.toml"
    except RuntimeError:
        return None


def _given_author() -> str | None:
    name, email = os.environ.get("MVC_AUTHOR_NAME"), os.environ.get("MVC_AUTHOR_EMAIL")
    if not name:
        return None
    return f"{name} <{email}>" if email else name


def _guessed_author() -> str | None:
    login = os.environ.get("LOGNAME") or os.environ.get("USER") or ""
    if not login:
        import pwd

        try:
            login = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return None
    guess = f"{login}@{os.uname().nodename}"
    return guess if guess.isprintable() else None


def _unicode(stream: object) -> bool:
    encoding = getattr(stream, "encoding", None) or ""
    return str(encoding).lower().replace("-", "") == "utf8"
