"""Sending versions and moving refs there (docs/protocol.md): what is missing goes, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from mvc.base.errors import (
    FormatError,
    IntegrityError,
    MissingObjectError,
    MvcError,
    UsageError,
)
from mvc.base.ids import ObjectId
from mvc.base.progress import SILENT, Progress
from mvc.repo.refs import BRANCHES, short
from mvc.repo.repository import Repository
from mvc.repo.tracking import ahead_behind
from mvc.sync.closure import Found
from mvc.sync.limits import MAX_BASES, MAX_CHANGES, MAX_IDS
from mvc.sync.link import Link
from mvc.sync.listing import Listing, asked, few, listed
from mvc.sync.memory import Memory
from mvc.sync.messages import (
    Asked,
    Change,
    MissingReply,
    MissingRequest,
    Outcome,
    PartRequest,
    Planned,
    UpdateReply,
    UpdateRequest,
)
from mvc.sync.outgoing import make_part
from mvc.sync.plan import held_by, objects_to_send, plan, versions_between
from mvc.sync.transfer import Sums, Watched, in_parts

TRIES = 3
"""How often a push is negotiated, each time with less trust in what the server seems to have."""
FURTHER = 16
"""Versions that the server has beside those that are built upon, which may have something equal."""
CHAIN = 16
"""Bases of a chunk, one below the other, that the server may have instead of the first."""


@dataclass(frozen=True, slots=True)
class Move:
    """A ref there that is to be at `new` (None: to be gone); `source` is what people called it.

    With a `lease` it moves only from where the lease says it is (None: it must not exist).
    """

    ref: str
    new: ObjectId | None
    source: str
    force: bool = False
    lease: tuple[ObjectId | None] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a move.

    `status` is `new`, `forward`, `forced`, `deleted`, `same` or `refused`; then `code` is one of
    docs/protocol.md, "update", and `message` a sentence.
    """

    move: Move
    old: ObjectId | None
    status: str
    code: str = "ok"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was pushed: of `planned` bytes in `objects`, `sent` went over the link in parts."""

    rows: tuple[Row, ...]
    objects: int = 0
    planned: int = 0
    sent: Sums = field(default_factory=Sums)


def push(
    repo: Repository,
    link: Link,
    moves: Sequence[Move],
    memory: Memory,
    seen: Iterable[ObjectId] = (),
    *,
    atomic: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Pushed:
    """Send what is missing and move refs; `seen` are versions that the server once had.

    A push that was cut off goes on where it was when it is tried again. Refusals are in the rows;
    raised are failures of the link and of this repository.
    """
    names = [move.ref for move in moves]
    if len(set(names)) != len(names):
        raise UsageError("a push moves a ref once", hint="name each ref once")
    if len(moves) > MAX_CHANGES:
        raise UsageError(f"a push moves at most {MAX_CHANGES} refs", hint="push them in turns")
    return _Push(repo, link, memory, [*seen], atomic, progress).run(moves, dry_run=dry_run)


class _Push:
    def __init__(
        self,
        repo: Repository,
        link: Link,
        memory: Memory,
        seen: list[ObjectId],
        atomic: bool,  # noqa: FBT001 - a field, not an option of a call
        progress: Progress,
    ) -> None:
        self._repo = repo
        self._link = link
        self._memory = memory
        self._seen = seen
        self._atomic = atomic
        self._progress = progress
        self._sums = Sums()
        self._planned: list[Planned] = []

    def run(self, moves: Sequence[Move], *, dry_run: bool) -> Pushed:
        """See `push`."""
        rows: list[Row] = []
        for number in range(TRIES):
            listing = listed(self._link, few(move.ref for move in moves))
            rows = self._held_back([self._judged(move, listing) for move in moves])
            open_ = [row for row in rows if row.status not in ("same", "refused")]
            if not open_:
                if not dry_run:
                    self._tidy(rows)
                break
            try:
                bases = self._send(open_, listing, number, dry_run=dry_run)
                if not dry_run:
                    rows = self._updated(rows, open_, bases)
                break
            except IntegrityError:
                # What the server counted on is gone, or the parts of an earlier try do not fit.
                if number + 1 == TRIES:
                    raise
                self._memory.forget_sent()
        planned = sum(item.size for item in self._planned)
        return Pushed(tuple(rows), len(self._planned), planned, self._sums)

    def _judged(self, move: Move, listing: Listing) -> Row:
        """Return what a move would be, as far as can be told here."""
        old = listing.refs.get(move.ref)
        if move.lease is not None and move.lease[0] != old and move.new != old:
            return Row(move, old, "refused", "moved", "it is not where you saw it last")
        if move.new == old:
            return Row(move, old, "same")
        if move.new is None:
            return Row(move, old, "deleted")
        if old is None:
            return Row(move, old, "new")
        problem = self._backward(move, old, move.new)
        if problem is None:
            return Row(move, old, "forward")
        if move.force or move.lease is not None:
            return Row(move, old, "forced")
        return Row(move, old, "refused", "not-forward", problem)

    def _backward(self, move: Move, old: ObjectId, new: ObjectId) -> str | None:
        """Return why a ref would not move forward, None if it would."""
        if not move.ref.startswith(BRANCHES):
            return "it is at another version there, and tags stay where they are"
        if self._repo.store.kind(old) != "commit":
            return "it has commits that are not here"
        try:
            _, behind = ahead_behind(self._repo, new, old)
        except MvcError:
            return "it has commits that are not here"
        return "it has commits that this one does not have" if behind else None

    def _tidy(self, rows: list[Row]) -> None:
        """Let go of parts whose update has done its work, though nobody here was told so."""
        parts = tuple(self._memory.sent())
        changes = tuple(Change(row.move.ref, None, row.move.new, False) for row in rows)
        if parts and self._memory.is_push(changes):
            # They would go some day in any case.
            with suppress(MvcError):
                asked(self._link, UpdateRequest(self._memory.push(changes), parts, (), (), False))
            self._memory.forget_sent()

    def _held_back(self, rows: list[Row]) -> list[Row]:
        """Refuse all of an atomic push where one is refused."""
        if not self._atomic or all(row.status != "refused" for row in rows):
            return rows
        return [
            replace(row, status="refused", code="not-moved", message="another ref was refused")
            if row.status not in ("refused", "same")
            else row
            for row in rows
        ]

    def _send(
        self, rows: list[Row], listing: Listing, number: int, *, dry_run: bool
    ) -> list[ObjectId]:
        """Send what is missing; return the versions that the server is known to have."""
        new = [row.move.new for row in rows if row.move.new is not None]
        theirs = [*listing.refs.values(), *(self._seen if number == 0 else ())]
        wanted, bases, known = self._negotiated(new, theirs, number)
        self._planned = list(plan(self._repo, wanted, known))
        if dry_run or not self._planned:
            return bases
        self._progress.start("sending", sum(item.size for item in self._planned))
        try:
            in_parts(self._planned, listing.part_bytes, self._part)
        finally:
            self._progress.finish()
        return bases

    def _negotiated(
        self, new: list[ObjectId], theirs: list[ObjectId], number: int
    ) -> tuple[list[Found], list[ObjectId], Callable[[ObjectId], bool]]:
        """Return what to send, versions that the server has, and what it has besides."""
        for _ in range(TRIES):
            versions, bases = versions_between(self._repo, new, theirs)
            bases = [] if number > 1 else self._useful(versions, bases)
            if number > 1:
                versions, _ = versions_between(self._repo, new, ())
            if not versions:
                return [], bases, lambda _: False
            found = objects_to_send(self._repo, versions, bases)
            if number:
                # It seemed to have what it lacks: only what its refs lead to is believed now.
                return found, bases, self._held_by(bases).__contains__
            questions = dict.fromkeys([*bases, *(item.id for item in found), *self._below(found)])
            missing = self._missing(bases, list(questions))
            gone = missing.intersection(bases)
            if not gone:
                wanted = [item for item in found if item.id in missing]
                return wanted, bases, frozenset(questions.keys() - missing).__contains__
            theirs = [item for item in theirs if item not in gone]
        raise MissingObjectError(
            "the server changes what it has all the time", hint="run the push again"
        )

    def _held_by(self, bases: list[ObjectId]) -> set[ObjectId]:
        return held_by(self._repo, bases, self._repo.chosen.scope)

    def _useful(self, versions: list[Found], bases: list[ObjectId]) -> list[ObjectId]:
        """Return what is sent follows from, and some others: each costs time on both sides."""
        sent = [item.id for item in versions if item.kind == "commit"]
        behind = {parent for item in sent for parent in self._repo.commit(item).parents}
        return bases[: len(behind.difference(sent)) + FURTHER]

    def _below(self, found: list[Found]) -> Iterator[ObjectId]:
        """Yield the chunks that records here are deltas against, one below the other."""
        store = self._repo.store
        seen = {item.id for item in found}
        for item in found:
            current, depth = item.id, None
            for _ in range(CHAIN if item.kind == "chunk" else 0):
                with suppress(MvcError):
                    _, entry = (
                        store.chunk_entry(current)
                        if depth is None
                        else store.chunk_entry(current, depth)
                    )
                    fresh = [one for one in entry.references if one not in seen]
                    seen.update(fresh)
                    yield from fresh
                    if entry.base is not None and entry.base in fresh:
                        current, depth = entry.base, entry.depth
                        continue
                break

    def _missing(self, bases: list[ObjectId], ids: list[ObjectId]) -> set[ObjectId]:
        found: set[ObjectId] = set()
        for at in range(0, len(ids), MAX_IDS):
            some = ids[at : at + MAX_IDS]
            reply = asked(self._link, MissingRequest(tuple(bases[:MAX_BASES]), tuple(some)))
            assert isinstance(reply, MissingReply)  # noqa: S101
            if not set(reply.missing) <= set(some):
                raise FormatError("the server misses what it was not asked for")
            found.update(reply.missing)
        return found

    def _part(self, batch: list[Planned]) -> None:
        """Send one part; when this returns it is safe there, and will not be sent again."""
        wanted = [Asked(item.id, item.base) for item in batch]
        with make_part(self._repo, wanted, self._repo.scratch) as part:
            length = part.head + part.tail
            planned = sum(item.size for item in batch)
            self._memory.note_sent(part.name)
            body = Watched(part.body, length, planned, self._progress)
            request = PartRequest(part.name, part.head, part.tail)
            for again in (True, True, False):
                try:
                    asked(self._link, request, body)
                    break
                except IntegrityError:
                    # Damaged on the way.
                    if not again:
                        raise
            self._sums.parts += 1
            self._sums.bytes += length

    def _updated(self, rows: list[Row], open_: list[Row], bases: list[ObjectId]) -> list[Row]:
        """Ask for the moves; return the rows with what became of them."""
        changes = tuple(
            Change(row.move.ref, row.old, row.move.new, row.status in ("forced", "deleted"))
            for row in open_
        )
        request = UpdateRequest(
            self._memory.push(changes),
            tuple(self._memory.sent()),
            tuple(bases[:MAX_BASES]),
            changes,
            self._atomic,
        )
        reply = asked(self._link, request)
        assert isinstance(reply, UpdateReply)  # noqa: S101
        if [item.ref for item in reply.results] != [item.ref for item in changes]:
            raise FormatError("the server answers for other refs than it was asked to move")
        outcomes = {item.ref: item for item in reply.results}
        if any(item.code == "ok" for item in reply.results):
            self._memory.forget_sent()
        return [_told(row, outcomes.get(row.move.ref)) for row in rows]


def _told(row: Row, outcome: Outcome | None) -> Row:
    if outcome is None or outcome.code == "ok":
        return row
    shown = "".join(char if char.isprintable() else "?" for char in outcome.message)[:500]
    return replace(
        row,
        status="refused",
        code=outcome.code,
        message=shown or f"the server did not move {short(row.move.ref)}",
    )
