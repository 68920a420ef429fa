"""The system's ssh as a carrier: which command it is, and what its end means."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from mvc.base.errors import (
    IntegrityError,
    MvcError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    UsageError,
)
from mvc.sync.address import SshAddress
from mvc.sync.link import FutileError, UnreachableError

SSH = ("ssh",)
UNREACHABLE = 255
_NOT_THERE = re.compile(r"mvc: (command )?not found|command not found: mvc|unknown command:? mvc")
_REFUSED = (
    "Permission denied",
    "Host key verification failed",
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Too many authentication failures",
    "Bad configuration option",
    "invalid option",
)
_WAS_UP = re.compile(r"^client_loop: |^Connection to \S+ closed", re.MULTILINE)
_ENDED: dict[int, type[MvcError]] = {
    2: UsageError,
    3: NotFoundError,
    5: NotAllowedError,
    6: IntegrityError,
}


def program(text: str) -> tuple[str, ...]:
    """Return the words of a setting such as `ssh -i key`, or raise UsageError."""
    try:
        words = tuple(shlex.split(text))
    except ValueError:
        words = ()
    if not words or not words[0]:
        raise UsageError(
            f"{text[:80]!r} is not the command of an ssh", hint="for example: ssh -i ~/.ssh/device"
        )
    return words


def command(address: SshAddress, ssh: Sequence[str] = SSH) -> list[str]:
    """Return the arguments that run `mvc serve` where an address says.

    The path is quoted for the shell there; neither it nor the host can be taken for an option.
    """
    port = ["-p", str(address.port)] if address.port else []
    return [*ssh, *port, address.login, "--", "mvc", "serve", "--stdio", quoted(address.path)]


def quoted(path: str) -> str:
    """Return a path in single quotes, as every shell understands them."""
    if not path or path.startswith("-") or not path.isprintable() or set(path) & {"'", "\\"}:
        raise UsageError(f"{path[:80]!r} cannot be the path of a remote")
    return f"'{path}'"


def ended(host: str, status: int, lines: Sequence[str], *, begun: bool = False) -> MvcError:
    """Return what it means that ssh ended with a status before it should, having said `lines`.

    `begun` tells that the host had answered something already.
    """
    text = "\n".join(lines)
    last = lines[-1] if lines else ""
    if begun or _WAS_UP.search(text):
        return NetworkError(f"the connection to {host} was cut off")
    if status == UNREACHABLE:
        kind = FutileError if any(sign in text for sign in _REFUSED) else UnreachableError
        return kind(
            f"ssh cannot reach {host}" + (f": {last}" if last else ""),
            hint=f"`ssh {host}` must work without a question",
        )
    if status == 127 or _NOT_THERE.search(text):
        return FutileError(
            f"{host} has no mvc that a login by ssh finds",
            hint=f"install mvc there; `ssh {host} mvc --version` must print a version",
        )
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if status in _ENDED and told:
        hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
        return _ENDED[status](f"{host} refused: {told[-1]}", hint=hints[-1] if hints else None)
    if status == 0 or status < 0:
        return NetworkError(f"the connection to {host} was cut off")
    return NetworkError(
        f"the connection to {host} ended with status {status}" + (f": {last}" if last else "")
    )
