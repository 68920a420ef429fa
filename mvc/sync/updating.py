"""Refs that a client asks to be moved (docs/protocol.md, "update")."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from mvc.base.errors import MissingObjectError, MvcError, NotAllowedError, UsageError
from mvc.base.ids import ObjectId
from mvc.objects.history import Commit, Tag
from mvc.repo import refs as ref_store
from mvc.repo.names import check_branch
from mvc.repo.refs import BRANCHES, TAGS
from mvc.repo.repository import Repository
from mvc.repo.signing import arriving, required
from mvc.store.locks import pinned
from mvc.sync.counted import Counted
from mvc.sync.grants import Grants
from mvc.sync.incoming import Incoming
from mvc.sync.joining import damage_dropped, join, joining, start
from mvc.sync.messages import Change, Outcome, UpdateRequest
from mvc.sync.parts import Parts
from mvc.sync.quarantine import Quarantine

OK, MOVED, NOT_FORWARD = "ok", "moved", "not-forward"
NOT_ALLOWED, FORMAT, NOT_MOVED = "not-allowed", "format", "not-moved"


@dataclass(slots=True)
class Update:
    """One update by one asker, who is called `who` in reflogs.

    `sound` tells which chunks of a part were verified before; see Incoming.
    """

    repo: Repository
    grants: Grants
    who: str
    request: UpdateRequest
    sound: Callable[[ObjectId], Container[ObjectId]] = lambda _: ()
    _outcomes: dict[int, Outcome] = field(default_factory=dict)
    _used: set[ObjectId] = field(default_factory=set)

    def run(self, held: Quarantine, counted: Callable[[], Counted]) -> tuple[Outcome, ...]:
        """Carry it out and return what became of each change.

        Nothing goes away meanwhile. Raises MissingObjectError, IntegrityError, FormatError,
        LimitError where what was sent cannot join: no ref has moved then.
        """
        with pinned(self.repo.scratch), held.locked():
            self.repo.store.refresh()
            self._judge_names()
            self._judge_state()
            if self._goes_on() and any(change.new for _, change in self._open()):
                self._join_and_move(held, counted())
            elif self._goes_on():
                with joining(self.repo):
                    self._move()
            if all(outcome.code == OK for outcome in self._outcomes.values()):
                held.drop([*self.request.parts, *self._used])
        return tuple(self._outcomes[number] for number in range(len(self.request.changes)))

    def _join_and_move(self, held: Quarantine, counted: Counted) -> None:
        """Let what was sent join; all of it is looked into where what was named does not do.

        A client may have lost count of what it sent before it was cut off.
        """
        named = self.request.parts
        every = [*named, *(item for item in held.parts() if item not in set(named))]
        try:
            self._join_from(held, named, counted)
        except MissingObjectError:
            if len(every) == len(named):
                raise
            self._join_from(held, every, counted)

    def _join_from(self, held: Quarantine, parts: Sequence[ObjectId], counted: Counted) -> None:
        new = [change.new for _, change in self._open() if change.new is not None]
        with ExitStack() as stack:
            with damage_dropped(held, parts):
                sent = stack.enter_context(closing(Parts(held, parts)))
                incoming = Incoming(self.repo, sent, counted, self.sound)
                scope = self.repo.chosen.scope
                arrivals = incoming.arrivals(
                    start(incoming, item, scope) for item in dict.fromkeys(new)
                )
            self._judge_versions(incoming)
            if self._goes_on():
                with joining(self.repo):
                    self._judge_state()
                    if self._goes_on():
                        join(self.repo, incoming, arrivals)
                        joined = [*arrivals.chunks, *(item.id for item in arrivals.objects)]
                        self._used = sent.holders(joined)
                        self._move()

    def _open(self) -> list[tuple[int, Change]]:
        """Return the changes of which nothing has become yet, with their places."""
        return [
            (number, change)
            for number, change in enumerate(self.request.changes)
            if number not in self._outcomes
        ]

    def _goes_on(self) -> bool:
        """Tell whether any ref is to move; of an atomic batch that fails, none is."""
        failed = any(outcome.code != OK for outcome in self._outcomes.values())
        if failed and self.request.atomic:
            for number, _ in self._open():
                self._settle(number, NOT_MOVED, "another ref of the batch did not move")
        return bool(self._open())

    def _settle(self, number: int, code: str, message: str = "") -> None:
        self._outcomes[number] = Outcome(self.request.changes[number].ref, code, message)

    def _judge_names(self) -> None:
        """Settle what is not granted, whatever the refs are."""
        seen: set[str] = set()
        for number, change in self._open():
            ref = change.ref
            if not _is_name(ref) or ref in seen:
                self._settle(number, FORMAT, "this cannot be the name of a branch or tag")
            elif not (self.grants.allows("append", ref) or self.grants.allows("force", ref)):
                self._settle(number, NOT_ALLOWED, "moving this is not granted")
            elif self._is_checked_out(ref):
                self._settle(number, NOT_ALLOWED, "a working copy is at this branch")
            elif change.new is None and self.repo.refs.head().ref == ref:
                self._settle(number, NOT_ALLOWED, "clones begin with this branch: HEAD names it")
            seen.add(ref)

    def _is_checked_out(self, ref: str) -> bool:
        return self.repo.worktree is not None and self.repo.refs.head().ref == ref

    def _judge_state(self) -> None:
        """Settle what has moved already, by this update or by another."""
        for number, change in self._open():
            now = self.repo.refs.get(change.ref)
            if now == change.new or self._was_done(change):
                self._settle(number, OK)
            elif now != change.old:
                self._settle(number, MOVED, "it is not where it was any more")
            elif change.old is not None and (change.new is None or change.ref.startswith(TAGS)):
                self._judge_force(number, change)

    def _judge_force(self, number: int, change: Change) -> None:
        """Settle a change that leaves history behind, unless it may."""
        if not change.force:
            self._settle(number, NOT_FORWARD, "this would leave versions behind")
        elif not self.grants.allows("force", change.ref):
            self._settle(number, NOT_ALLOWED, "leaving versions behind is not granted")

    def _was_done(self, change: Change) -> bool:
        """Tell whether an earlier try moved the ref, from where it has gone on since."""
        reason = self._reason()
        log = self.repo.refs.history(change.ref)
        return any((line.reason, line.new) == (reason, change.new) for line in log)

    def _judge_versions(self, incoming: Incoming) -> None:
        """Settle what the new versions themselves rule out."""
        for number, change in self._open():
            if change.new is None:
                continue
            is_tag = incoming.kind(change.new) == "tag"
            if is_tag and change.ref.startswith(BRANCHES):
                self._settle(number, FORMAT, "a branch is at a commit, not at a tag")
                continue
            history = _History(incoming)
            commit = history.peeled(change.new) if is_tag else change.new
            before = change.old if change.ref.startswith(BRANCHES) else None
            if before is not None and not history.leads_to(commit, before):
                self._judge_force(number, change)
            if number not in self._outcomes:
                try:
                    found = arriving(self.repo, change.ref, commit, history.commit)
                    required(self.repo, change.ref, found)
                except NotAllowedError as error:
                    self._settle(number, NOT_ALLOWED, error.message)

    def _move(self) -> None:
        """Move what is still to move, by compare-and-swap; all or nothing if that was asked."""
        open_ = self._open()
        moves = [(item.ref, item.old, item.new, self._line(item)) for _, item in open_]
        refused = self.repo.refs.update_many(moves)
        if refused and self.request.atomic:
            self._take_back([item for _, item in open_ if item.ref not in refused])
        for number, change in open_:
            error = refused.get(change.ref)
            if error is not None:
                self._settle(number, *_told(error))
            elif not (refused and self.request.atomic):
                self._settle(number, OK)
        self._goes_on()

    def _take_back(self, changes: Iterable[Change]) -> None:
        back = [
            (item.ref, item.new, item.old, self._line(Change(item.ref, item.new, item.old, True)))
            for item in changes
        ]
        self.repo.refs.update_many(back)

    def _line(self, change: Change) -> ref_store.Change:
        now = self.repo.environment.clock()
        return ref_store.Change(change.old, change.new, self.who, now, self._reason())

    def _reason(self) -> str:
        return f"push {self.request.push.hex()}"


class _History:
    """Commits that were sent or count, as the history that they are."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def commit(self, wanted: ObjectId) -> Commit:
        """Return a commit, or raise MissingObjectError or FormatError."""
        return Commit.decode(self._incoming.read(wanted, Commit.KIND))

    def peeled(self, tag: ObjectId) -> ObjectId:
        """Return the commit that an annotated tag is for."""
        return Tag.decode(self._incoming.read(tag, Tag.KIND)).target

    def leads_to(self, newer: ObjectId, older: ObjectId) -> bool:
        """Tell whether a commit is another, or has it among its ancestors."""
        seen = {newer}
        pending = [newer]
        while pending and older not in seen:
            current = pending.pop()
            if current in self._incoming.ends:
                continue
            fresh = [item for item in self.commit(current).parents if item not in seen]
            seen.update(fresh)
            pending.extend(fresh)
        return older in seen


def _is_name(ref: str) -> bool:
    prefix = next((one for one in (BRANCHES, TAGS) if ref.startswith(one)), None)
    if prefix is None:
        return False
    try:
        check_branch(ref.removeprefix(prefix))
    except UsageError:
        return False
    return True


def _told(error: MvcError) -> tuple[str, str]:
    """Return what is said of a ref that did not move: nothing of refs that may be unreadable."""
    if error.code == "moved":
        return MOVED, "it is not where it was any more"
    if error.code == "negative":
        return FORMAT, "this name cannot exist beside those that are there"
    return NOT_ALLOWED, "the ref is damaged"
