"""Make a repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mvc.base import fileio
from mvc.repo.names import FOLDER
from mvc.repo.repository import Environment, Repository
from mvc.storage import keys


@dataclass(frozen=True, slots=True)
class InitResult:
    """Where the repository is, and whether it was there before."""

    folder: Path
    bare: bool
    existed: bool


def init(path: Path, *, bare: bool = False, environment: Environment | None = None) -> InitResult:
    """Make a repository in `path`; an existing one is left as it is."""
    folder = path if bare else path / FOLDER
    existed = fileio.lexists(folder / keys.FORMAT)
    with Repository.init(path, bare=bare, environment=environment) as repo:
        return InitResult(repo.folder, repo.worktree is None, existed)
