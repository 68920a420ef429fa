"""List, add, rename and remove remotes."""

from __future__ import annotations

from pathlib import Path

from mvc.ops.links import located
from mvc.repo import remotes
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository


def add(
    repo: Repository,
    name: str,
    url: str,
    *,
    prefix: str = "",
    token_file: str | None = None,
    here: Path | None = None,
) -> Remote:
    """Give an address a name; a path is kept as it is seen from the root."""
    remotes.check_remote(name)
    remote = Remote(name, str(located(url, here)), prefix, token_file)
    remotes.add(repo, remote)
    return remote


def set_url(repo: Repository, name: str, url: str, *, here: Path | None = None) -> Remote:
    """Change where a remote is."""
    remotes.set_url(repo, name, str(located(url, here)))
    return remotes.find(repo, name)
