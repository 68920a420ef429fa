"""Messages and bodies as frames, for the carriers that are streams (docs/protocol.md, "Frames")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator

from mvc.base.errors import FormatError, LimitError
from mvc.sync.limits import MAX_MESSAGE, MAX_PIECE, MAX_WAITS

MESSAGE, BODY, END, WAIT = 1, 2, 3, 4
_HEAD = struct.Struct("<BI")
_LIMITS = {MESSAGE: MAX_MESSAGE, BODY: MAX_PIECE, END: 0, WAIT: 0}
WAITING = _HEAD.pack(WAIT, 0)
"""What a server says before its message, so that nobody takes long work for a dead peer."""

Read = Callable[[int], bytes]
"""Returns at most so many bytes, and none at the end only."""


class CutOffError(FormatError):
    """A stream ended before the exchange did."""


def frames(message: bytes, body: Iterable[bytes] = ()) -> Iterator[bytes]:
    """Yield the bytes of an exchange's one direction; pieces of a body may have any length."""
    yield _HEAD.pack(MESSAGE, len(message)) + message
    for piece in body:
        view = memoryview(piece)
        for at in range(0, len(view), MAX_PIECE):
            part = view[at : at + MAX_PIECE]
            yield _HEAD.pack(BODY, len(part))
            yield bytes(part)
    yield _HEAD.pack(END, 0)


def read_message(read: Read) -> tuple[bytes, Iterator[bytes]]:
    """Return a message and its body, which must be read to its end before anything else.

    Raises CutOffError where the stream ends too early, also while the body is read, and
    FormatError or LimitError where it has other frames. EOFError where it ends before the first.
    """
    kind, length = _HEAD.unpack(_exactly(read, _HEAD.size, first=True))
    for _ in range(MAX_WAITS):
        if kind != WAIT or _bounded(kind, length):
            break
        kind, length = _HEAD.unpack(_exactly(read, _HEAD.size))
    if kind != MESSAGE:
        raise FormatError("a stream does not begin with a message")
    return _exactly(read, _bounded(kind, length)), _body(read)


def _body(read: Read) -> Iterator[bytes]:
    while True:
        kind, length = _HEAD.unpack(_exactly(read, _HEAD.size))
        if kind not in (BODY, END) or (kind == BODY and not length):
            raise FormatError("a stream has a frame that does not belong there")
        _bounded(kind, length)
        if kind == END:
            return
        yield _exactly(read, length)


def _bounded(kind: int, length: int) -> int:
    if length > _LIMITS[kind]:
        raise LimitError("a frame is too long")
    return length


def _exactly(read: Read, length: int, *, first: bool = False) -> bytes:
    parts = []
    left = length
    while left:
        part = read(left)
        if not part:
            if first and left == length:
                raise EOFError
            raise CutOffError("the connection was cut off")
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
