"""Refusals and headers of the HTTP carrier (docs/protocol.md, "HTTP")."""

from __future__ import annotations

from mvc.sync.frames import frames
from mvc.sync.link import AGAIN
from mvc.sync.messages import Refusal, encode_reply

TYPE = "application/x-mvc"
STATUSES = {
    "usage": 400,
    "auth": 401,
    "not-found": 404,
    "limit": 413,
    "quota": 429,
    "busy": 503,
}
"""The statuses of refusals; all others, and all replies, are 200."""


class Refused(Exception):
    """A request that the carrier refuses before anybody who knows the repository sees it."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        after: int | None = None,
        status: int | None = None,
        who: str | None = None,
    ) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message, hint, code in AGAIN)
        self.after = after
        self.status = status or STATUSES.get(code, 200)
        self.who = who

    @property
    def final(self) -> bool:
        """Tell whether nothing more is read of whoever is told this."""
        return self.status in (408, 413)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of the answer."""
        found = reply_headers()
        if self.after is not None:
            found.append((b"retry-after", str(self.after).encode()))
        if self.status == STATUSES["auth"]:
            found.append((b"www-authenticate", b'Bearer realm="mvc"'))
        if self.final:
            found.append((b"connection", b"close"))
        return found


def reply_headers() -> list[tuple[bytes, bytes]]:
    """Return the headers of every reply; nothing may keep or guess at what it is."""
    return [
        (b"content-type", TYPE.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]


def body_of(refusal: Refusal) -> bytes:
    """Return a refusal as the body of an answer."""
    return b"".join(frames(encode_reply(refusal)))
