"""The one layer that decides who gets past it: everything but /healthz needs a token.

What a token is not for is as if it did not exist. Requests that pass carry who asks for what, and
no longer the token itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mvc.base.errors import MvcError
from mvc.sync.http_refusal import Refused
from mvc.sync.quotas import ExhaustedError, Quotas
from mvc.sync.repository_names import Target, parse_target
from mvc.sync.tokens import Token, Tokens

if TYPE_CHECKING:
    from starlette.types import Scope

HEALTH, METRICS = b"/healthz", b"/metrics"
PASS = "mvc.pass"  # noqa: S105 - a key of the scope
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Pass:
    """Who asks for what; no target where it is not about a repository."""

    token: Token
    target: Target | None


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask this server; `hosts` are the names it answers to, None for any."""

    tokens: Tokens
    quotas: Quotas
    hosts: frozenset[str] | None
    clock: Callable[[], int]

    def admit(self, scope: Scope) -> Pass | None:
        """Return who asks for what, None where nobody needs to be asked; raises Refused."""
        if scope["raw_path"] == HEALTH:
            return None
        self._check_host(_header(scope, b"host"))
        token = self._token(_header(scope, b"authorization"))
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        try:
            self.quotas.request(token)
        except ExhaustedError as error:
            raise Refused(error.code, error.message, after=error.after, who=token.who) from error
        return Pass(token, _reached(scope, token))

    def _check_host(self, host: str | None) -> None:
        if self.hosts is None:
            return
        name = (host or "").lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name not in self.hosts:
            raise Refused("usage", "this server has another name", hint=_HOSTS)

    def _token(self, header: str | None) -> Token:
        if header is None:
            raise Refused("auth", "this server wants a token", hint=_TOKEN)
        if header[: len(_BEARER)].lower() != _BEARER:
            raise Refused("auth", "this is no bearer token", hint=_TOKEN)
        try:
            token = self.tokens.find(header[len(_BEARER) :].strip())
        except MvcError as error:
            # Whatever is wrong with the file, nobody gets past here because of it.
            raise Refused("internal", "the server cannot read its tokens") from error
        if token is None:
            raise Refused("auth", "the token is unknown, or was revoked", hint=_TOKEN)
        if token.expired(self.clock()):
            raise Refused("auth", "the token has expired", hint=_TOKEN, who=token.who)
        return token


def _reached(scope: Scope, token: Token) -> Target | None:
    """Return the repository that is meant, if the token is for it at all."""
    target = parse_target(scope["raw_path"])
    if scope["raw_path"] == METRICS:
        if "metrics" not in token.server:
            raise Refused(
                "not-allowed", "this token cannot read metrics", status=403, who=token.who
            )
    elif target is None:
        raise Refused("not-found", "there is nothing here", hint=_PATH, who=token.who)
    elif not token.reaches(target.repository):
        raise Refused(
            "not-found",
            f"there is no repository {target.repository}",
            hint="check the address, and what the token is for",
            who=token.who,
        )
    if scope["query_string"]:
        raise Refused("usage", "an address of mvc has no query", who=token.who)
    return target


def _header(scope: Scope, name: bytes) -> str | None:
    """Return a header that must not be there twice."""
    found: list[Any] = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Refused("usage", f"there are several {name.decode()} headers")
    return found[0].decode("latin-1") if found else None


_TOKEN = "`mvc token create` makes one at the server"  # noqa: S105 - a hint
_HOSTS = "the setting `hosts` of the server lists the names it answers to"
_PATH = "requests go to /REPOSITORY/-/mvc/VERB"
