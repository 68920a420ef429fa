"""Answers for one repository and one asker (docs/protocol.md)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from blake3 import blake3

from mvc.base.errors import FormatError, LeftOutError, LimitError, NotAllowedError, NotFoundError
from mvc.base.ids import ObjectId
from mvc.repo.repository import Repository
from mvc.repo.scope import scope_of
from mvc.sync.counted import Counted, Readable, pieces
from mvc.sync.early import Early
from mvc.sync.giving import Given
from mvc.sync.grants import Grants
from mvc.sync.history import latest
from mvc.sync.limits import MAX_IDS, MAX_PIECE, MAX_PLAN, MAX_REFS, PART_BYTES
from mvc.sync.link import Answer
from mvc.sync.messages import (
    Asked,
    Done,
    GiveReply,
    GiveRequest,
    MissingReply,
    MissingRequest,
    Named,
    PartRequest,
    PlanReply,
    PlanRequest,
    RefsReply,
    RefsRequest,
    Request,
    UpdateReply,
    UpdateRequest,
)
from mvc.sync.outgoing import Part, make_part
from mvc.sync.plan import beyond, held_by, plan, versions_between
from mvc.sync.quarantine import RESERVE_BYTES, Quarantine, quarantine
from mvc.sync.updating import Update

Value = TypeVar("Value", bound=Sized)
KEPT_OBJECTS = 1_000_000
"""Objects that the sets kept between requests have together, beside the latest."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a server allows beyond the limits of the protocol.

    Parts that are given are made in `scratch`, if that is not to be in the repository.
    """

    part_bytes: int = PART_BYTES
    quarantine_bytes: int | None = None
    reserve_bytes: int = RESERVE_BYTES
    scratch: Path | None = None


class Service:
    """A server for one repository: `who` is the asker's name in reflogs and of its quarantine.

    Safe to keep for many requests of one asker, one at a time.
    """

    def __init__(
        self, repo: Repository, grants: Grants, who: str | None = None, bounds: Bounds | None = None
    ) -> None:
        self._repo = repo
        self._grants = grants
        self._who = who or grants.name
        self._bounds = bounds or Bounds()
        self._held: Quarantine | None = None
        self._early: Early | None = None
        # Refs by what they pointed at: of thousands, few need to be read again then.
        self._seen: dict[ObjectId, str] = {}
        self._counted: _Kept[Counted] = _Kept()
        self._given: _Kept[Given] = _Kept()

    def answer(self, request: Request, body: Iterator[bytes]) -> Answer:
        """Return the answer to a request, or raise MvcError (see mvc.sync.link.refusal)."""
        self._authorise(request)
        if isinstance(request, PartRequest):
            held = self._quarantine()
            held.take(request, body)
            if self._early is not None:
                self._early.add(request.name, self._latest)
            return Answer(Done(), iter(()))
        for _ in body:
            raise FormatError(f"a request of {request.VERB} has no body")
        self._repo.store.refresh()
        if isinstance(request, RefsRequest):
            return Answer(self._refs(request), iter(()))
        if isinstance(request, MissingRequest):
            return Answer(self._missing(request), iter(()))
        if isinstance(request, UpdateRequest):
            return Answer(self._update(request), iter(()))
        if isinstance(request, PlanRequest):
            return self._plan(request)
        return self._give(request)

    def close(self) -> None:
        """Release the quarantine's files; the repository stays open."""
        if self._early is not None:
            self._early.close()
            self._early = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def _authorise(self, request: Request) -> None:
        """Refuse verbs for which nothing is granted; which refs are meant is for each of them."""
        sends = isinstance(request, PartRequest | UpdateRequest)
        granted = self._grants.appends if sends else bool(self._grants.held)
        if not granted:
            raise NotAllowedError("this is not granted")

    def _quarantine(self) -> Quarantine:
        if self._held is None:
            bounds = self._bounds
            self._held = quarantine(
                self._repo, self._who, most=bounds.quarantine_bytes, reserve=bounds.reserve_bytes
            )
            self._held.forget_old()
            self._early = Early(self._repo, self._held)
        return self._held

    def _readable(self) -> Readable:
        return Readable(self._repo, self._grants, self._seen)

    def _refs(self, request: RefsRequest) -> RefsReply:
        found = self._readable().refs(request.prefixes)
        state = blake3(
            b"".join(name.encode() + b"\0" + target for name, target in found.items())
        ).digest()
        same = state == request.known
        behind = [name for name in found if name > request.after and not same]
        head = self._repo.refs.head().ref
        return RefsReply(
            tuple(Named(name, found[name]) for name in behind[:MAX_REFS]),
            len(behind) > MAX_REFS,
            head if head in found else None,
            state,
            same,
            self._bounds.part_bytes,
        )

    def _counting(self, bases: Iterable[ObjectId]) -> Counted:
        """Return what counts for the asker, given bases that it may read."""
        readable = self._readable().commits(bases)
        whole = self._grants.reads_all
        return self._counted.get(
            frozenset(readable), lambda: Counted(self._repo, readable, whole=whole)
        )

    def _latest(self) -> Counted:
        """Return what counts for the update to come, as far as it can be known before it."""
        if self._grants.reads_all:
            return Counted(self._repo, (), whole=True)
        return self._counted.latest or Counted(self._repo, (), whole=False)

    def _missing(self, request: MissingRequest) -> MissingReply:
        counted, held = self._counting(request.bases), self._quarantine()
        return MissingReply(
            tuple(item for item in request.ids if not (held.holds(item) or counted.has(item)))
        )

    def _update(self, request: UpdateRequest) -> UpdateReply:
        held = self._quarantine()
        assert self._early is not None  # noqa: S101
        self._early.close()
        update = Update(self._repo, self._grants, self._who, request, self._early.sound)
        # A version that a ref leads to already is complete, whether it was named as a base or not.
        bases = dict.fromkeys([*request.bases, *(item.new for item in request.changes if item.new)])
        return UpdateReply(update.run(held, lambda: self._counting(bases)))

    def _plan(self, request: PlanRequest) -> Answer:
        scope = scope_of(request.paths)
        readable = self._readable()
        wants = [item.id for item in readable.wanted(request.wants)]
        boundary = readable.commits(request.haves)
        if request.depth:
            versions, cut = latest(self._repo, wants, request.depth)
        else:
            ends = readable.commits(request.shallow)
            versions, boundary = versions_between(self._repo, wants, boundary, ends)
            gaps = self._repo.shallow.commits()
            cut = [item.id for item in versions if item.id in gaps]
        theirs = held_by(self._repo, boundary, scope)
        try:
            wanted = beyond(self._repo, versions, theirs, scope)
        except LeftOutError as error:
            raise NotFoundError(
                "some files of these versions are not here",
                hint="fetch them from where they are, or with --path those that are here",
            ) from error
        entries: list[bytes] = []
        total = 0
        for item in plan(self._repo, wanted, theirs.__contains__, heads=request.heads):
            entries.append(item.encode())
            total += item.size
            if len(entries) > MAX_PLAN:
                raise LimitError("there is too much to fetch at once", hint="fetch fewer refs")
        if len(cut) > MAX_IDS:
            raise LimitError("there are too many lines of history to cut", hint="fetch fewer refs")
        reply = PlanReply(len(entries), total, tuple(cut))
        return Answer(reply, pieces(entries, MAX_PIECE - 256))

    def _give(self, request: GiveRequest) -> Answer:
        readable = self._readable()
        wants = readable.wanted(request.wants)
        asked = list(request.objects)
        if not self._grants.reads_all:
            given = self._given.get(frozenset(request.wants), lambda: Given(self._repo, wants))
            for number, item in enumerate(asked):
                if not given.holds(item.id):
                    raise NotFoundError(f"there is no object {item.id.hex()[:12]} here")
                # A delta tells of its base.
                if item.base is not None and not given.may_know(item.base, readable):
                    asked[number] = Asked(item.id, None)
        folder = self._bounds.scratch or self._repo.scratch / "parts"
        # How long a chain here is may be due to versions that the asker cannot read.
        whole = self._grants.reads_all
        part = make_part(self._repo, asked, folder, heads=request.heads, depths=whole)
        return Answer(GiveReply(part.name, part.head, part.tail), _PartBody(part))


class _PartBody:
    """The bytes of a part, whose files go at the end, or as soon as nobody wants them any more."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._pieces = part.body()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the files."""
        self._part.close()

    def __del__(self) -> None:
        self.close()


class _Kept(Generic[Value]):
    """Sets of objects that took long to make: the latest, and others while they are not large."""

    def __init__(self) -> None:
        self._values: OrderedDict[frozenset[ObjectId], Value] = OrderedDict()

    @property
    def latest(self) -> Value | None:
        """What was asked for last."""
        return next(reversed(self._values.values()), None)

    def get(self, key: frozenset[ObjectId], make: Callable[[], Value]) -> Value:
        """Return what is kept under a key, made anew where there is nothing."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > 1 and sum(map(len, self._values.values())) > KEPT_OBJECTS:
            self._values.popitem(last=False)
        return self._values[key]
