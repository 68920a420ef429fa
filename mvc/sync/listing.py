"""What refs the other side has, checked as it comes (docs/protocol.md, "refs")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mvc.base.errors import FormatError, LimitError
from mvc.base.ids import ObjectId
from mvc.repo.refs import BRANCHES, TAGS
from mvc.repo.remotes import check_ref
from mvc.sync.limits import MAX_PART, MAX_PREFIXES, PART_BYTES
from mvc.sync.link import Link
from mvc.sync.messages import RefsReply, RefsRequest, Reply, Request

MAX_PAGES = 64
LEAST_PART = 1 << 16
EVERYTHING = (BRANCHES, TAGS)


@dataclass(frozen=True, slots=True)
class Listing:
    """The branches and tags meant, by full name in order.

    `state` names all of them together, None where they moved while they were listed. `same` tells
    that it is the state known before, and `refs` are left out then.
    """

    refs: dict[str, ObjectId]
    head: str | None
    state: bytes | None
    same: bool
    part_bytes: int


def asked(link: Link, request: Request, body: Iterable[bytes] = ()) -> Reply:
    """Return the reply to a request whose answer has no body."""
    answer = link.ask(request, body)
    for _ in answer.body:
        raise FormatError("the server sends a body where none belongs")
    return answer.reply


def listed(
    link: Link, prefixes: tuple[str, ...] = EVERYTHING, known: bytes | None = None
) -> Listing:
    """Ask for branches and tags that start with prefixes, or are called so."""
    found: dict[str, ObjectId] = {}
    last = ""
    states: set[bytes] = set()
    for _ in range(MAX_PAGES):
        reply = asked(link, RefsRequest(prefixes, last, known))
        assert isinstance(reply, RefsReply)  # noqa: S101
        states.add(reply.state)
        if reply.same:
            if known is None or reply.state != known or reply.refs or found:
                raise FormatError("the server takes refs for known that are not")
            return Listing({}, reply.head, reply.state, True, _part_bytes(reply))
        for name, target in reply.refs:
            if name <= last or not name.startswith(prefixes):
                raise FormatError("the server lists refs that were not asked for, or in no order")
            found[check_ref(name)] = target
            last = name
        if not reply.more:
            state = states.pop() if len(states) == 1 else None
            return Listing(found, reply.head, state, False, _part_bytes(reply))
        if not reply.refs:
            raise FormatError("the server lists refs without end")
        # A page behind the first says nothing of what comes before it.
        known = None
    raise LimitError("the server has more refs than mvc can deal with")


def few(names: Iterable[str]) -> tuple[str, ...]:
    """Return prefixes that cover refs with not too many words."""
    wanted = tuple(dict.fromkeys(names))
    return wanted if len(wanted) <= MAX_PREFIXES else EVERYTHING


def _part_bytes(reply: RefsReply) -> int:
    return min(max(reply.part_bytes or PART_BYTES, LEAST_PART), MAX_PART // 2)
