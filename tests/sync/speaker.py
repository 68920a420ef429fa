"""A program that answers on its standard streams as it is told to: the other side of a StdioLink.

`python -m tests.sync.speaker WAY`; the ways are the methods of Speaker, or those of a stream that
is no server's at all.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

from mvc.base.errors import NotAllowedError
from mvc.base.ids import ObjectId
from mvc.sync.answering import Patience, answer_all
from mvc.sync.frames import WAITING, frames
from mvc.sync.link import Answer
from mvc.sync.messages import (
    Done,
    GiveReply,
    GiveRequest,
    PartRequest,
    RefsReply,
    RefsRequest,
    Request,
    encode_reply,
)

STATE = ObjectId(bytes(32))
PIECE = bytes(range(256)) * 4096
DONE = encode_reply(Done())


def refs(head: str) -> RefsReply:
    return RefsReply((), more=False, head=head, state=STATE, same=False, part_bytes=1)


class Speaker:
    """Counts what it is sent; `way` is what it does to requests that have a body."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._asked = 0

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        self._asked += 1
        if isinstance(request, RefsRequest):
            return self._refs(request)
        if isinstance(request, GiveRequest):
            return Answer(GiveReply(STATE, len(PIECE), 0), self._given())
        assert isinstance(request, PartRequest)
        return self._part(request, body)

    def _refs(self, request: RefsRequest) -> Answer:
        if request.after == "slow":
            time.sleep(1.5)
        if request.after == "fail":
            raise RuntimeError("a secret")
        return Answer(refs(f"{os.getpid()} {self._asked}"), iter(()))

    def _part(self, request: PartRequest, body: Iterator[bytes]) -> Answer:
        if self._way == "refuse":
            raise NotAllowedError("nothing is received here", hint="ask somebody else")
        if self._way == "refuse-later":
            next(body)
            raise NotAllowedError("nothing more is received here")
        if self._way == "have":
            return Answer(Done(), iter(()))
        if self._way == "die":
            next(body)
            os.kill(os.getpid(), 9)
        if self._way == "exact":
            found = 0
            while found < request.head + request.tail:
                found += len(next(body))
            return Answer(Done(), iter(()))
        found = sum(map(len, body))
        assert found == request.head + request.tail, found
        return Answer(Done(), iter(()))

    def _given(self) -> Iterator[bytes]:
        for number in range(64):
            if self._way == "break" and number == 20:
                raise RuntimeError("a secret")
            if self._way == "die" and number == 20:
                os.kill(os.getpid(), 9)
            yield PIECE


def odd(way: str) -> None:
    """Behave like no server."""
    out = sys.stdout.buffer
    match way:
        case "motd":
            out.write(b"Welcome to \x1b[31mhub\n")
        case "silent":
            time.sleep(60)
        case "half":
            out.write(b"".join(frames(DONE))[:7])
            out.flush()
            time.sleep(60)
        case "waiting":
            out.write(WAITING * 3)
            out.flush()
            time.sleep(60)
        case "flood":
            # Writes far more than a pipe holds before it reads anything.
            for data in frames(encode_reply(GiveReply(STATE, 1, 0)), [PIECE] * 64):
                out.write(data)
            out.flush()
            sys.stdin.buffer.read()
        case "endless":
            out.write(next(iter(frames(encode_reply(GiveReply(STATE, 1, 0))))))
            while True:
                out.write(b"\2\0\0\x10\0" + PIECE)
        case "deaf":
            # Neither reads nor writes, nor notices that its input ends.
            sys.stdin.close()
            os.close(0)
            time.sleep(60)


def leave(way: str) -> None:
    """End as ssh or a login shell does."""
    match way:
        case "chatty":
            for number in range(300):
                print(f"\x1b[2Jline {number}\x07", file=sys.stderr)
            print("x" * 100_000, file=sys.stderr, flush=True)
            sys.exit(1)
        case "absent":
            print("bash: line 1: mvc: command not found", file=sys.stderr)
            sys.exit(127)
        case "unreachable":
            print("ssh: connect to host hub port 22: Connection refused", file=sys.stderr)
            sys.exit(255)
        case "refusing":
            print("error: there is no repository 'x'\nhint: look", file=sys.stderr)
            sys.exit(3)


def main(way: str) -> None:
    odd(way)
    leave(way)
    answer_all(Speaker(way), 0, 1, patience=Patience(within=20, between=20, sign=0.2))


if __name__ == "__main__":
    main(sys.argv[1])
