"""Where a remote repository is: a path, SSH or HTTP, read strictly from what a user wrote.

Parts of an address become arguments of other programs and parts of requests, so whatever could
mean something else there is refused here. No address holds a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from mvc.base.errors import UsageError

MAX_ADDRESS = 2048
MAX_HOST = 253
HOME = "/~/"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What separates hosts from paths where there is no scheme; a slash before it makes it a path.
_SCP = re.compile(r"(?P<where>[^/:\[\]]+|(?:[^/:\[\]]*@)?\[[^\[\]/]*\]):(?P<path>.*)", re.S)
_WHERE = re.compile(r"(?:(?P<user>[^@]*)@)?(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>.*))?")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9._+][A-Za-z0-9._+-]*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
# What no shell takes for anything but part of a word.
_REMOTE_PATH = re.compile(r"[\w./+=@,:~%-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._~+=,-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class PathAddress:
    """A folder of this machine; `url` if it was written with file://."""

    path: str
    url: bool = False

    def __str__(self) -> str:
        return f"file://{self.path}" if self.url else self.path


@dataclass(frozen=True, slots=True)
class SshAddress:
    """A path as the login shell of a host sees it, `url` if it was written with ssh://.

    An absolute path starts with a slash; any other is below the home folder there.
    """

    host: str
    path: str
    user: str | None = None
    port: int | None = None
    url: bool = False

    @property
    def login(self) -> str:
        """The host as ssh wants it, with the user before it if there is one."""
        return f"{self.user}@{self.host}" if self.user else self.host

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = _bracketed(self.host)
        if not self.url:
            return f"{user}{host}:{self.path}"
        port = f":{self.port}" if self.port else ""
        path = self.path if self.path.startswith("/") else HOME + self.path
        return f"ssh://{user}{host}{port}{path}"


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """A repository of a server: `path` starts with a slash and does not end with one."""

    scheme: str
    host: str
    path: str
    port: int | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a token is given for."""
        port = self.port or (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{_bracketed(self.host.lower())}:{port}"

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{_bracketed(self.host)}{port}{self.path}"


Address: TypeAlias = PathAddress | SshAddress | HttpAddress


def parse(text: str) -> Address:
    """Return the address that a text is, or raise UsageError. `str` of it is that text again."""
    if not text or len(text) > MAX_ADDRESS:
        raise UsageError("an address is empty or too long", hint=_FORMS)
    if not text.isprintable():
        raise UsageError("an address has a character that cannot be shown", hint=_FORMS)
    scheme = _SCHEME.match(text)
    if scheme is None:
        short = _SCP.fullmatch(text)
        return _short(short["where"], short["path"]) if short else PathAddress(_local(text))
    rest = text[scheme.end() :]
    match scheme[1]:
        case "file":
            return _file(rest)
        case "ssh":
            return _ssh(rest)
        case "http" | "https":
            return _http(scheme[1], rest)
    raise UsageError(f"mvc does not know addresses that start with {scheme[1]}://", hint=_FORMS)


def _local(path: str) -> str:
    if path.startswith("-") or path != path.strip() or ":" in path.partition("/")[0]:
        raise UsageError(
            f"{path[:80]!r} cannot be the path of a remote", hint=f"write ./{path.strip()[:80]}"
        )
    return path


def _file(path: str) -> PathAddress:
    if not path.startswith("/") or "%" in path:
        raise UsageError(
            "a file:// address is one of this machine, without percent signs",
            hint="for example file:///srv/models, or the path alone",
        )
    return PathAddress(path, url=True)


def _short(where: str, path: str) -> SshAddress:
    if "@" in path.partition(":")[0] and ":" in path:
        raise _secret("ssh")
    user, host, _ = _where(where, "ssh")
    return SshAddress(host, _remote(path), user)


def _ssh(rest: str) -> SshAddress:
    where, slash, path = rest.partition("/")
    user, host, port = _where(where, "ssh")
    path = slash + path
    if "%" in path:
        raise UsageError("an ssh:// address has no percent signs", hint=_FORMS)
    if path.startswith(HOME):
        path = path.removeprefix(HOME)
        if path.startswith("/"):
            raise UsageError("an ssh:// address has an empty part", hint=_FORMS)
    return SshAddress(host, _remote(path), user, port, url=True)


def _remote(path: str) -> str:
    if not _REMOTE_PATH.fullmatch(path):
        raise UsageError(
            "the path of an ssh address is missing, or has a character that a shell might take",
            hint="use letters, digits and . _ - + = @ , : / in paths of remotes",
        )
    if path.startswith(("-", "~")):
        raise UsageError(
            f"a path of an ssh address cannot start with {path[0]!r}",
            hint="a path that does not start with / is below the home folder already",
        )
    return path


def _http(scheme: str, rest: str) -> HttpAddress:
    where, _, path = rest.partition("/")
    if "@" in rest:
        raise _secret(scheme)
    _, host, port = _where(where, scheme)
    parts = path.removesuffix("/").split("/")
    if any(not _SEGMENT.fullmatch(part) or part in (".", "..", "-") for part in parts):
        raise UsageError(
            f"a {scheme}:// address names a repository, in letters, digits and . _ ~ + = , -",
            hint=f"for example {scheme}://models.example.org/fleet",
        )
    return HttpAddress(scheme, host, "/" + "/".join(parts), port)


def _where(text: str, scheme: str) -> tuple[str | None, str, int | None]:
    """Return user, host and port."""
    if text.count("@") > 1 or ":" in text.rpartition("@")[0]:
        raise _secret(scheme)
    found = _WHERE.fullmatch(text)
    if found is None:
        raise UsageError("the host of an address is malformed", hint=_FORMS)
    user, host, port = found["user"], found["host"], found["port"]
    if user is not None and not _USER.fullmatch(user):
        raise UsageError("the user of an address has a name that no login has", hint=_FORMS)
    return user, _host(host), None if port is None else _port(port)


def _host(text: str) -> str:
    if text.startswith("["):
        if _is_ipv6(text[1:-1]):
            return text[1:-1]
        raise UsageError("what stands in brackets in an address is no IPv6 address", hint=_FORMS)
    if len(text) > MAX_HOST or not _HOST.fullmatch(text) or ".." in text:
        raise UsageError("the host of an address is malformed", hint=_FORMS)
    return text


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise UsageError("the port of an address is no number from 1 to 65535", hint=_FORMS)
    return int(text)


def _secret(scheme: str) -> UsageError:
    """Return the error for an address with a user or a password where none belongs."""
    if scheme == "ssh":
        return UsageError(
            "an address must not hold a password", hint="ssh-copy-id sets up a key for a host"
        )
    return UsageError(
        f"a {scheme}:// address must not hold a user or a password",
        hint="a token opens it: `mvc token create` makes one at the server",
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except ValueError:
        return False


_FORMS = "write a path, host:path, ssh://host/path or https://host/name"
