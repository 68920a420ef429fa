"""How a client reaches a server: one call, whatever carries it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    LimitError,
    MissingObjectError,
    MvcError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    StorageError,
    UsageError,
)
from mvc.sync.messages import Refusal, Reply, Request, VersionError


class Answer(NamedTuple):
    """A reply and its body, which must be read to its end or closed before the next request."""

    reply: Reply
    body: Iterator[bytes]


class FutileError(NetworkError):
    """A carrier or a server failed in a way that another try would not mend."""


class LaterError(NetworkError):
    """A server asks to come again after so many seconds."""

    def __init__(self, error: NetworkError, after: float) -> None:
        super().__init__(error.message, hint=error.hint)
        self.after = after


class UnreachableError(NetworkError):
    """Nobody answers at an address: the network may be down, or the address wrong."""


class Link(Protocol):
    """A way to one repository of one server. Not safe from several threads at once.

    `ask` raises NetworkError where the carrier failed or the server asks to come again later, and
    what `refused` returns where the server refuses for good. `body` is iterated anew for each try.
    """

    def ask(self, request: Request, body: Iterable[bytes] = ()) -> Answer:
        """Send one request and return the answer."""
        ...

    def close(self) -> None:
        """Let go of the server."""
        ...


class Server(Protocol):
    """Who answers for one repository and one asker."""

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        """Return the answer to a request, whose body has not been read yet; raises MvcError."""
        ...


_RAISED: dict[str, type[MvcError]] = {
    "usage": UsageError,
    "version": FormatError,
    "auth": NotAllowedError,
    "not-allowed": NotAllowedError,
    "not-found": NotFoundError,
    "missing-object": MissingObjectError,
    "integrity": IntegrityError,
    "format": FormatError,
    "limit": LimitError,
    "quota": NotAllowedError,
}
AGAIN = frozenset({"missing-object", "integrity", "busy", "storage", "internal"})
"""Codes of refusals after which the same request may succeed."""


def refused(refusal: Refusal) -> MvcError:
    """Return the error that a refusal is at the client."""
    message, hint = _shown(refusal.message), refusal.hint and _shown(refusal.hint)
    found = _RAISED.get(refusal.error, FutileError)
    if refusal.again and found is not MissingObjectError:
        # What is missing must be sent first: the request alone would not do better.
        found = NetworkError
    return found(f"the server refused: {message}", hint=hint)


def refusal(error: MvcError) -> Refusal:
    """Return what a client is told of an error."""
    code = "version" if isinstance(error, VersionError) else _code(error)
    return Refusal(code, error.message[:1000], error.hint and error.hint[:1000], code in AGAIN)


def _code(error: MvcError) -> str:
    for code, kinds in _CODES.items():
        if isinstance(error, kinds):
            return code
    return "internal"


_CODES: dict[str, tuple[type[MvcError], ...]] = {
    "missing-object": (MissingObjectError,),
    "limit": (LimitError,),
    "format": (FormatError,),
    "integrity": (IntegrityError,),
    "not-allowed": (NotAllowedError,),
    "not-found": (NotFoundError,),
    "usage": (UsageError,),
    "storage": (StorageError,),
}


def _shown(text: str) -> str:
    """Return a text of the other side without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)[:1000]
