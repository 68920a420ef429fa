"""Token files: a token, and below it `for ORIGIN`, once for each server that it may be sent to.

A repository's settings say where its token is, and may have come from somebody else: so the file,
not the settings, says which servers get it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mvc.base import fileio
from mvc.base.errors import MvcError, NotAllowedError, NotFoundError, UsageError
from mvc.repo.remotes import Remote
from mvc.repo.repository import Repository
from mvc.sync.address import HttpAddress, parse

MAX_TOKEN = 4096
FOLDER = "tokens"
_FOR = "for "


def origin(url: str) -> str | None:
    """Return the server that an HTTP address leads to, None for any other."""
    address = parse(url)
    return address.origin if isinstance(address, HttpAddress) else None


def check_token(text: str) -> str:
    """Return a token without the line's end, or raise UsageError."""
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("the token is empty, or holds what no token does")
    return token


def token_of(repo: Repository, remote: Remote) -> str | None:
    """Return the token that a remote's server is to get, None where no file is named.

    Raises NotAllowedError where the file does not say that it is for this server, or others than
    its owner can read it; NotFoundError, UsageError.
    """
    server = origin(remote.url)
    if remote.token_file is None or server is None:
        return None
    token, servers = _read(repo, remote.token_file)
    if server in servers or (not servers and _is_own(repo, remote, server)):
        return token
    hint = f"write `{_FOR}{server}` below the token in {remote.token_file} if it is"
    if not servers:
        raise NotAllowedError(
            f"the token file {remote.token_file} does not say that it is for {server}", hint=hint
        )
    raise NotAllowedError(f"the token is for {' and '.join(servers)}, not for {server}", hint=hint)


def given(text: str, url: str) -> str:
    """Return a token that was given as text: alone, or as the whole content of a token file.

    Raises NotAllowedError where that says it is for other servers; UsageError.
    """
    token, servers = _parsed(text, "MVC_TOKEN")
    server = origin(url)
    if servers and server is not None and server not in servers:
        raise NotAllowedError(
            f"the token in MVC_TOKEN is for {' and '.join(servers)}, not for {server}",
            hint="`mvc token create` at that server makes one for it",
        )
    return token


def bind(repo: Repository, token_file: str, url: str) -> None:
    """Write into a token file which server it is for, if its owner names both."""
    server = origin(url)
    if server is None:
        return
    # What cannot be written, or is not there yet, is told of when the token is needed.
    with suppress(MvcError):
        if server not in _read(repo, token_file)[1]:
            fileio.append_line(_path(repo, token_file), f"{_FOR}{server}".encode())


def check(repo: Repository, token_file: str) -> None:
    """Raise what keeps a token from being read."""
    _read(repo, token_file)


def keep(repo: Repository, remote: str, token: str, url: str) -> str:
    """Write a token to a file of the repository that only its owner can read; return its path."""
    path = repo.folder / FOLDER / remote
    fileio.make_dirs(path.parent)
    server = origin(url)
    text = given(token, url) + "\n" + (f"{_FOR}{server}\n" if server else "")
    fileio.write_file(path, text.encode(), repo.scratch / "values", private=True)
    return str(path.relative_to(repo.worktree or repo.folder))


def _read(repo: Repository, token_file: str) -> tuple[str, tuple[str, ...]]:
    """Return the token of a file and the servers it is for."""
    path = _path(repo, token_file)
    try:
        private = fileio.is_private(path)
    except MvcError as error:
        raise NotFoundError(
            f"the token file {token_file} cannot be read",
            hint="MVC_TOKEN gives a token as well",
        ) from error
    if not private:
        raise NotAllowedError(
            f"the token file {token_file} can be read by others",
            hint=f"`chmod 600 {token_file}` mends that",
        )
    text = fileio.read_bytes(path, MAX_TOKEN).decode("utf-8", "replace")
    return _parsed(text, f"the token file {token_file}")


def _parsed(text: str, where: str) -> tuple[str, tuple[str, ...]]:
    token, *lines = text.split("\n")
    found = [line.strip() for line in lines if line.strip()]
    if not all(line.startswith(_FOR) for line in found):
        raise UsageError(
            f"{where} has lines that say nothing",
            hint=f"the first line is the token, others are as `{_FOR}https://models.example.org`",
        )
    return check_token(token), tuple(_origin_of(line.removeprefix(_FOR)) for line in found)


def _origin_of(text: str) -> str:
    """Return a server as addresses have it: with its port."""
    with suppress(MvcError):
        return origin(f"{text.strip().rstrip('/')}/x") or text
    return text


def _is_own(repo: Repository, remote: Remote, server: str) -> bool:
    """Tell whether a file is one that older versions wrote for this remote and this server."""
    own = repo.folder / FOLDER / remote.name
    return (
        _path(repo, remote.token_file or "").resolve() == own.resolve()
        and repo.config.text(f"remote.{remote.name}.token_origin") == server
    )


def _path(repo: Repository, token_file: str) -> Path:
    return (repo.worktree or repo.folder) / token_file
