"""List, add, rename and remove remotes."""

from __future__ import annotations

from pathlib import Path

from mvc.ops import token_files
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
    """Give an address a name; a path is kept as it is seen from the root.

    The token in `token_file` is for that server alone, wherever the remote is moved later: the file
    says so from now on.
    """
    remotes.check_remote(name)
    remote = Remote(name, str(located(url, here)), prefix, token_file)
    remotes.add(repo, remote)
    if token_file is not None:
        token_files.bind(repo, token_file, remote.url)
        _bind_token(repo, remote)
    return remote


def set_url(repo: Repository, name: str, url: str, *, here: Path | None = None) -> Remote:
    """Change where a remote is. Its token stays for the server that it was given for."""
    before = remotes.find(repo, name)
    if before.token_file and repo.config.text(f"remote.{name}.token_origin") is None:
        _bind_token(repo, before)
    remotes.set_url(repo, name, str(located(url, here)))
    return remotes.find(repo, name)


def _bind_token(repo: Repository, remote: Remote) -> None:
    if (server := token_files.origin(remote.url)) is not None:
        key = ("remote", remote.name, "token_origin")
        repo.config.change({key: server}, "repository", repo.scratch)
